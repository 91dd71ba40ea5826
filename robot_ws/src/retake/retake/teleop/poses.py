"""Poses of a person's hands as a device reports them: checked, and not followed where they cannot be true. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from controllers import rotations

REACH_M = 10.0  # from the origin of the device's room
JUMP_M, JUMP_RAD = 0.15, 0.8  # between two samples: tracking was lost and found, or the room was set anew


@dataclass(frozen=True)
class Sample:
    """One pose (7,) m, x y z w, and when it came, s of the steady clock."""

    pose: np.ndarray
    at: float


def checked_pose(values: Sequence[float]) -> np.ndarray:
    """A pose (7,) m, x y z w with a unit quaternion.

    Raises:
        ValueError: not seven finite numbers, out of reach, or a quaternion that is none.
    """
    pose = np.array(values, dtype=float)
    if pose.shape != (7,) or not np.all(np.isfinite(pose)):
        raise ValueError("a pose is seven finite numbers: x y z in m, qx qy qz qw")
    if np.max(np.abs(pose[:3])) > REACH_M:
        raise ValueError(f"position {pose[:3].tolist()} m is out of reach, allowed is {REACH_M:g} m in each direction")
    norm = float(np.linalg.norm(pose[3:]))
    if not 0.9 < norm < 1.1:
        raise ValueError(f"quaternion {pose[3:].tolist()} has length {norm:.2f}, allowed is 1")
    pose[3:] /= norm
    return pose


def has_jumped(before: np.ndarray, after: np.ndarray) -> bool:
    """True when a hand cannot have moved from one pose (7,) to the next between two samples."""
    turn = rotations.to_rotvec(rotations.multiply(after[3:], rotations.conjugate(before[3:])))
    return bool(np.linalg.norm(after[:3] - before[:3]) > JUMP_M or np.linalg.norm(turn) > JUMP_RAD)


def turned(pose: np.ndarray, yaw: float) -> np.ndarray:
    """The pose (7,) of a room that is seen turned by `yaw` rad about z: positions and turns alike."""
    quat = rotations.from_yaw(yaw)
    position = rotations.matrix(quat) @ pose[:3]
    return np.concatenate([position, rotations.multiply(quat, pose[3:])])
