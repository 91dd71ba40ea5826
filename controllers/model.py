"""The G1 as a Pinocchio model: where its MJCF is, its joint order, and the terms one control step needs."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pinocchio as pin

from controllers import g1
from controllers.compiled import compiled

NV = 6 + g1.NUM_JOINTS
LEFT_FOOT, RIGHT_FOOT, LEFT_HAND, RIGHT_HAND, TORSO = range(5)  # frames, in the order of G1Model's arrays
LEGS = slice(6, 18)  # both legs in the generalised velocity
STRAIGHT_KNEE = 0.08  # rad; below it the leg Jacobian is inverted with damping
DAMPING = 1e-4  # m², of that inverse
_KNEES = np.array([g1.JOINT_NAMES.index(f"{side}_knee_joint") + 7 for side in ("left", "right")])


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


class Terms(NamedTuple):
    """What one control step needs to know of the body. Arrays are the same objects at every update.

    M (35, 35), nle (35,): mass matrix, symmetric, and bias forces.
    J (30, 35), drift (30,), twist (30,): six rows a frame, linear first, for feet, hands, torso. Feet in their own
        axes, where sole and friction constraints are constant; hands and torso in odom axes.
    positions (5, 3), rotations (5, 3, 3): the frames in odom.
    leg_inverse (2, 6, 6): inverse of each foot's Jacobian with respect to its own leg.
    com (3,), J_com (3, 35).
    """

    M: np.ndarray
    nle: np.ndarray
    J: np.ndarray
    drift: np.ndarray
    twist: np.ndarray
    positions: np.ndarray
    rotations: np.ndarray
    leg_inverse: np.ndarray
    com: np.ndarray
    J_com: np.ndarray


class G1Model:
    """Pinocchio model and data of the G1 with rotor inertias; generalised order is base (7 / 6) then JOINT_NAMES."""

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
        self._zero = np.zeros(NV)
        data, joints = self.data, [self.model.frames[frame].parentJoint for frame in self.frames]
        # Pinocchio's own memory, seen as arrays: what it computes is here without a copy
        self.terms = Terms(
            data.M, data.nle, np.zeros((30, NV)), np.zeros(30), np.zeros(30), np.zeros((5, 3)), np.zeros((5, 3, 3)),
            np.zeros((2, 6, 6)), data.com[0], data.Jcom,
        )  # fmt: skip
        self._poses = tuple((data.oMf[frame].translation, data.oMf[frame].rotation) for frame in self.frames)
        self._motions = tuple((data.v[joint].vector, data.a[joint].vector) for joint in joints)
        self._offsets = np.array([self.model.frames[frame].placement.translation for frame in self.frames])
        self._supports = np.array([self.support(joint) for joint in joints])

    def support(self, joint: int) -> np.ndarray:
        """(35,) bool: the generalised velocities that move a joint's link."""
        moves = np.zeros(NV, dtype=np.bool_)
        for i in list(self.model.supports[joint])[1:]:  # behind the universe
            moves[self.model.idx_vs[i] : self.model.idx_vs[i] + self.model.nvs[i]] = True
        return moves

    def _add_frame(self, name: str, link: str, offset: np.ndarray) -> int:
        """Add a frame at `offset` (3,) m in `link`, axes of the link, which are its joint's."""
        parent = self.model.frames[self.model.getFrameId(link)]
        if not np.allclose(parent.placement.rotation, np.eye(3)):
            raise ValueError(f"{link} is turned against its joint; the drift of its frame would be wrong")
        placement = parent.placement * pin.SE3(np.eye(3), offset)
        return self.model.addFrame(
            pin.Frame(f"{name}_frame", parent.parentJoint, placement, pin.FrameType.OP_FRAME)
        )

    def update(self, q: np.ndarray, v: np.ndarray) -> None:
        """Compute `terms`.

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
        pin.updateFramePlacements(model, data)
        _fill(self.terms, data.J, self._poses, self._motions, self._offsets, self._supports, q, v, _KNEES)


@compiled
def _fill(terms, J_world, poses, motions, offsets, supports, q, v, knees):
    """Fill in `terms` what is not Pinocchio's.

    J_world (6, 35): joint Jacobians in odom, of the point at its origin. poses: five of position (3,), rotation (3, 3).
    motions: five of velocity (6,) and drift acceleration (6,) of the frame's joint, joint axes. offsets (5, 3): of the
    frame in its joint. supports (5, 35): which velocities move the frame. knees (2,): their indices in q.
    """
    drift, acceleration = np.empty(6), np.empty(3)
    for i in range(5):
        p, R = poses[i]
        velocity, spatial = motions[i]
        for c in range(3):
            terms.positions[i, c] = p[c]
            for d in range(3):
                terms.rotations[i, c, d] = R[c, d]
        J = terms.J[6 * i : 6 * i + 6]
        _frame_jacobian(J_world, p, R, supports[i], i >= 2, J)
        for row in range(6):
            total = 0.0
            for k in range(v.size):
                total += J[row, k] * v[k]
            terms.twist[6 * i + row] = total
        _classical_acceleration(velocity, spatial, offsets[i], acceleration)
        for c in range(3):
            drift[c], drift[3 + c] = acceleration[c], spatial[3 + c]
        for c in range(6):
            if i >= 2:
                first = c // 3 * 3
                terms.drift[6 * i + c] = (
                    R[c % 3, 0] * drift[first] + R[c % 3, 1] * drift[first + 1] + R[c % 3, 2] * drift[first + 2]
                )
            else:
                terms.drift[6 * i + c] = drift[c]
    for leg in range(2):
        J_leg = terms.J[6 * leg : 6 * leg + 6, 6 + 6 * leg : 12 + 6 * leg]
        _leg_inverse(J_leg, q[knees[leg]] < STRAIGHT_KNEE, terms.leg_inverse[leg])


@compiled
def _frame_jacobian(J_world, p, R, support, in_odom, J):
    """J (6, 35) of the frame at p, linear first, in odom's or in the frame's own axes."""
    v, w = np.empty(3), np.empty(3)
    for k in range(support.size):
        if not support[k]:
            continue
        for c in range(3):
            d, e = (c + 1) % 3, (c + 2) % 3
            w[c] = J_world[3 + c, k]
            v[c] = J_world[c, k] + J_world[3 + d, k] * p[e] - J_world[3 + e, k] * p[d]
        for c in range(3):
            if in_odom:
                J[c, k], J[3 + c, k] = v[c], w[c]
            else:
                J[c, k] = R[0, c] * v[0] + R[1, c] * v[1] + R[2, c] * v[2]
                J[3 + c, k] = R[0, c] * w[0] + R[1, c] * w[1] + R[2, c] * w[2]


@compiled
def _classical_acceleration(velocity, spatial, r, out):
    """Acceleration (3,) of the point at r of a body with spatial velocity and acceleration (6,), body axes."""
    v, w, a, b = velocity[:3], velocity[3:], spatial[:3], spatial[3:]
    point = np.empty(3)
    for c in range(3):
        d, e = (c + 1) % 3, (c + 2) % 3
        point[c] = v[c] + w[d] * r[e] - w[e] * r[d]
    for c in range(3):
        d, e = (c + 1) % 3, (c + 2) % 3
        out[c] = a[c] + b[d] * r[e] - b[e] * r[d] + w[d] * point[e] - w[e] * point[d]


@compiled
def _leg_inverse(J, is_straight, out):
    """Inverse of a leg's Jacobian (6, 6); with damping where a straight knee makes it singular."""
    A = np.empty((6, 6))
    for i in range(6):
        for j in range(6):
            same = 1.0 if i == j else 0.0
            if is_straight:
                A[i, j], out[i, j] = DAMPING * same, J[j, i]
                for k in range(6):
                    A[i, j] += J[k, i] * J[k, j]
            else:
                A[i, j], out[i, j] = J[i, j], same
    _solve(A, out)


@compiled
def _solve(A, B):
    """B becomes A^-1 B by Gauss and Jordan with partial pivoting; A (n, n) is used up."""
    n = A.shape[0]
    for k in range(n):
        pivot = k
        for i in range(k + 1, n):
            if abs(A[i, k]) > abs(A[pivot, k]):
                pivot = i
        for j in range(n):
            A[k, j], A[pivot, j] = A[pivot, j], A[k, j]
            B[k, j], B[pivot, j] = B[pivot, j], B[k, j]
        scale = 1.0 / A[k, k]
        for j in range(n):
            A[k, j] *= scale
            B[k, j] *= scale
        for i in range(n):
            if i != k:
                factor = A[i, k]
                for j in range(n):
                    A[i, j] -= factor * A[k, j]
                    B[i, j] -= factor * B[k, j]
