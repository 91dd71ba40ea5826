"""Small made-up episodes and configs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from policies.rl import config as configs
from policies.rl.config import RlConfig
from policies.rl.episode import About, RlEpisode
from policies.timeline import SEGMENTS


def about(**changes) -> About:
    return replace(About("yam", "arm_insert", ("x", "y"), "state", "base", "run"), **changes)


def episode(n: int, seed: int = 0, end: str = "truncated", person: Iterable[int] = (), **more) -> RlEpisode:
    """n steps with observations (n + 1, 3) and actions (n, 2); a person acts in some."""
    rng = np.random.default_rng(seed)
    segment = np.full(n, SEGMENTS.index("policy"), np.uint8)
    segment[list(person)] = SEGMENTS.index("correction")

    def draw(*shape: int) -> np.ndarray:
        return rng.uniform(-0.5, 0.5, shape).astype(np.float32)

    return RlEpisode(about(), draw(n + 1, 3), draw(n + 1, 2), draw(n, 2), draw(n), segment, np.ones(n, np.uint8), end,
                     0, seed, **more)  # fmt: skip


def small(kind: str, observation_dim: int = 3, action_dim: int = 2, **changes) -> RlConfig:
    """A config whose updates take a millisecond."""
    made = getattr(configs, kind)(observation_dim, action_dim)
    quick = {"hidden_dim": 32, "batch_size": 32, "n_critics": 3, "warmup_steps": 20, "critic_only_updates": 5,
             "updates_per_step": 1, "actor_every": 2}  # fmt: skip
    return replace(made, **{**quick, **changes})
