"""Actions of an actor: as it is deployed, and as it explores."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from policies.rl.config import RlConfig
from policies.rl.networks import bounded
from policies.rl.weights import Published

ActsOn = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]  # as Deployed


def act(actor: ActsOn, observation: np.ndarray, base: np.ndarray, noise: torch.Tensor | None = None) -> np.ndarray:
    """(a,) float32: the total action for an observation (o,) and the base's action (a,)."""
    with torch.no_grad():
        return actor(torch.from_numpy(observation)[None], torch.from_numpy(base)[None], noise)[0].numpy()


class Explorer:
    """Chooses actions: of the base with uniform noise before anything is learnt, then of the actor with its own."""

    def __init__(self, config: RlConfig, published: Published, seed: int) -> None:
        self._config, self._published = config, published
        self._generator = torch.Generator().manual_seed((config.seed << 32) ^ (seed + 1))
        self._noise: torch.Tensor | None = None

    def act(self, observation: np.ndarray, base: np.ndarray) -> np.ndarray:
        """See `act`."""
        noise = self._drawn(len(base))
        if self._published.version == 0:
            proposed = torch.from_numpy(base)[None]
            return bounded(proposed + self._config.warmup_noise * noise, proposed)[0].numpy()
        return act(self._published.exploring, observation, base, noise)

    def _drawn(self, n: int) -> torch.Tensor:
        """(1, n) uniform in -1..1 before anything is learnt, standard normal then; in some steps that of the last."""
        held, draw = self._config.noise_held, self._generator
        if self._noise is None or not held or float(torch.rand((), generator=draw)) >= held:
            if self._published.version == 0:
                self._noise = 2.0 * torch.rand((1, n), generator=draw) - 1.0
            else:
                self._noise = torch.randn((1, n), generator=draw)
        return self._noise
