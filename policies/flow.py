"""Flow-matching chunk policy: camera keypoints and state in, a chunk of actions out.

Rectified flow: x_t = (1 - t) noise + t chunk. The network predicts the clean chunk, not the velocity, so a small MLP need
not carry 400 numbers of noise through, one step is plain regression, and every further Euler step lets the policy choose
between futures that regression would average.

Images are uint8 RGB (b, cameras, h, w, 3); states (b, s) and chunks (b, chunk_size, a) are normalised unless said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from policies.chunk import CHUNK_DT_NS, CHUNK_SIZE
from policies.encoder import KeypointEncoder
from policies.normalise import Normaliser

STATE_LIMIT = 2.0  # normalised; a state further out than any demonstration says no more than "far out"


@dataclass(frozen=True)
class FlowConfig:
    """Everything that shapes the network; two policies with equal configs can exchange weights."""

    action_channels: tuple[str, ...]
    state_channels: tuple[str, ...]
    cameras: tuple[str, ...]
    width: int = 128
    height: int = 96
    chunk_size: int = CHUNK_SIZE
    chunk_dt_ns: int = CHUNK_DT_NS
    n_keypoints: int = 32
    context_dim: int = 256
    hidden_dim: int = 384
    n_blocks: int = 3
    num_inference_steps: int = 4


@dataclass(frozen=True)
class Batch:
    """Training samples. `shift` (b, cameras, 2): window moves in pixels; gain, offset (b, cameras, 3, 1, 1): colour jitter."""

    images: torch.Tensor
    state: torch.Tensor
    chunk: torch.Tensor
    shift: torch.Tensor | None = None
    gain: torch.Tensor | None = None
    offset: torch.Tensor | None = None


class FlowBlock(nn.Module):
    """Residual MLP block scaled and shifted by the context; starts as the identity."""

    def __init__(self, dim: int, context_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.film = nn.Linear(context_dim, 2 * dim)
        self.inner = nn.Linear(dim, dim)
        self.outer = nn.Linear(dim, dim)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        scale, shift = self.film(context).chunk(2, dim=-1)
        x1 = functional.silu(self.norm(x) * (1.0 + scale) + shift)
        return x + self.outer(functional.silu(self.inner(x1)))


class FlowPolicy(nn.Module):
    """Network, loss and prediction. The two normalisers are plain values, saved beside the weights."""

    N_TIME_FEATURES = 32
    NOISES_PER_SAMPLE = 4  # the images cost most of a step: several flow times share one encoding

    def __init__(self, config: FlowConfig, state: Normaliser, action: Normaliser) -> None:
        super().__init__()
        self.config, self.state_normaliser, self.action_normaliser = config, state, action
        flat = config.chunk_size * len(config.action_channels)
        seen = len(config.cameras) * config.n_keypoints * 2 + len(config.state_channels) + 1
        dim = config.context_dim
        self.encoders = nn.ModuleList(
            KeypointEncoder(config.height, config.width, config.n_keypoints) for _ in config.cameras)
        self.context = nn.Sequential(nn.Linear(seen, dim), nn.SiLU(), nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.time = nn.Sequential(nn.Linear(self.N_TIME_FEATURES, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.enter = nn.Linear(flat, config.hidden_dim)
        self.blocks = nn.ModuleList(FlowBlock(config.hidden_dim, dim) for _ in range(config.n_blocks))
        self.leave = nn.Linear(config.hidden_dim, flat)
        self.register_buffer("frequency", torch.exp(torch.linspace(0.0, 5.0, self.N_TIME_FEATURES // 2)), persistent=False)

    def encode(self, batch: Batch, state_dropped: torch.Tensor) -> torch.Tensor:
        """Context (b, context_dim); the state of rows where `state_dropped` (b, 1) is 1 is not used."""
        images = batch.images.permute(0, 1, 4, 2, 3).float() / 127.5 - 1.0  # (b, cameras, 3, h, w)
        if batch.gain is not None:
            images = images * batch.gain + batch.offset
        seen = []
        for i, encoder in enumerate(self.encoders):
            keypoints = encoder(images[:, i])  # (b, k, 2)
            if batch.shift is not None:  # back to the coordinates of the whole picture
                size = torch.tensor([self.config.width, self.config.height])
                keypoints = keypoints + (batch.shift[:, i] * 2.0 / size)[:, None]
            seen.append(keypoints.flatten(1))
        state = batch.state.clamp(-STATE_LIMIT, STATE_LIMIT) * (1.0 - state_dropped)
        return self.context(torch.cat([*seen, state, state_dropped], dim=1))

    def clean_chunk(self, noisy: torch.Tensor, t: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """The chunk (b, flat) that `noisy` (b, flat) at flow time t (b, 1) comes from."""
        angle = t * self.frequency
        context = context + self.time(torch.cat([angle.sin(), angle.cos()], dim=1))
        x = self.enter(noisy)
        for block in self.blocks:
            x = block(x, context)
        return self.leave(x)

    def loss(self, batch: Batch, generator: torch.Generator, state_noise: float, state_dropout: float) -> torch.Tensor:
        """Squared error of the clean chunk. State noise and dropout keep the policy from copying the state it has into
        the action it wants: during demonstrations the two are nearly equal."""
        noise = torch.randn(batch.state.shape, generator=generator) * state_noise
        dropped = (torch.rand((len(noise), 1), generator=generator) < state_dropout).float()
        noisy_state = Batch(batch.images, batch.state + noise, batch.chunk, batch.shift, batch.gain, batch.offset)
        context = self.encode(noisy_state, dropped).repeat(self.NOISES_PER_SAMPLE, 1)
        chunk = batch.chunk.flatten(1).repeat(self.NOISES_PER_SAMPLE, 1)
        t = torch.rand((len(chunk), 1), generator=generator) ** 1.5  # more of the noisy end, where the images decide
        start = torch.randn(chunk.shape, generator=generator)
        return functional.mse_loss(self.clean_chunk((1.0 - t) * start + t * chunk, t, context), chunk)

    @torch.no_grad()
    def sample(self, images: torch.Tensor, state: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Chunks (b, chunk_size, a) from noise of that shape, in num_inference_steps Euler steps."""
        context = self.encode(Batch(images, state, noise), torch.zeros(len(state), 1))
        x, n = noise.flatten(1), self.config.num_inference_steps
        for i in range(n):
            clean = self.clean_chunk(x, torch.full((len(x), 1), i / n), context)
            x = x + (clean - x) / (n - i)  # velocity (clean - x) / (1 - t) over 1 / n
        return x.unflatten(1, noise.shape[1:])

    def predict(self, pictures: Sequence[np.ndarray], state: np.ndarray, seed: int) -> np.ndarray:
        """One chunk (chunk_size, a) float64 in the channels' units, points chunk_dt apart after the observation.

        `pictures`: (h, w, 3) uint8 RGB per camera of the config; `state` (s,) in the channels' units. The noise comes
        from `seed` alone, so the same observation gives the same chunk.
        """
        generator = torch.Generator().manual_seed(seed % 2**63)
        shape = (1, self.config.chunk_size, len(self.config.action_channels))
        images = torch.from_numpy(np.stack(pictures))[None]
        encoded = torch.from_numpy(self.state_normaliser.encode(state))[None]
        chunk = self.sample(images, encoded, torch.randn(shape, generator=generator))
        return self.action_normaliser.decode(chunk[0].numpy())
