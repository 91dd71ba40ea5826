"""The action vector of the G1: a named 17-vector, how to take it apart, blend it and limit its speed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controllers import rotations
from controllers.g1 import (
    ACTION_CHANNELS,
    ACTION_DIM,
    ACTION_LOWER,
    ACTION_SPEED,
    ACTION_UPPER,
    BASE_HEIGHT,
    LEFT_POSITION,
    LEFT_QUAT,
    RIGHT_POSITION,
    RIGHT_QUAT,
    SQUEEZE,
    TORSO_PITCH,
)

_QUATS = (LEFT_QUAT, RIGHT_QUAT)
_POSITIONS = (LEFT_POSITION, RIGHT_POSITION)


@dataclass(frozen=True, slots=True)
class Targets:
    """One action by meaning: palm poses in `odom` (m, xyzw), pelvis height (m), torso pitch (rad), squeeze (N)."""

    left_position: np.ndarray
    left_quat_xyzw: np.ndarray
    right_position: np.ndarray
    right_quat_xyzw: np.ndarray
    base_height: float
    torso_pitch: float
    squeeze: float


def split(action: np.ndarray) -> Targets:
    """Take an action (17,) apart."""
    return Targets(
        action[LEFT_POSITION],
        action[LEFT_QUAT],
        action[RIGHT_POSITION],
        action[RIGHT_QUAT],
        float(action[BASE_HEIGHT]),
        float(action[TORSO_PITCH]),
        float(action[SQUEEZE]),
    )


def join(targets: Targets) -> np.ndarray:
    """Put an action (17,) together."""
    scalars = (targets.base_height, targets.torso_pitch, targets.squeeze)
    return np.concatenate(
        [targets.left_position, targets.left_quat_xyzw, targets.right_position, targets.right_quat_xyzw, scalars]
    )


def validated(action: np.ndarray) -> np.ndarray:
    """The action with unit quaternions and every channel inside its limits.

    Raises:
        ValueError: wrong shape, a value that is not finite, or a quaternion without direction.
    """
    action = np.asarray(action, dtype=float)
    if action.shape != (ACTION_DIM,):
        raise ValueError(f"action has shape {action.shape}, allowed is ({ACTION_DIM},): {', '.join(ACTION_CHANNELS)}")
    if not np.all(np.isfinite(action)):
        bad = [name for name, value in zip(ACTION_CHANNELS, action, strict=True) if not np.isfinite(value)]
        raise ValueError(f"action is not finite in {', '.join(bad)}; send finite numbers")
    return np.clip(normalise(action), ACTION_LOWER, ACTION_UPPER)


def normalise(action: np.ndarray) -> np.ndarray:
    """A copy with unit quaternions."""
    result = action.copy()
    for quat in _QUATS:
        result[quat] = rotations.normalised(action[quat])
    return result


def interpolate(a: np.ndarray, b: np.ndarray, weight: float) -> np.ndarray:
    """The action `weight` (0..1) of the way from a to b; rotations along the geodesic."""
    result = a + weight * (b - a)
    for quat in _QUATS:
        result[quat] = rotations.slerp(a[quat], b[quat], weight)
    return result


def step_towards(current: np.ndarray, target: np.ndarray, dt: float) -> tuple[np.ndarray, list[str]]:
    """Move from `current` towards `target` no faster than ACTION_SPEED for `dt` seconds.

    A hand's position keeps its direction: its three channels are slowed together.

    Returns:
        The new action (17,) and the channels that were slowed.
    """
    room = ACTION_SPEED * dt
    delta = target - current
    result = current.copy()
    clamped: list[str] = []
    for position in _POSITIONS:
        distance = float(np.sqrt(delta[position] @ delta[position]))
        limit = float(room[position][0])
        result[position] += delta[position] * min(1.0, limit / max(distance, 1e-12))
        if distance > limit + 1e-12:
            clamped.append(ACTION_CHANNELS[position.start].split(".")[0] + ".position")
    for quat in _QUATS:
        rotation = rotations.to_rotvec(rotations.multiply(rotations.conjugate(current[quat]), target[quat]))
        angle = float(np.sqrt(rotation @ rotation))
        limit = float(room[quat][0])
        step = rotation * min(1.0, limit / max(angle, 1e-12))
        result[quat] = rotations.normalised(rotations.multiply(current[quat], rotations.from_rotvec(step)))
        if angle > limit + 1e-12:
            clamped.append(ACTION_CHANNELS[quat.start].split(".")[0] + ".orientation")
    for index in (BASE_HEIGHT, TORSO_PITCH, SQUEEZE):
        result[index] += np.clip(delta[index], -room[index], room[index])
        if abs(delta[index]) > room[index] + 1e-12:
            clamped.append(ACTION_CHANNELS[index])
    return result, clamped
