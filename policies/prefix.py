"""What a new chunk must agree with: the actions that will be executed before it takes over, and some after them.

Weights as in real-time chunking (Black et al. 2025, arXiv 2506.07339, section 4.2): 1 for steps that are executed for
certain while the policy still thinks, falling to 0 where the new chunk is free.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from policies.normalise import Normaliser


@dataclass(frozen=True)
class ActionPrefix:
    """In the channels' units: actions (chunk_size, a) at the new chunk's own times, weight (chunk_size,) in 0..1.

    Where the weight is 0 the actions do not matter, but must be finite.
    """

    actions: np.ndarray
    weight: np.ndarray

    def normalised(self, normaliser: Normaliser, device: torch.device) -> Prefix:
        """For `ChunkPolicy.sample` with a batch of one.

        Raises:
            ValueError: shapes that do not fit, numbers that are not finite or weights outside 0..1.
        """
        wanted = (len(self.weight), len(normaliser.channels))
        if self.actions.shape != wanted or self.weight.ndim != 1:
            raise ValueError(f"the prefix has actions {self.actions.shape} and weight {self.weight.shape}; allowed: "
                             f"{wanted} and (chunk_size,); align the previous chunk to the new one's times first")
        if not np.isfinite(self.actions).all() or not ((self.weight >= 0.0) & (self.weight <= 1.0)).all():
            raise ValueError("the prefix is not finite or a weight is outside 0..1; allowed: finite actions, weights "
                             "from 0 to 1; send no prefix where nothing was executed")
        chunk = torch.from_numpy(normaliser.encode(self.actions))[None]
        return Prefix(chunk.to(device), torch.from_numpy(self.weight.astype(np.float32)).to(device))


@dataclass(frozen=True)
class Prefix:
    """Normalised: chunk (b, chunk_size, a), weight (chunk_size,) in 0..1."""

    chunk: torch.Tensor
    weight: torch.Tensor

    def inpaint(self, clean: torch.Tensor) -> torch.Tensor:
        """Chunks (b, flat) drawn to the prefix as far as its weight says."""
        return clean + self._weights() * (self.chunk.flatten(1) - clean)

    def committed(self, clean: torch.Tensor) -> torch.Tensor:
        """Chunks (b, flat) with what is executed for certain, weight 1, as it will be."""
        return torch.where(self._weights() >= 1.0, self.chunk.flatten(1), clean)

    def distance(self, chunks: torch.Tensor) -> torch.Tensor:
        """(b, k): squared distance of chunks (b, k, flat), as far as the weight says."""
        return (self._weights() * (chunks - self.chunk.flatten(1)[:, None]) ** 2).sum(dim=-1)

    def _weights(self) -> torch.Tensor:
        """(flat,) of the numbers of a chunk."""
        return self.weight[:, None].expand(self.chunk.shape[1:]).flatten()
