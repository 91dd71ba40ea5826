"""The G1 as a Pinocchio model: where its MJCF is, its joint order, and the terms one control step needs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pinocchio as pin

from controllers import g1


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
    """Pinocchio model and data of the G1 with rotor inertias; generalised order is base (7 / 6) then JOINT_NAMES."""

    def __init__(self) -> None:
        self.model = pin.buildModelFromMJCF(str(g1_mjcf()))
        names = tuple(self.model.names[2:])
        if names != g1.JOINT_NAMES:
            raise ValueError(f"the MJCF's joints are {names}, expected {g1.JOINT_NAMES}")
        armature = np.zeros(self.model.nv)
        armature[6:] = g1.ARMATURE
        self.model.armature = armature
        self.nv = self.model.nv
        self.mass = pin.computeTotalMass(self.model)
        self.feet = tuple(self._add_frame(link, link, np.zeros(3)) for link in g1.FOOT_LINKS)
        names = ("left_ee", "right_ee")
        self.hands = tuple(
            self._add_frame(name, link, offset)
            for name, link, offset in zip(names, g1.HAND_LINKS, g1.PALM_OFFSETS, strict=True)
        )
        self.torso = self.model.getFrameId("torso_link")
        self.data = self.model.createData()
        self._zero = np.zeros(self.nv)

    def _add_frame(self, name: str, link: str, offset: np.ndarray) -> int:
        """Add a frame at `offset` (3,) m in `link`, axes of the link."""
        parent = self.model.frames[self.model.getFrameId(link)]
        placement = parent.placement * pin.SE3(np.eye(3), offset)
        return self.model.addFrame(
            pin.Frame(f"{name}_frame", parent.parentJoint, placement, pin.FrameType.OP_FRAME)
        )

    def update(self, q: np.ndarray, v: np.ndarray) -> None:
        """Compute mass matrix, bias forces, Jacobians, CoM and frame placements into `data`.

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
