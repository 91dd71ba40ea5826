"""The robots this stack drives, as data: what a node, a recording or a policy has to know about one.

Numbers live in the robot's own module (controllers/g1.py, controllers/arm.py); here is what all of them have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controllers import arm, channels, g1, rotations
from controllers.action_layout import ActionLayout


@dataclass(frozen=True, eq=False)
class Rig:
    """One robot. Angles rad, lengths m; `layout` names the action channels and their limits."""

    name: str  # also the namespace of its topics
    frame: str  # frame_id of actions
    joint_names: tuple[str, ...]
    layout: ActionLayout
    home_action: np.ndarray  # (dim,)
    pose_tolerance: np.ndarray  # (rate_dim,) reference to measured pose; within it a take-over starts from the former
    grasps: tuple[int, ...]  # channels that hold things: a person sets them, a clutch does not shift them
    controller: str  # name of the node that turns references into joint commands
    cameras: tuple[str, ...]
    control_dt: float  # s
    reference_dt: float  # s
    camera_dt: float  # s, a multiple of control_dt
    arms: arm.Arms | None = None  # what arm_controller moves


# hand 0.12 m (a hand that presses a box is behind its reference) and 0.5 rad, base 0.06 m, torso 0.15 rad, squeeze any
_G1_TOLERANCE = np.array([0.12] * 3 + [0.5] * 3 + [0.12] * 3 + [0.5] * 3 + [0.06, 0.15, np.inf])

G1 = Rig(
    name="g1", frame="odom", joint_names=g1.JOINT_NAMES, layout=channels.LAYOUT, home_action=g1.HOME_ACTION,
    pose_tolerance=_G1_TOLERANCE, grasps=(g1.SQUEEZE,), controller="whole_body_controller", cameras=("head", "chest"),
    control_dt=g1.CONTROL_DT, reference_dt=g1.REFERENCE_DT, camera_dt=0.066,
)  # fmt: skip

# a hand that pushes with all its force is 6 cm behind its reference; wrists turn under load
_HAND_TOLERANCE = [0.06] * 3 + [0.4] * 3


def arm_rig(
    name: str, arms: arm.Arms, layout: ActionLayout, cameras: tuple[str, ...], positions: np.ndarray, R: np.ndarray
) -> Rig:
    """A rig of arms whose hands are at home at positions (arms, 3), rotations R (arms, 3, 3), grippers open."""
    mounts, opening = arms.mounts, [1.0] if arms.description.has_gripper else []
    home = np.concatenate([[*p, *rotations.from_matrix(r), *opening] for p, r in zip(positions, R, strict=True)])
    return Rig(
        name=name, frame="base_link", joint_names=arm.arm_joint_names(arms.description, mounts), layout=layout,
        home_action=home, pose_tolerance=np.array((_HAND_TOLERANCE + [np.inf] * len(opening)) * len(mounts)),
        grasps=tuple(i for i, channel in enumerate(layout.channels) if channel.endswith("_gripper")),
        controller="arm_controller", cameras=cameras, control_dt=arm.CONTROL_DT, reference_dt=arm.REFERENCE_DT,
        camera_dt=arm.CAMERA_DT, arms=arms,
    )  # fmt: skip


def _fingers_down(
    name: str, arms: arm.Arms, layout: ActionLayout, cameras: tuple[str, ...], ahead: float, height: float
) -> Rig:
    """Hands at home `ahead` of their mounts and so high, m."""
    R = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])  # the hand's x looks down
    positions = np.array([[mount.x + ahead, mount.y, height] for mount in arms.mounts])
    return arm_rig(name, arms, layout, cameras, positions, np.array([R] * len(arms.mounts)))


YAM = _fingers_down("yam", arm.SINGLE, arm.YAM_LAYOUT, ("wrist", "front"), 0.30, 0.14)
BIMANUAL_YAM = _fingers_down(
    "bimanual_yam", arm.PAIR, arm.BIMANUAL_LAYOUT, ("left_wrist", "right_wrist", "front"), 0.30, 0.14
)
PANDA = _fingers_down("panda", arm.FRANKA, arm.PANDA_LAYOUT, ("wrist", "front"), 0.45, 0.40)
RIGS: dict[str, Rig] = {rig.name: rig for rig in (G1, YAM, BIMANUAL_YAM, PANDA)}


def rig_of(name: str) -> Rig:
    """The rig of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in RIGS:
        raise ValueError(f"robot {name!r} is unknown; allowed: {', '.join(RIGS)}")
    return RIGS[name]
