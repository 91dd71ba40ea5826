"""What a person wants the robot to do: the action channels behind the panel's gizmos, sliders and keys. Pure."""

from __future__ import annotations

import numpy as np

from controllers.rigs import Rig

NUDGE_M = 0.01  # one key press; held keys repeat at about 30 Hz, which stays below ACTION_SPEED


def sides_of(rig: Rig) -> tuple[str, ...]:
    """What a person can move: each hand, and both together where there are two."""
    hands = tuple(hand.removesuffix("_ee") for hand in rig.layout.hands)
    return (*hands, "both") if len(hands) > 1 else hands


class TeleopTargets:
    """Targets of one teleoperator; `action` is what goes out as teleop_action, in the rig's frame, always within the
    limits."""

    def __init__(self, rig: Rig) -> None:
        self._layout, self._hands = rig.layout, sides_of(rig)[: len(rig.layout.hands)]
        self._position = dict(zip(self._hands, rig.layout.positions, strict=True))
        self._quat = dict(zip(self._hands, rig.layout.quats, strict=True))
        self.action = rig.home_action.copy()  # (dim,)
        self.rejected = 0  # inputs dropped because they were not finite

    def snap(self, measured_action: np.ndarray) -> None:
        """Start from the pose (dim,) that the robot has, so that taking over moves nothing."""
        self._set(measured_action)

    def place(self, side: str, position: np.ndarray, quat_xyzw: np.ndarray) -> None:
        """Put a hand at `position` (3,) m with `quat_xyzw` (4,); "both" moves the middle between them, not turning."""
        if side == "both":
            self.nudge(side, np.asarray(position) - self.middle)
            return
        action = self.action.copy()
        action[self._position[side]] = position
        action[self._quat[side]] = quat_xyzw
        self._set(action)

    def nudge(self, side: str, offset: np.ndarray) -> None:
        """Move a hand, or both together, by `offset` (3,) m in odom; both keep their distance at a limit."""
        hands = self._hands if side == "both" else (side,)
        for hand in hands:
            low = self._layout.lower[self._position[hand]] - self.action[self._position[hand]]
            high = self._layout.upper[self._position[hand]] - self.action[self._position[hand]]
            offset = np.clip(offset, np.minimum(low, 0.0), np.maximum(high, 0.0))
        action = self.action.copy()
        for hand in hands:
            action[self._position[hand]] += offset
        self._set(action)

    def set_channel(self, channel: str, value: float) -> None:
        """Set one scalar channel."""
        action = self.action.copy()
        action[self._layout.channels.index(channel)] = value
        self._set(action)

    def channel(self, channel: str) -> float:
        """Value of one channel."""
        return float(self.action[self._layout.channels.index(channel)])

    def pose(self, side: str) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) m and quaternion xyzw (4,) of a target in odom; "both" is the middle, axes of odom."""
        if side == "both":
            return self.middle, np.array([0.0, 0.0, 0.0, 1.0])
        return self.action[self._position[side]].copy(), self.action[self._quat[side]].copy()

    @property
    def middle(self) -> np.ndarray:
        """(3,) m, halfway between the hands."""
        first, second = self._hands
        return 0.5 * (self.action[self._position[first]] + self.action[self._position[second]])

    def _set(self, action: np.ndarray) -> None:
        """Take a whole new action: finite or dropped, unit quaternions, within the limits."""
        action = np.array(action, dtype=float)
        norms = [np.linalg.norm(action[part]) for part in self._quat.values()]
        if action.shape != (self._layout.dim,) or not np.isfinite(action).all() or min(norms) < 1e-6:
            self.rejected += 1
            return
        action = np.clip(action, self._layout.lower, self._layout.upper)
        for part in self._quat.values():
            action[part] /= np.linalg.norm(action[part])
        self.action = action
