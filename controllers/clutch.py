"""Connects a person's hands to the robot's wherever both are: what counts is how the person moved since then."""

from __future__ import annotations

import numpy as np

from controllers import channels, g1, rotations


class Clutch:
    """Closed at a teleop action and a reference, both (17,)."""

    def __init__(self, action: np.ndarray, reference: np.ndarray) -> None:
        self._action, self._reference = action.copy(), reference.copy()
        self._is_squeeze_taken = False

    def follow(self, action: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
        """The reference (17,) moved as the person moved since the clutch closed, and the channels at their limits.

        Positions, height and pitch move by the same difference, rotations by the same turn in odom. The squeeze stays
        until the person changes it and is from then on what the person says: an offset would keep hands from opening.
        """
        target = action + (self._reference - self._action)
        for quat in (g1.LEFT_QUAT, g1.RIGHT_QUAT):
            turn = rotations.multiply(action[quat], rotations.conjugate(self._action[quat]))
            target[quat] = rotations.multiply(turn, self._reference[quat])
        self._is_squeeze_taken = self._is_squeeze_taken or action[g1.SQUEEZE] != self._action[g1.SQUEEZE]
        target[g1.SQUEEZE] = (action if self._is_squeeze_taken else self._reference)[g1.SQUEEZE]
        limited = channels.validated(target)
        over = np.flatnonzero(np.abs(limited - channels.normalise(target)) > 1e-9)
        return limited, tuple(f"{g1.ACTION_CHANNELS[i]} limit" for i in over)
