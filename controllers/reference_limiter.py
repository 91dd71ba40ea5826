"""Keeps the reference continuous in position and velocity, whatever is asked for.

The reference moves inside ACTION_SPEED and ACTION_ACCELERATION of its seven parts (two hand positions, two hand
rotations, base height, torso pitch, squeeze). A target inside these limits is met exactly at every tick; any other is
approached with room to brake. So no source, and no change of source, can make the reference jump.
"""

from __future__ import annotations

import numpy as np

from controllers import channels, g1, rotations

# One part of the velocity (15,) each: where it is, its first action channel, what it is called in reports.
_PARTS: tuple[tuple[slice, int, str], ...] = (
    (slice(0, 3), g1.LEFT_POSITION.start, "left_ee.position"),
    (slice(3, 6), g1.LEFT_QUAT.start, "left_ee.orientation"),
    (slice(6, 9), g1.RIGHT_POSITION.start, "right_ee.position"),
    (slice(9, 12), g1.RIGHT_QUAT.start, "right_ee.orientation"),
    (slice(12, 13), g1.BASE_HEIGHT, "base.height"),
    (slice(13, 14), g1.TORSO_PITCH, "torso.pitch"),
    (slice(14, 15), g1.SQUEEZE, "hands.squeeze"),
)
_VECTORS = ((slice(0, 3), g1.LEFT_POSITION), (slice(6, 9), g1.RIGHT_POSITION), (slice(12, 15), slice(14, 17)))
_ROTATIONS = ((slice(3, 6), g1.LEFT_QUAT), (slice(9, 12), g1.RIGHT_QUAT))


def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(15,) the way from action a to action b; rotations as rotation vectors in a's hand frame, rad."""
    result = np.empty(15)
    for part, channel in _VECTORS:
        result[part] = b[channel] - a[channel]
    for part, channel in _ROTATIONS:
        result[part] = rotations.to_rotvec(rotations.multiply(rotations.conjugate(a[channel]), b[channel]))
    return result


def moved(a: np.ndarray, delta: np.ndarray) -> np.ndarray:
    """The action (17,) that lies `delta` (15,) from a; inverse of `difference`."""
    result = np.empty(g1.ACTION_DIM)
    for part, channel in _VECTORS:
        result[channel] = a[channel] + delta[part]
    for part, channel in _ROTATIONS:
        turned = rotations.multiply(a[channel], rotations.from_rotvec(delta[part]))
        result[channel] = rotations.normalised(turned)
    return result


def _shortened(vector: np.ndarray, limit: float) -> tuple[np.ndarray, bool]:
    """`vector` no longer than `limit`, and whether it was."""
    length = float(np.sqrt(vector @ vector))
    return (vector * (limit / length), True) if length > limit * (1 + 1e-9) else (vector, False)


class ReferenceLimiter:
    """Holds the reference (17,) and its velocity (15,), m/s, rad/s, N/s."""

    def __init__(self, reference: np.ndarray) -> None:
        """Starts at rest at `reference` (17,)."""
        self.reference = channels.validated(reference)
        self.velocity = np.zeros(15)
        self._target: np.ndarray | None = None  # of the tick before, while one source goes on

    def follow(self, target: np.ndarray, dt: float, source_changed: bool = False) -> tuple[str, ...]:
        """Move for `dt` s towards `target` (17,); returns the parts that were slowed.

        `source_changed` says that the target has no continuation from the one before: its rate is then unknown.
        """
        before, self._target = self._target, target
        rate = np.zeros(15) if source_changed or before is None else difference(before, target) / dt
        error = difference(self.reference, target)
        slowed: list[str] = []
        for part, channel, name in _PARTS:
            speed, acceleration = g1.ACTION_SPEED[channel], g1.ACTION_ACCELERATION[channel]
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
        for part, channel, _ in _PARTS:
            change, _ = _shortened(-self.velocity[part], g1.ACTION_ACCELERATION[channel] * dt)
            self.velocity[part] += change
        self._move(dt)

    def stopping_pose(self) -> np.ndarray:
        """(17,) where `brake` would come to rest."""
        way = np.zeros(15)
        for part, channel, _ in _PARTS:
            v = self.velocity[part]
            way[part] = v * (0.5 * float(np.sqrt(v @ v)) / g1.ACTION_ACCELERATION[channel])
        return channels.validated(moved(self.reference, way))

    def _move(self, dt: float) -> None:
        self.reference = moved(self.reference, self.velocity * dt)
