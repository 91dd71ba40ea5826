"""Demonstrators who pass something on two sides, and small policies that learn it: what regression would average."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from policies.normalise import Normaliser
from policies.policy import Batch

CHANNELS = ("left_ee.x", "left_ee.y", "left_ee.z")
SMALL = {"chunk_size": 6, "n_keypoints": 4, "context_dim": 32, "hidden_dim": 64, "n_blocks": 2}
STATISTICS = Normaliser(CHANNELS, np.zeros(3), np.ones(3))


def small(kind, **changes):
    """A policy without cameras: what it sees is its state."""
    torch.manual_seed(0)
    return kind(kind.Config(CHANNELS, CHANNELS, (), 16, 16, **SMALL, **changes), STATISTICS, STATISTICS)


def observations(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros((n, 0, 16, 16, 3), dtype=torch.uint8), torch.zeros((n, 3))


@cache
def trained(kind, n_steps: int = 250):
    """Of 6 points (0, y, 0.3) each: half of the demonstrators keep left (y = 0.8), half keep right (y = -0.8)."""
    policy = small(kind)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(1)
    images, state = observations(64)
    for _ in range(n_steps):
        side = torch.where(torch.rand((64, 1, 1), generator=generator) < 0.5, 0.8, -0.8)
        chunk = torch.cat([torch.zeros(64, 6, 1), side.expand(-1, 6, 1), torch.full((64, 6, 1), 0.3)], dim=2)
        loss = policy.loss(Batch(images, state, chunk), generator, 0.0, 0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return policy.eval()
