"""A named action vector as data: what its channels mean, their limits, how to blend it and limit its speed.

Channels `<hand>.x .y .z` are a position, `<hand>.qx .qy .qz .qw` a rotation, every other one a scalar. All rigs use the
same rules, so one authority, one teleop device and one policy interface serve them all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controllers import rotations

POSE = ("x", "y", "z", "qx", "qy", "qz", "qw")


@dataclass(frozen=True, slots=True)
class Part:
    """What moves as one: a position, a rotation or a scalar; `channels` of the action, `rates` of its velocity."""

    name: str  # as reports call it: left_ee.position, left_ee.orientation, base.height
    kind: str  # position, rotation, scalar
    channels: slice
    rates: slice


def pose_channels(hand: str) -> tuple[str, ...]:
    """The seven channels of a hand such as `left_ee`."""
    return tuple(f"{hand}.{axis}" for axis in POSE)


class ActionLayout:
    """Everything that follows from a rig's action channels; arrays (n,) in their order."""

    def __init__(
        self, channels: tuple[str, ...], lower: np.ndarray, upper: np.ndarray, speed: np.ndarray,
        acceleration: np.ndarray,
    ) -> None:  # fmt: skip
        """Limits of the values, and of their rates per second and second²; of a rotation rad/s, at its first entry."""
        self.channels, self.dim = channels, len(channels)
        self.lower, self.upper, self.speed, self.acceleration = lower, upper, speed, acceleration
        self.parts = _parts(channels)
        self.rate_dim = self.parts[-1].rates.stop
        self.rate_names = tuple(f"{part.name}[{k}]" for part in self.parts
                                for k in range(part.rates.stop - part.rates.start))  # left_ee.position[0]
        self.positions = tuple(p.channels for p in self.parts if p.kind == "position")
        self.quats = tuple(p.channels for p in self.parts if p.kind == "rotation")
        self.scalars = tuple(p.channels.start for p in self.parts if p.kind == "scalar")
        self.hands = tuple(p.name.removesuffix(".position") for p in self.parts if p.kind == "position")
        self._vectors = _merged(tuple(p for p in self.parts if p.kind != "rotation"))
        self._rotations = tuple((p.rates, p.channels) for p in self.parts if p.kind == "rotation")

    def validated(self, action: np.ndarray) -> np.ndarray:
        """The action with unit quaternions and every channel inside its limits.

        Raises:
            ValueError: wrong shape, a value that is not finite, or a quaternion without direction.
        """
        action = np.asarray(action, dtype=float)
        if action.shape != (self.dim,):
            names = ", ".join(self.channels)
            raise ValueError(f"action has shape {action.shape}, allowed is ({self.dim},): {names}")
        if not np.all(np.isfinite(action)):
            bad = [name for name, value in zip(self.channels, action, strict=True) if not np.isfinite(value)]
            raise ValueError(f"action is not finite in {', '.join(bad)}; send finite numbers")
        return np.minimum(np.maximum(self.normalise(action), self.lower), self.upper)

    def normalise(self, action: np.ndarray) -> np.ndarray:
        """A copy with unit quaternions."""
        result = action.copy()
        for quat in self.quats:
            result[quat] = rotations.normalised(action[quat])
        return result

    def interpolate(self, a: np.ndarray, b: np.ndarray, weight: float) -> np.ndarray:
        """The action `weight` (0..1) of the way from a to b; rotations along the geodesic."""
        result = a + weight * (b - a)
        for quat in self.quats:
            result[quat] = rotations.slerp(a[quat], b[quat], weight)
        return result

    def difference(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """(rate_dim,) the way from action a to action b; rotations as rotation vectors in a's hand frame, rad."""
        result = np.empty(self.rate_dim)
        for part, channel in self._vectors:
            result[part] = b[channel] - a[channel]
        for part, channel in self._rotations:
            result[part] = rotations.to_rotvec(rotations.multiply(rotations.conjugate(a[channel]), b[channel]))
        return result

    def moved(self, a: np.ndarray, delta: np.ndarray) -> np.ndarray:
        """The action (dim,) that lies `delta` (rate_dim,) from a; inverse of `difference`."""
        result = np.empty(self.dim)
        for part, channel in self._vectors:
            result[channel] = a[channel] + delta[part]
        for part, channel in self._rotations:
            turned = rotations.multiply(a[channel], rotations.from_rotvec(delta[part]))
            result[channel] = rotations.normalised(turned)
        return result

    def step_towards(self, current: np.ndarray, target: np.ndarray, dt: float) -> tuple[np.ndarray, list[str]]:
        """Move from `current` towards `target` no faster than `speed` for `dt` seconds.

        A hand's position keeps its direction: its three channels are slowed together.

        Returns:
            The new action (dim,) and the parts that were slowed.
        """
        delta = self.difference(current, target)
        clamped: list[str] = []
        for part in self.parts:
            way = delta[part.rates]
            distance, limit = float(np.sqrt(way @ way)), float(self.speed[part.channels.start]) * dt
            if distance > limit:
                delta[part.rates] = way * (limit / distance)
                if distance > limit + 1e-12:
                    clamped.append(part.name)
        return self.moved(current, delta), clamped


def _parts(channels: tuple[str, ...]) -> tuple[Part, ...]:
    parts: list[Part] = []
    start = rate = 0
    while start < len(channels):
        hand = channels[start].removesuffix(".x")
        if channels[start : start + len(POSE)] == pose_channels(hand):
            middle, end = start + 3, start + len(POSE)
            parts.append(Part(f"{hand}.position", "position", slice(start, middle), slice(rate, rate + 3)))
            parts.append(Part(f"{hand}.orientation", "rotation", slice(middle, end), slice(rate + 3, rate + 6)))
            start, rate = end, rate + 6
        else:
            parts.append(Part(channels[start], "scalar", slice(start, start + 1), slice(rate, rate + 1)))
            start, rate = start + 1, rate + 1
    return tuple(parts)


def _merged(parts: tuple[Part, ...]) -> tuple[tuple[slice, slice], ...]:
    """(rates, channels) of neighbours that are treated alike, as one slice each: fewer NumPy calls."""
    merged: list[tuple[slice, slice]] = []
    for part in parts:
        if merged and (merged[-1][0].stop, merged[-1][1].stop) == (part.rates.start, part.channels.start):
            rates, channels = merged.pop()
            merged.append((slice(rates.start, part.rates.stop), slice(channels.start, part.channels.stop)))
        else:
            merged.append((part.rates, part.channels))
    return tuple(merged)
