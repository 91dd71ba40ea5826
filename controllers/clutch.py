"""Connects a person's hands to the robot's wherever both are: what counts is how the person moved since then."""

from __future__ import annotations

import numpy as np

from controllers import rotations
from controllers.rigs import Rig


class Clutch:
    """Closed at a teleop action and a reference, both (dim,)."""

    def __init__(self, action: np.ndarray, reference: np.ndarray, rig: Rig) -> None:
        self._action, self._reference = action.copy(), reference.copy()
        self._layout, self._grasps = rig.layout, rig.grasps
        self._taken: set[int] = set()  # grasps that the person has changed

    def follow(self, action: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
        """The reference (dim,) moved as the person moved since the clutch closed, and the channels at their limits.

        Positions and body move by the same difference, rotations by the same turn. A grasp (squeeze, gripper) stays
        until the person changes it and is from then on what the person says: an offset would keep hands from opening.
        """
        layout = self._layout
        target = action + (self._reference - self._action)
        for quat in layout.quats:
            turn = rotations.multiply(action[quat], rotations.conjugate(self._action[quat]))
            target[quat] = rotations.multiply(turn, self._reference[quat])
        self._taken |= {grasp for grasp in self._grasps if action[grasp] != self._action[grasp]}
        for grasp in self._grasps:
            target[grasp] = (action if grasp in self._taken else self._reference)[grasp]
        limited = layout.validated(target)
        over = np.flatnonzero(np.abs(limited - layout.normalise(target)) > 1e-9)
        return limited, tuple(f"{layout.channels[i]} limit" for i in over)
