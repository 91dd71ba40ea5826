"""The action vector of the G1: a named 17-vector by meaning, and the operations of its layout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controllers.action_layout import ActionLayout
from controllers.g1 import (
    ACTION_ACCELERATION,
    ACTION_CHANNELS,
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

LAYOUT = ActionLayout(ACTION_CHANNELS, ACTION_LOWER, ACTION_UPPER, ACTION_SPEED, ACTION_ACCELERATION)
validated, normalise, interpolate = LAYOUT.validated, LAYOUT.normalise, LAYOUT.interpolate
step_towards = LAYOUT.step_towards


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
