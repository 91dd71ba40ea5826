"""Diffusion policy: denoising diffusion over action chunks, trained as DDPM, sampled by DDIM in a few steps.

Objective and schedule are those of Chi et al. 2023 (arXiv 2303.04137) and of the DDPM and DDIM papers (Ho et al. 2020,
Song et al. 2021), the network is not: the MLP of `policies.generative` in place of a U-Net, for CPUs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from policies.generative import GenerativePolicy, NoiseLevel
from policies.normalise import Normaliser
from policies.policy import Batch, PolicyConfig

MAX_BETA = 0.999  # of the cosine schedule, whose last step would otherwise leave nothing of the chunk at all
COSINE_OFFSET = 0.008  # Nichol and Dhariwal 2021, eq. 17


@dataclass(frozen=True)
class DiffusionConfig(PolicyConfig):
    """Named as in diffusers and LeRobot.

    The network predicts the `sample` by default, as for flow matching: an MLP no wider than the chunk need not carry
    its noise through. On the two ways of tests/policies, 250 steps: `sample` and `epsilon` end near one of them in more
    than 85 % of the draws, `v_prediction` in 37 %.
    """

    num_train_timesteps: int = 100
    num_inference_steps: int = 10  # as RL-100 deploys and distils (arXiv 2510.14830)
    beta_schedule: str = "squaredcos_cap_v2"
    prediction_type: str = "sample"

    BETA_SCHEDULES = ("squaredcos_cap_v2", "linear")
    PREDICTION_TYPES = ("sample", "epsilon", "v_prediction")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta_schedule not in self.BETA_SCHEDULES or self.prediction_type not in self.PREDICTION_TYPES:
            raise ValueError(
                f"beta_schedule {self.beta_schedule!r} and prediction_type {self.prediction_type!r}; allowed: "
                f"{', '.join(self.BETA_SCHEDULES)} and {', '.join(self.PREDICTION_TYPES)}"
            )
        if not 1 <= self.num_inference_steps <= self.num_train_timesteps <= 10_000:
            raise ValueError(
                f"num_inference_steps {self.num_inference_steps} of num_train_timesteps {self.num_train_timesteps}; "
                "allowed: 1 <= num_inference_steps <= num_train_timesteps <= 10000"
            )


def alphas_cumprod(beta_schedule: str, num_train_timesteps: int) -> torch.Tensor:
    """(num_train_timesteps,) float32: how much variance of the chunk is left after each step of noise."""
    steps = torch.arange(num_train_timesteps + 1, dtype=torch.float64) / num_train_timesteps
    if beta_schedule == "linear":  # Ho et al. 2020, for their 1000 steps; shorter schedules add as much noise in all
        scale = 1000.0 / num_train_timesteps
        beta = torch.linspace(1e-4, 0.02, num_train_timesteps, dtype=torch.float64) * scale
    else:
        left = torch.cos((steps + COSINE_OFFSET) / (1.0 + COSINE_OFFSET) * math.pi / 2.0) ** 2
        beta = 1.0 - left[1:] / left[:-1]
    return torch.cumprod(1.0 - beta.clamp(max=MAX_BETA), dim=0).float()


class DiffusionPolicy(GenerativePolicy):
    """DDIM steps from noise to a chunk, evenly spaced and from the very noisiest."""

    Config = DiffusionConfig
    CLIP_RANGE = 3.0  # normalised; of the clean estimate, which at the noisy end divides an epsilon by nearly nothing

    def __init__(self, config: DiffusionConfig, state: Normaliser, action: Normaliser) -> None:
        super().__init__(config, state, action)
        self.diffusion = config
        left = alphas_cumprod(config.beta_schedule, config.num_train_timesteps)
        self.alpha: torch.Tensor
        self.sigma: torch.Tensor
        self.register_buffer("alpha", left.sqrt(), persistent=False)
        self.register_buffer("sigma", (1.0 - left).sqrt(), persistent=False)

    def levels(self) -> list[NoiseLevel]:
        n, total = self.diffusion.num_inference_steps, self.diffusion.num_train_timesteps
        steps = [round(total - i * total / n) - 1 for i in range(n)]
        return [NoiseLevel(self._time(k), float(self.alpha[k]), float(self.sigma[k])) for k in steps]

    def _time(self, step: Any) -> Any:
        """As the network is told it: 0 for the noisiest step, as for flow matching."""
        return 1.0 - (step + 1) / self.diffusion.num_train_timesteps

    def clean_chunk(self, noisy: torch.Tensor, level: NoiseLevel, context: torch.Tensor) -> torch.Tensor:
        said = self.network(noisy, torch.full_like(noisy[:, :1], level.t), context)
        if self.diffusion.prediction_type == "epsilon":
            said = (noisy - level.sigma * said) / level.alpha
        elif self.diffusion.prediction_type == "v_prediction":
            said = level.alpha * noisy - level.sigma * said
        return said.clamp(-self.CLIP_RANGE, self.CLIP_RANGE)

    def loss(self, batch: Batch, generator: torch.Generator, state_noise: float, state_dropout: float) -> torch.Tensor:
        """Squared error of what the network predicts: the noise, the clean chunk or v (Salimans and Ho 2022)."""
        context = self.encode_noisy(batch, generator, state_noise, state_dropout).repeat(self.NOISES_PER_SAMPLE, 1)
        chunk = batch.chunk.flatten(1).repeat(self.NOISES_PER_SAMPLE, 1)
        total = self.diffusion.num_train_timesteps
        step = (self.uniform((len(chunk), 1), generator) * total).long().clamp(max=total - 1)
        noise = self.normal(chunk.shape, generator)
        alpha, sigma = self.alpha[step], self.sigma[step]  # (b, 1)
        said = self.network(alpha * chunk + sigma * noise, self._time(step), context)
        wanted = {"sample": chunk, "epsilon": noise, "v_prediction": alpha * noise - sigma * chunk}
        return functional.mse_loss(said, wanted[self.diffusion.prediction_type])
