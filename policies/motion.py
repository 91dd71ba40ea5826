"""How fast named actions move, part by part: positions m/s, rotations rad/s, everything else its unit per second."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

AXES = ("x", "y", "z")
QUATERNION = ("qx", "qy", "qz", "qw")


def parts(channels: tuple[str, ...]) -> dict[str, list[int]]:
    """Channels that move as one: `left_ee.position` 3, `left_ee.orientation` 4 (x y z w), `base.height` 1 ..."""
    index = {name: i for i, name in enumerate(channels)}
    found: dict[str, list[int]] = {}
    for name in channels:
        hand, _, axis = name.rpartition(".")
        for kind, axes in (("position", AXES), ("orientation", QUATERNION)):
            whole = [f"{hand}.{each}" for each in axes]
            if axis in axes and all(each in index for each in whole):
                found[f"{hand}.{kind}"] = [index[each] for each in whole]
                break
        else:
            found[name] = [index[name]]
    return found


def unit(part: str) -> str:
    """Of the part's velocity."""
    if part.endswith(".position"):
        return "m/s"
    return "rad/s" if part.endswith(".orientation") else "1/s"


def velocities(stamps_ns: np.ndarray, values: np.ndarray, channels: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Per part (n - 1, size): the mean velocity between neighbouring stamps; of rotations the rotation vector's.

    Args:
        stamps_ns: (n,) int64, increasing.
        values: (n, channels).
    """
    dt = np.diff(stamps_ns)[:, None] / 1e9
    moved: Mapping[str, np.ndarray] = {
        part: _turns(values[:, where]) if part.endswith(".orientation") else np.diff(values[:, where], axis=0)
        for part, where in parts(channels).items()
    }
    return {part: way / dt for part, way in moved.items()}


def _turns(quats: np.ndarray) -> np.ndarray:
    """Rotation vectors (n - 1, 3), rad, from each quaternion (x y z w) of (n, 4) to the next."""
    a, b = quats[:-1], quats[1:]
    ax, aw, bx, bw = a[:, :3], a[:, 3:], b[:, :3], b[:, 3:]
    x = aw * bx - bw * ax - np.cross(ax, bx)
    w = aw * bw + np.sum(ax * bx, axis=1, keepdims=True)
    x, w = np.where(w < 0, -x, x), np.abs(w)
    sine = np.linalg.norm(x, axis=1, keepdims=True)
    angle = 2 * np.arctan2(sine, w)
    return x * np.where(sine > 1e-12, angle / np.maximum(sine, 1e-12), 2.0)


def speeds(velocity: np.ndarray) -> np.ndarray:
    """(n,) lengths of velocities (n, size)."""
    return np.linalg.norm(velocity, axis=1)
