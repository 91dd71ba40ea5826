"""Flow-matching chunk policy: camera keypoints, state and noise in, a chunk of actions out.

Rectified flow: x_t = (1 - t) noise + t chunk. The network predicts the clean chunk, not the velocity, so a small MLP
need not carry 400 numbers of noise through, one step is plain regression, and every further Euler step lets the policy
choose between futures that regression would average.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from policies.generative import GenerativePolicy, NoiseLevel
from policies.policy import Batch


class FlowPolicy(GenerativePolicy):
    """Few Euler steps from noise to a chunk."""

    NUM_INFERENCE_STEPS = 4

    def levels(self) -> list[NoiseLevel]:
        n = self.NUM_INFERENCE_STEPS
        return [NoiseLevel(i / n, i / n, 1.0 - i / n) for i in range(n)]

    def clean_chunk(self, noisy: torch.Tensor, level: NoiseLevel, context: torch.Tensor) -> torch.Tensor:
        return self.network(noisy, torch.full_like(noisy[:, :1], level.t), context)

    def loss(self, batch: Batch, generator: torch.Generator, state_noise: float, state_dropout: float) -> torch.Tensor:
        """Squared error of the clean chunk."""
        context = self.encode_noisy(batch, generator, state_noise, state_dropout).repeat(self.NOISES_PER_SAMPLE, 1)
        chunk = batch.chunk.flatten(1).repeat(self.NOISES_PER_SAMPLE, 1)
        t = self.uniform((len(chunk), 1), generator) ** 1.5  # more of the noisy end, where the images decide
        noise = self.normal(chunk.shape, generator)
        return functional.mse_loss(self.network((1.0 - t) * noise + t * chunk, t, context), chunk)
