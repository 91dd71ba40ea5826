"""Keeps the reference continuous in position and velocity, whatever is asked for.

The reference moves inside speed and acceleration of each part of its layout (positions and rotations of the hands,
scalars). A target inside these limits is met exactly at every tick; any other is
approached with room to brake. So no source, and no change of source, can make the reference jump. For a moment after a
change of authority the accelerations are smaller still.
"""

from __future__ import annotations

import numpy as np

from controllers.action_layout import ActionLayout

EASE_S, EASE = 0.4, 0.6  # after a hand-over only this share of the acceleration is used. With all of it a G1's elbow
# was commanded 1.23 times the acceleration of undisturbed motion, 0.13 s after one of 50 take-overs


def _shortened(vector: np.ndarray, limit: float) -> tuple[np.ndarray, bool]:
    """`vector` no longer than `limit`, and whether it was."""
    length = float(np.sqrt(vector @ vector))
    return (vector * (limit / length), True) if length > limit * (1 + 1e-9) else (vector, False)


class ReferenceLimiter:
    """Holds the reference (dim,) and its velocity (rate_dim,), per second."""

    def __init__(self, reference: np.ndarray, layout: ActionLayout) -> None:
        """Starts at rest at `reference` (dim,)."""
        self._layout = layout
        self._limits = [(p.rates, float(layout.speed[p.channels.start]), float(layout.acceleration[p.channels.start]),
                         p.name) for p in layout.parts]
        self.reference = layout.validated(reference)
        self.velocity = np.zeros(layout.rate_dim)
        self._target: np.ndarray | None = None  # of the tick before, while one source goes on
        self._eased_s = 0.0  # for so long from now

    def ease(self, seconds: float = EASE_S) -> None:
        """Authority changes now: no hurry for a moment. 0: all of the limits again, as to stop."""
        self._eased_s = seconds

    def follow(self, target: np.ndarray, dt: float, source_changed: bool = False) -> tuple[str, ...]:
        """Move for `dt` s towards `target` (dim,); returns the parts that were slowed.

        `source_changed` says that the target has no continuation from the one before: its rate is then unknown.
        """
        before, self._target = self._target, target
        rate = np.zeros(self._layout.rate_dim)
        if before is not None and not source_changed:
            rate = self._layout.difference(before, target) / dt
        error = self._layout.difference(self.reference, target)
        slowed: list[str] = []
        share = self._share
        for part, speed, full, name in self._limits:
            acceleration = share * full
            target_rate, _ = _shortened(rate[part], speed)
            behind = error[part] - target_rate * dt
            distance = float(np.sqrt(behind @ behind))
            half = 0.5 * acceleration * dt
            closing = min(distance / dt, -half + float(np.sqrt(half * half + 2 * acceleration * distance)))
            wanted = target_rate + behind * (closing / max(distance, 1e-12))
            wanted, is_fast = _shortened(wanted, speed)
            change, is_sudden = _shortened(wanted - self.velocity[part], acceleration * dt)
            self.velocity[part] += change
            if (is_fast or is_sudden) and distance > 1e-4:
                slowed.append(name)
        self._move(dt)
        return tuple(slowed)

    def brake(self, dt: float) -> None:
        """Come to rest as fast as the limits allow, and stay there."""
        self._target = None
        share = self._share
        for part, _, acceleration, _ in self._limits:
            change, _ = _shortened(-self.velocity[part], share * acceleration * dt)
            self.velocity[part] += change
        self._move(dt)

    def stopping_pose(self) -> np.ndarray:
        """(dim,) where `brake` would come to rest."""
        way = np.zeros(self._layout.rate_dim)
        for part, _, acceleration, _ in self._limits:
            v = self.velocity[part]
            way[part] = v * (0.5 * float(np.sqrt(v @ v)) / (self._share * acceleration))
        return self._layout.validated(self._layout.moved(self.reference, way))

    @property
    def _share(self) -> float:
        """Of the layout's accelerations that may be used now."""
        return EASE if self._eased_s > 0.0 else 1.0

    def _move(self, dt: float) -> None:
        self._eased_s -= dt
        self.reference = self._layout.moved(self.reference, self.velocity * dt)
