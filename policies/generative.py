"""What flow matching and diffusion share: a network that takes noise out of a chunk, and the way from noise to chunk.

Both noise a chunk as x = alpha chunk + sigma noise and differ in the schedule of (alpha, sigma). With the clean chunk
estimated, the deterministic step from one level of noise to the next is the same: DDIM (Song et al. 2021, eq. 12 with
eta = 0), of which an Euler step of rectified flow is the case alpha = t, sigma = 1 - t.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import nn

from policies.normalise import Normaliser
from policies.policy import ChunkPolicy, FilmBlock, PolicyConfig
from policies.predictor import REALTIME_CHUNKING
from policies.prefix import Prefix

MAX_GUIDANCE = 5.0  # beta of real-time chunking: few steps cannot follow more


@dataclass(frozen=True)
class NoiseLevel:
    """x = alpha chunk + sigma noise, at time t from 0 (noise) to 1 (chunk) as the network is told it."""

    t: float
    alpha: float
    sigma: float


class GenerativePolicy(ChunkPolicy):
    """Noise to chunk in a few steps. A kind adds its schedule, its loss and what its network predicts."""

    execution, takes_prefix = REALTIME_CHUNKING, True
    N_TIME_FEATURES = 32
    NOISES_PER_SAMPLE = 4  # the images cost most of a training step: several noises share one encoding

    def __init__(self, config: PolicyConfig, state: Normaliser, action: Normaliser) -> None:
        super().__init__(config, state, action)
        flat, dim = config.chunk_size * len(config.action_channels), config.context_dim
        self.time = nn.Sequential(nn.Linear(self.N_TIME_FEATURES, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.enter = nn.Linear(flat, config.hidden_dim)
        self.blocks = nn.ModuleList(FilmBlock(config.hidden_dim, dim) for _ in range(config.n_blocks))
        self.leave = nn.Linear(config.hidden_dim, flat)
        frequency = torch.exp(torch.linspace(0.0, 5.0, self.N_TIME_FEATURES // 2))
        self.frequency: torch.Tensor
        self.register_buffer("frequency", frequency, persistent=False)

    def network(self, noisy: torch.Tensor, t: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """What the kind predicts (b, flat) from a noisy chunk (b, flat), its time (b, 1) and the context."""
        context = context + self.moment(t)
        x = self.enter(noisy)
        for block in self.blocks:
            x = block(x, context)
        return self.leave(x)

    def moment(self, t: torch.Tensor) -> torch.Tensor:
        """What the network is told (b, context_dim) of its time (b, 1)."""
        angle = t * self.frequency
        return self.time(torch.cat([angle.sin(), angle.cos()], dim=1))

    @abstractmethod
    def levels(self) -> list[NoiseLevel]:
        """Of the inference steps, noisiest first; after the last of them the chunk is clean."""

    @abstractmethod
    def clean_chunk(self, noisy: torch.Tensor, level: NoiseLevel, context: torch.Tensor) -> torch.Tensor:
        """The chunk (b, flat) that `noisy` (b, flat) at that level comes from, as far as the network can tell."""

    def denoise(self, noise: torch.Tensor, context: torch.Tensor, prefix: Prefix | None = None) -> torch.Tensor:
        """The chunk (b, flat) that standard normal noise (b, flat) becomes, in one evaluation per level."""
        levels, x = self.levels(), noise
        for level, after in zip(levels, [*levels[1:], NoiseLevel(1.0, 1.0, 0.0)], strict=True):
            clean = self.clean_chunk(x, level, context) if prefix is None else self._guided(x, level, context, prefix)
            x = after.alpha * clean + after.sigma * (x - level.alpha * clean) / level.sigma
        return x

    def _guided(self, x: torch.Tensor, level: NoiseLevel, context: torch.Tensor, prefix: Prefix) -> torch.Tensor:
        """The clean chunk (b, flat), drawn to the prefix: all of it, as far as one end of a chunk says something of the
        other, by the gradient of the prefix's error (real-time chunking, arXiv 2506.07339, eqs. 2 to 4), and what is
        executed for certain exactly. Where the weight is smaller nothing is replaced: each chunk would keep half of
        the one before, and the robot would see late (arm_pick, 24 seeds: 20 and 21 successes became 23 and 23).
        """
        scale = level.alpha + level.sigma
        t = level.alpha / scale  # x / scale is a sample of rectified flow at this time
        strength = MAX_GUIDANCE if t <= 0.0 else min(MAX_GUIDANCE, (t**2 + (1.0 - t) ** 2) / (t * (1.0 - t)))
        with torch.enable_grad():
            noisy = x.detach().requires_grad_()
            clean = self.clean_chunk(noisy, level, context.detach())
            (towards,) = torch.autograd.grad(clean, noisy, prefix.inpaint(clean.detach()) - clean.detach())
        return prefix.committed(clean.detach() + (1.0 - t) * strength * scale * towards)

    def draw(self, context: torch.Tensor, generator: torch.Generator, prefix: Prefix | None = None) -> torch.Tensor:
        """Chunks (b, chunk_size, a) from the generator's noise, in agreement with the prefix."""
        shape = (len(context), self.config.chunk_size, len(self.config.action_channels))
        return self.denoise(self.normal(shape, generator).flatten(1), context, prefix).unflatten(1, shape[1:])
