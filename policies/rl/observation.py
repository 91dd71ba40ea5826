"""What a learner sees and does in a robot's own terms; the same in one process, in the launched graph and from its
recordings.

An action is the way of the reference in one step, by some of the layout's rates, in units of `action_range`. Seen are
where a frozen policy's encoders find their features in the pictures, the pose as that policy has it, and how far it is
behind the reference, which tells what the robot touches. No object's pose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from policies.policy import STATE_LIMIT, Batch, ChunkPolicy

BEHIND_M, BEHIND, BEHIND_MAX = 0.01, 0.1, 5.0  # what 1 means of a position, of anything else; the most


class Layout(Protocol):
    """Of a rig's action channels; controllers/action_layout.py has it."""

    parts: tuple[Any, ...]
    rate_dim: int
    rate_names: tuple[str, ...]

    def difference(self, a: np.ndarray, b: np.ndarray) -> np.ndarray: ...
    def moved(self, a: np.ndarray, delta: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class Rates:
    """The entries of a layout's rate vector that an action (a,) has, and what 1 means of each, m or rad per step."""

    layout: Layout
    indices: np.ndarray
    action_range: np.ndarray

    @staticmethod
    def named(layout: Layout, names: Sequence[str], action_range: Sequence[float]) -> Rates:
        """Raises ValueError for rates that the layout does not have."""
        if missing := [name for name in names if name not in layout.rate_names]:
            raise ValueError(f"no rate {', '.join(missing)}; allowed: {', '.join(layout.rate_names)}")
        return Rates(layout, np.array([layout.rate_names.index(name) for name in names]), np.array(action_range))

    @property
    def names(self) -> tuple[str, ...]:
        """As `left_ee.position[0]`."""
        return tuple(self.layout.rate_names[i] for i in self.indices)

    def action(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """(a,) float32: the way from `start` to `end`, both (dim,)."""
        way = self.layout.difference(start, end)[self.indices]
        return (way / self.action_range).astype(np.float32)

    def displacement(self, action: np.ndarray) -> np.ndarray:
        """(rate_dim,) m and rad, of an action or a difference of two."""
        full = np.zeros(self.layout.rate_dim)
        full[self.indices] = action * self.action_range
        return full


def behind(layout: Layout, reference: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """(rate_dim,) the way from the reference (dim,) to the pose (dim,) that follows it, about 1 at 1 cm, 0.1 rad or
    0.1: the robot is pushed by that."""
    way = layout.difference(reference, pose)
    scale = np.full(len(way), BEHIND)
    for part in layout.parts:
        if part.kind == "position":
            scale[part.rates] = BEHIND_M
    return np.clip(way / scale, -BEHIND_MAX, BEHIND_MAX)


def feature_dim(policy: ChunkPolicy, layout: Layout) -> int:
    """Numbers of `features`."""
    return policy.n_seen + len(policy.config.state_channels) + layout.rate_dim


@torch.no_grad()
def features(
    policy: ChunkPolicy, layout: Layout, pictures: Sequence[np.ndarray], pose: np.ndarray, reference: np.ndarray
) -> np.ndarray:
    """(feature_dim,) float32 for pictures (h, w, 3) uint8 RGB as the policy takes them, the measured pose (dim,) and
    the reference (dim,) that has led there.

    Raises:
        ValueError: a picture or the pose is not of the policy's shape.
    """
    images, state = policy.inputs(pictures, pose)
    keypoints = policy.see(Batch(images, state, state.new_empty((1, 0))))[0].cpu().numpy()
    known = np.clip(state[0].cpu().numpy(), -STATE_LIMIT, STATE_LIMIT)
    return np.concatenate([keypoints, known, behind(layout, reference, pose)]).astype(np.float32)
