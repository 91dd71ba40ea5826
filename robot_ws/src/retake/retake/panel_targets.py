"""What a person wants the robot to do: the 17 action channels behind the panel's gizmos, sliders and keys. Pure."""

from __future__ import annotations

import numpy as np

from controllers import g1

SIDES = ("left", "right", "both")
NUDGE_M = 0.01  # one key press; held keys repeat at about 30 Hz, which stays below ACTION_SPEED
_POSITION = {"left": g1.LEFT_POSITION, "right": g1.RIGHT_POSITION}
_QUAT = {"left": g1.LEFT_QUAT, "right": g1.RIGHT_QUAT}


class TeleopTargets:
    """Targets of one teleoperator; `action` is what goes out as teleop_action, in odom, always within the limits."""

    def __init__(self) -> None:
        self.action = g1.HOME_ACTION.copy()  # (17,) ACTION_CHANNELS
        self.rejected = 0  # inputs dropped because they were not finite

    def snap(self, measured_action: np.ndarray) -> None:
        """Start from the pose (17,) that the robot has, so that taking over moves nothing."""
        self._set(measured_action)

    def place(self, side: str, position: np.ndarray, quat_xyzw: np.ndarray) -> None:
        """Put a hand at `position` (3,) m with `quat_xyzw` (4,); "both" moves the middle between them, not turning."""
        if side == "both":
            self.nudge(side, np.asarray(position) - self.middle)
            return
        action = self.action.copy()
        action[_POSITION[side]] = position
        action[_QUAT[side]] = quat_xyzw
        self._set(action)

    def nudge(self, side: str, offset: np.ndarray) -> None:
        """Move a hand, or both together, by `offset` (3,) m in odom; both keep their distance at a limit."""
        hands = ("left", "right") if side == "both" else (side,)
        for hand in hands:
            low = g1.ACTION_LOWER[_POSITION[hand]] - self.action[_POSITION[hand]]
            high = g1.ACTION_UPPER[_POSITION[hand]] - self.action[_POSITION[hand]]
            offset = np.clip(offset, np.minimum(low, 0.0), np.maximum(high, 0.0))
        action = self.action.copy()
        for hand in hands:
            action[_POSITION[hand]] += offset
        self._set(action)

    def set_channel(self, channel: str, value: float) -> None:
        """Set one scalar channel (base.height m, torso.pitch rad, hands.squeeze N)."""
        action = self.action.copy()
        action[g1.ACTION_CHANNELS.index(channel)] = value
        self._set(action)

    def channel(self, channel: str) -> float:
        """Value of one channel."""
        return float(self.action[g1.ACTION_CHANNELS.index(channel)])

    def pose(self, side: str) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) m and quaternion xyzw (4,) of a target in odom; "both" is the middle, axes of odom."""
        if side == "both":
            return self.middle, np.array([0.0, 0.0, 0.0, 1.0])
        return self.action[_POSITION[side]].copy(), self.action[_QUAT[side]].copy()

    @property
    def middle(self) -> np.ndarray:
        """(3,) m, halfway between the hands."""
        return 0.5 * (self.action[g1.LEFT_POSITION] + self.action[g1.RIGHT_POSITION])

    def _set(self, action: np.ndarray) -> None:
        """Take a whole new action: finite or dropped, unit quaternions, within the limits."""
        action = np.array(action, dtype=float)
        norms = [np.linalg.norm(action[part]) for part in _QUAT.values()]
        if action.shape != (g1.ACTION_DIM,) or not np.isfinite(action).all() or min(norms) < 1e-6:
            self.rejected += 1
            return
        action = np.clip(action, g1.ACTION_LOWER, g1.ACTION_UPPER)
        for part in _QUAT.values():
            action[part] /= np.linalg.norm(action[part])
        self.action = action
