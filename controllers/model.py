"""The G1 as a Pinocchio model: where its MJCF is, its joint order, and the terms one control step needs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import eigenpy
import numpy as np
import pinocchio as pin

from controllers import g1

NV = 6 + g1.NUM_JOINTS
LEFT_FOOT, RIGHT_FOOT, LEFT_HAND, RIGHT_HAND, TORSO = range(5)  # frames, in the order of G1Model's arrays
LEGS = slice(6, 18)  # both legs in the generalised velocity
STRAIGHT_KNEE = 0.08  # rad; below it the leg Jacobian is inverted with damping
DAMPING = 1e-4  # m², of that inverse
_KNEES = [g1.JOINT_NAMES.index(f"{side}_knee_joint") + 7 for side in ("left", "right")]


def g1_mjcf() -> Path:
    """The manufacturer's 29-DoF G1 model, shipped in the `mjlab` wheel, which is not imported.

    Raises:
        FileNotFoundError: the wheel is not installed.
    """
    found = importlib.util.find_spec("mjlab")
    folders = list(found.submodule_search_locations or []) if found else []
    for folder in folders:
        path = Path(folder) / "asset_zoo" / "robots" / "unitree_g1" / "xmls" / "g1.xml"
        if path.is_file():
            return path
    raise FileNotFoundError("the G1 model is missing; install it with: pip install --no-deps mjlab==1.6.0")


class G1Model:
    """Pinocchio model and data of the G1 with rotor inertias; generalised order is base (7 / 6) then JOINT_NAMES.

    After `update`:
        M (35, 35), nle (35,): mass matrix, symmetric, and bias forces.
        J (30, 35), drift (30,), twist (30,): six rows a frame, linear first, for feet, hands, torso. Feet in their own
            axes, where sole and friction constraints are constant; hands and torso in odom axes.
        positions (5, 3), rotations (5, 3, 3): the frames in odom.
        leg_inverse (2, 6, 6): inverse of each foot's Jacobian with respect to its own leg.
        com (3,), J_com (3, 35).
    """

    def __init__(self) -> None:
        self.model = pin.buildModelFromMJCF(str(g1_mjcf()))
        names = tuple(self.model.names[2:])
        if names != g1.JOINT_NAMES:
            raise ValueError(f"the MJCF's joints are {names}, expected {g1.JOINT_NAMES}")
        armature = np.zeros(NV)
        armature[6:] = g1.ARMATURE
        self.model.armature = armature
        self.mass = pin.computeTotalMass(self.model)
        hands = zip(("left_ee", "right_ee"), g1.HAND_LINKS, g1.PALM_OFFSETS, strict=True)
        self.frames = (
            *(self._add_frame(link, link, np.zeros(3)) for link in g1.FOOT_LINKS),
            *(self._add_frame(name, link, offset) for name, link, offset in hands),
            self._add_frame("torso", "torso_link", np.zeros(3)),
        )
        self.data = self.model.createData()
        self._axes = (pin.LOCAL, pin.LOCAL, *[pin.LOCAL_WORLD_ALIGNED] * 3)
        self._zero = np.zeros(NV)
        self.J, self.drift, self.twist = np.zeros((30, NV)), np.zeros(30), np.zeros(30)
        self._J_views = [self.J[6 * i : 6 * i + 6] for i in range(5)]
        self._drift_views = [self.drift[6 * i : 6 * i + 6] for i in range(5)]
        self._poses = np.zeros((5, 4, 4))
        self.positions, self.rotations = self._poses[:, :3, 3], self._poses[:, :3, :3]
        self.leg_inverse = np.zeros((2, 6, 6))
        self._lu = eigenpy.PartialPivLU(np.eye(6))  # 5 µs an inverse; numpy.linalg.inv takes 27 for the pair

    def _add_frame(self, name: str, link: str, offset: np.ndarray) -> int:
        """Add a frame at `offset` (3,) m in `link`, axes of the link."""
        parent = self.model.frames[self.model.getFrameId(link)]
        placement = parent.placement * pin.SE3(np.eye(3), offset)
        return self.model.addFrame(
            pin.Frame(f"{name}_frame", parent.parentJoint, placement, pin.FrameType.OP_FRAME)
        )

    def update(self, q: np.ndarray, v: np.ndarray) -> None:
        """Compute everything listed in the class docstring.

        Args:
            q: (36,) base position in odom, base quaternion xyzw, joints.
            v: (35,) base linear and angular velocity in the body frame, joint velocities.
        """
        model, data = self.model, self.data
        pin.crba(model, data, q)
        pin.nonLinearEffects(model, data, q, v)
        pin.forwardKinematics(model, data, q, v, self._zero)  # last: drift accelerations stay in data.a
        pin.computeJointJacobians(model, data)
        pin.jacobianCenterOfMass(model, data, False)
        for i, (frame, axes) in enumerate(zip(self.frames, self._axes, strict=True)):
            self._poses[i] = pin.updateFramePlacement(model, data, frame).homogeneous
            self._J_views[i][:] = pin.getFrameJacobian(model, data, frame, axes)
            self._drift_views[i][:] = pin.getFrameClassicalAcceleration(model, data, frame, axes).vector
        np.matmul(self.J, v, out=self.twist)
        self.M, self.nle, self.com, self.J_com = data.M, data.nle, data.com[0], data.Jcom
        for i, knee in enumerate(_KNEES):
            J_leg = self.J[6 * i : 6 * i + 6, 6 + 6 * i : 12 + 6 * i]
            self.leg_inverse[i] = self._inverse(J_leg, q[knee] < STRAIGHT_KNEE)

    def _inverse(self, J_leg: np.ndarray, damped: bool) -> np.ndarray:
        """(6, 6) inverse; with damping where a straight knee makes it singular."""
        if not damped:
            self._lu.compute(J_leg)
            return self._lu.inverse()
        return np.linalg.solve(J_leg.T @ J_leg + DAMPING * np.eye(6), J_leg.T)
