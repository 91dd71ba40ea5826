"""Flow-matching chunk policy: camera keypoints, state and noise in, a chunk of actions out.

Rectified flow: x_t = (1 - t) noise + t chunk. The network predicts the clean chunk, not the velocity, so a small MLP
need not carry 400 numbers of noise through, one step is plain regression, and every further Euler step lets the policy
choose between futures that regression would average.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from policies.normalise import Normaliser
from policies.policy import Batch, ChunkPolicy, FilmBlock, PolicyConfig


class FlowPolicy(ChunkPolicy):
    """Few Euler steps from noise to a chunk."""

    NUM_INFERENCE_STEPS = 4
    N_TIME_FEATURES = 32
    NOISES_PER_SAMPLE = 4  # the images cost most of a step: several flow times share one encoding

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

    def clean_chunk(self, noisy: torch.Tensor, t: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """The chunk (b, flat) that `noisy` (b, flat) at flow time t (b, 1) comes from."""
        angle = t * self.frequency
        context = context + self.time(torch.cat([angle.sin(), angle.cos()], dim=1))
        x = self.enter(noisy)
        for block in self.blocks:
            x = block(x, context)
        return self.leave(x)

    def loss(self, batch: Batch, generator: torch.Generator, state_noise: float, state_dropout: float) -> torch.Tensor:
        """Squared error of the clean chunk."""
        context = self.encode_noisy(batch, generator, state_noise, state_dropout).repeat(self.NOISES_PER_SAMPLE, 1)
        chunk = batch.chunk.flatten(1).repeat(self.NOISES_PER_SAMPLE, 1)
        t = torch.rand((len(chunk), 1), generator=generator) ** 1.5  # more of the noisy end, where the images decide
        start = torch.randn(chunk.shape, generator=generator)
        return functional.mse_loss(self.clean_chunk((1.0 - t) * start + t * chunk, t, context), chunk)

    @torch.no_grad()
    def sample(self, images: torch.Tensor, state: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Chunks (b, chunk_size, a) in NUM_INFERENCE_STEPS Euler steps from the generator's noise."""
        shape = (len(state), self.config.chunk_size, len(self.config.action_channels))
        noise = torch.randn(shape, generator=generator)
        context = self.encode(Batch(images, state, noise), torch.zeros(len(state), 1))
        x, n = noise.flatten(1), self.NUM_INFERENCE_STEPS
        for i in range(n):
            clean = self.clean_chunk(x, torch.full((len(x), 1), i / n), context)
            x = x + (clean - x) / (n - i)  # velocity (clean - x) / (1 - t) over 1 / n
        return x.unflatten(1, shape[1:])
