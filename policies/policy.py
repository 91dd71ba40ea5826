"""What every chunk policy is: a config, two normalisers, an encoder of observations, a loss and a way to sample.

Images are uint8 RGB (b, cameras, h, w, 3); states (b, s) and chunks (b, chunk_size, a) are normalised unless said.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from policies.chunk import CHUNK_DT_NS, CHUNK_SIZE
from policies.encoder import ENCODERS
from policies.normalise import Normaliser
from policies.predictor import LATEST
from policies.prefix import ActionPrefix, Prefix

STATE_LIMIT = 2.0  # normalised; a state further out than any demonstration says no more than "far out"


@dataclass(frozen=True)
class PolicyConfig:
    """Everything that shapes a network; two policies of one kind with equal configs can exchange weights."""

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
    encoder: str = "patch"

    def __post_init__(self) -> None:
        """Raises ValueError for an unknown encoder."""
        if self.encoder not in ENCODERS:
            raise ValueError(f"encoder {self.encoder!r}; allowed: {', '.join(ENCODERS)}")


@dataclass(frozen=True)
class Batch:
    """Training samples. `shift` (b, cameras, 2): window moves, pixels; gain, offset (b, cameras, 3, 1, 1): colours;
    `seen` (b, `ChunkPolicy.n_seen`): what the encoders made of the images, where that is known already."""

    images: torch.Tensor
    state: torch.Tensor
    chunk: torch.Tensor
    shift: torch.Tensor | None = None
    gain: torch.Tensor | None = None
    offset: torch.Tensor | None = None
    seen: torch.Tensor | None = None


class FilmBlock(nn.Module):
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
        hidden = functional.silu(self.norm(x) * (1.0 + scale) + shift)
        return x + self.outer(functional.silu(self.inner(hidden)))


class ChunkPolicy(nn.Module, ABC):
    """The encoder and the prediction; a kind of policy adds `loss` and `draw`. Normalisers are plain values, saved
    beside the weights."""

    Config: ClassVar[type[PolicyConfig]] = PolicyConfig  # a kind with parameters of its own has its own
    execution: ClassVar[str] = LATEST  # how its chunks follow each other, see policies/execution.py
    takes_prefix: ClassVar[bool] = False  # draws one of several chunks, such as goes on from what is executed

    def __init__(self, config: PolicyConfig, state: Normaliser, action: Normaliser) -> None:
        super().__init__()
        self.config, self.state_normaliser, self.action_normaliser = config, state, action
        self.n_seen = len(config.cameras) * config.n_keypoints * 2
        seen, dim = self.n_seen + len(config.state_channels) + 1, config.context_dim
        self.encoders = encoders_of(config)
        self.context = nn.Sequential(
            nn.Linear(seen, dim), nn.SiLU(), nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, dim)
        )

    @abstractmethod
    def loss(self, batch: Batch, generator: torch.Generator, state_noise: float, state_dropout: float) -> torch.Tensor:
        """Scalar loss; every random number comes from the generator."""

    @abstractmethod
    def draw(self, context: torch.Tensor, generator: torch.Generator, prefix: Prefix | None = None) -> torch.Tensor:
        """Chunks (b, chunk_size, a) for contexts (b, context_dim) that agree with the prefix if the kind of policy
        can; every random number comes from the generator."""

    @torch.no_grad()
    def sample(
        self, images: torch.Tensor, state: torch.Tensor, generator: torch.Generator, prefix: Prefix | None = None
    ) -> torch.Tensor:
        """Chunks (b, chunk_size, a) for observations, without gradients; see `draw`."""
        return self.draw(self.context_of(images, state), generator, prefix)

    @property
    def device(self) -> torch.device:
        """Where the weights are, and everything that goes in."""
        return next(self.parameters()).device

    def normal(self, shape: Sequence[int], generator: torch.Generator) -> torch.Tensor:
        """Standard normal numbers on the policy's device, the same ones on every device."""
        return torch.randn(tuple(shape), generator=generator).to(self.device)

    def uniform(self, shape: Sequence[int], generator: torch.Generator) -> torch.Tensor:
        """Numbers from 0 to below 1 on the policy's device, the same ones on every device."""
        return torch.rand(tuple(shape), generator=generator).to(self.device)

    def see(self, batch: Batch) -> torch.Tensor:
        """Keypoints (b, n_seen) of the images, camera by camera, in the coordinates of the whole pictures."""
        images = batch.images.permute(0, 1, 4, 2, 3).float().div_(127.5).sub_(1.0)  # (b, cameras, 3, h, w)
        if batch.gain is not None and batch.offset is not None:
            images = images * batch.gain + batch.offset
        if not self.config.cameras:
            return images.new_empty((len(images), 0))
        keypoints = self.encoders(images)  # (b, cameras, k, 2)
        if batch.shift is not None:
            size = torch.tensor([self.config.width, self.config.height], device=keypoints.device)
            keypoints = keypoints + (batch.shift * 2.0 / size)[:, :, None]
        return keypoints.flatten(1)

    def encode(self, batch: Batch, state_dropped: torch.Tensor) -> torch.Tensor:
        """Context (b, context_dim); the state of rows where `state_dropped` (b, 1) is 1 is not used."""
        seen = self.see(batch) if batch.seen is None else batch.seen
        state = batch.state.clamp(-STATE_LIMIT, STATE_LIMIT) * (1.0 - state_dropped)
        return self.context(torch.cat([seen, state, state_dropped], dim=1))

    def encode_noisy(
        self, batch: Batch, generator: torch.Generator, state_noise: float, state_dropout: float
    ) -> torch.Tensor:
        """`encode` with noise on the state and some states dropped, which keeps the policy from copying the state it
        has into the action it wants: during demonstrations the two are nearly equal."""
        noise = self.normal(batch.state.shape, generator) * state_noise
        dropped = (self.uniform((len(noise), 1), generator) < state_dropout).float()
        return self.encode(replace(batch, state=batch.state + noise), dropped)

    def context_of(self, images: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        """Context (b, context_dim) of observations as they are."""
        no_chunk = state.new_empty((len(state), 0))
        return self.encode(Batch(images, state, no_chunk), state.new_zeros((len(state), 1)))

    def predict(
        self, pictures: Sequence[np.ndarray], state: np.ndarray, seed: int, prefix: ActionPrefix | None = None
    ) -> np.ndarray:
        """One chunk (chunk_size, a) float64 in the channels' units, points chunk_dt apart after the observation.

        `pictures`: (h, w, 3) uint8 RGB per camera of the config; `state` (s,) in the channels' units. What is random
        comes from `seed` alone, so the same observation and prefix give the same chunk.

        Raises:
            ValueError: the observation or the prefix is not of the policy's shape.
        """
        agreed = None if prefix is None else prefix.normalised(self.action_normaliser, self.device)
        chunk = self.sample(*self.inputs(pictures, state), generator_of(seed), agreed)[0]
        return self.action_normaliser.decode(chunk.cpu().numpy())

    def inputs(self, pictures: Sequence[np.ndarray], state: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """One observation, as `predict` takes it, for `sample`.

        Raises:
            ValueError: a camera is missing, or a picture or the state is not of the policy's shape.
        """
        cameras, size = self.config.cameras, (self.config.height, self.config.width, 3)
        if [(picture.shape, picture.dtype) for picture in pictures] != [(size, np.uint8)] * len(cameras):
            given = [(picture.shape, str(picture.dtype)) for picture in pictures]
            raise ValueError(f"{len(given)} pictures {', '.join(map(str, sorted(set(given))))}; allowed: "
                             f"{len(cameras)} of {size} uint8 RGB, of {', '.join(cameras)}; see `policies.frames`")
        if state.shape != (len(self.config.state_channels),):
            raise ValueError(f"the state is {state.shape}; allowed: ({len(self.config.state_channels)},): "
                             f"{', '.join(self.config.state_channels)}")
        images = torch.from_numpy(np.array(pictures, np.uint8).reshape(1, len(cameras), *size)).to(self.device)
        return images, torch.from_numpy(self.state_normaliser.encode(state))[None].to(self.device)


def encoders_of(config: PolicyConfig) -> nn.Module:
    """Of all cameras at once, see `policies.encoder`; with random weights."""
    n = len(config.cameras)
    return ENCODERS[config.encoder](n, config.height, config.width, config.n_keypoints) if n else nn.Module()


def generator_of(seed: int) -> torch.Generator:
    """Of any integer."""
    return torch.Generator().manual_seed(seed % 2**63)
