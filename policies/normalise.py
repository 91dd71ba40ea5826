"""Scaling of states and actions to about [-1, 1], and quaternions found by channel name.

A quaternion and its negative are one rotation, so four channels `<part>.qx .qy .qz .qw` are flipped to the half of
the sphere where their mean lies before scaling, and brought back to unit length after decoding.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

# Half ranges below which a channel counts as still: 5 cm (or 0.05 of a quaternion, or 0.05 rad), 5 N of squeeze.
# Without a floor a channel that the demonstrations barely move would turn encoder noise into large network inputs.
MINIMUM_HALF_RANGE = 0.05
MINIMUM_HALF_RANGE_SQUEEZE = 5.0


@cache
def quaternion_groups(channels: tuple[str, ...]) -> list[list[int]]:
    """Indices (x, y, z, w) of every complete quaternion among the channels. Looked for once: it took a tenth of a
    millisecond of every observation."""
    index = {name: i for i, name in enumerate(channels)}
    parts = [name[: -len(".qx")] for name in channels if name.endswith(".qx")]
    wanted = [[f"{part}.{axis}" for axis in ("qx", "qy", "qz", "qw")] for part in parts]
    return [[index[name] for name in names] for names in wanted if all(name in index for name in names)]


def renormalise(values: np.ndarray, channels: tuple[str, ...]) -> np.ndarray:
    """Copy of values (..., n) with every quaternion at unit length; one near zero becomes the identity."""
    values = np.array(values)
    for group in quaternion_groups(channels):
        quat = values[..., group]
        norm = np.linalg.norm(quat, axis=-1, keepdims=True)
        identity = np.array([0.0, 0.0, 0.0, 1.0], values.dtype)
        values[..., group] = np.where(norm > 1e-6, quat / np.maximum(norm, 1e-6), identity)
    return values


def align(values: np.ndarray, towards: np.ndarray, channels: tuple[str, ...]) -> np.ndarray:
    """Copy of values (..., n) whose quaternions lie on the same half sphere as those of `towards` (n,)."""
    values = np.array(values)
    for group in quaternion_groups(channels):
        flip = (values[..., group] @ towards[group]) < 0.0
        values[..., group] = np.where(flip[..., None], -values[..., group], values[..., group])
    return values


@dataclass(frozen=True)
class Normaliser:
    """Affine map of n named channels; `centre` and `half_range` are (n,) in the channels' own units."""

    channels: tuple[str, ...]
    centre: np.ndarray
    half_range: np.ndarray

    @classmethod
    def fit(cls, channels: tuple[str, ...], values: np.ndarray) -> Normaliser:
        """Take centre and half range of values (k, n) from their 0.5 and 99.5 percentiles, floored per channel."""
        values = align(values, values[0], channels)
        values = align(values, values.mean(axis=0), channels)
        low, high = np.percentile(values, [0.5, 99.5], axis=0)
        is_force = np.array([name.endswith("squeeze") for name in channels])
        floor = np.where(is_force, MINIMUM_HALF_RANGE_SQUEEZE, MINIMUM_HALF_RANGE)
        return cls(channels, (low + high) / 2.0, np.maximum((high - low) / 2.0, floor))

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Channels' units (..., n) to normalised float32 (..., n)."""
        return ((align(values, self.centre, self.channels) - self.centre) / self.half_range).astype(np.float32)

    def decode(self, normalised: np.ndarray) -> np.ndarray:
        """Normalised (..., n) to the channels' units float64 (..., n), quaternions at unit length."""
        return renormalise(np.asarray(normalised, np.float64) * self.half_range + self.centre, self.channels)
