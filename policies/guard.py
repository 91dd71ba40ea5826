"""Where the robot is when a task is done: a box around the poses in which successes ended, from what it measures alone.

A classifier of pictures can be fooled by a policy that is rewarded by it; what cannot be done at all from where the
hand is, or with what the gripper holds, is no success whatever it looks like.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import le

import numpy as np

MARGIN = 0.1  # of what the successes span
MARGIN_MIN = 0.02  # m, or of a scalar's unit
ROTATION = (".qx", ".qy", ".qz", ".qw")


@dataclass(frozen=True)
class Guard:
    """`low` and `high` of each of `channels`: positions and scalars; rotations are free."""

    channels: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        """Raises ValueError for limits that are none."""
        if not len(self.low) == len(self.high) == len(self.channels) or not all(map(le, self.low, self.high)):
            raise ValueError(f"a guard of {len(self.channels)} channels from {self.low} to {self.high}; allowed: a "
                             "lower and an upper number for each; train again")

    def outside(self, channels: Sequence[str], pose: np.ndarray) -> tuple[str, ...]:
        """The channels in which a pose (n,) is not where successes end; empty where it may be one.

        Raises:
            ValueError: the pose lacks a channel.
        """
        at = dict(zip(channels, pose.tolist(), strict=True))
        if missing := [name for name in self.channels if name not in at]:
            raise ValueError(f"no channel {', '.join(missing)}; allowed: a pose with {', '.join(self.channels)}")
        limits = zip(self.channels, self.low, self.high, strict=True)
        return tuple(name for name, low, high in limits if not low <= at[name] <= high)


def fit_guard(channels: Sequence[str], poses: np.ndarray) -> Guard:
    """Around poses (n, c) at the ends of successes."""
    kept = [k for k, name in enumerate(channels) if not name.endswith(ROTATION)]
    low, high = poses[:, kept].min(0), poses[:, kept].max(0)
    margin = np.maximum(MARGIN * (high - low), MARGIN_MIN)
    return Guard(tuple(channels[k] for k in kept), tuple((low - margin).tolist()), tuple((high + margin).tolist()))
