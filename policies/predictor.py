"""What the graph asks of a policy, whoever made it: names and sizes of what goes in and comes out, and a chunk.

Ours are `policies.policy.ChunkPolicy`; LeRobot's come through `policies.lerobot_policy`, a person's own class through
`policies.user_policy`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from policies.prefix import ActionPrefix

# How the chunks of a policy follow each other, see policies/execution.py
REALTIME_CHUNKING, TEMPORAL_ENSEMBLING, LATEST = "realtime_chunking", "temporal_ensembling", "latest"


class Interface(Protocol):
    """Channels and cameras by name, in the policy's order; pictures `width` x `height` px; a chunk has `chunk_size`
    actions, `chunk_dt_ns` apart, the first so long after the observation."""

    @property
    def action_channels(self) -> tuple[str, ...]: ...
    @property
    def state_channels(self) -> tuple[str, ...]: ...
    @property
    def cameras(self) -> tuple[str, ...]: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def chunk_size(self) -> int: ...
    @property
    def chunk_dt_ns(self) -> int: ...


@dataclass(frozen=True)
class PlainInterface:
    """An Interface and no more."""

    action_channels: tuple[str, ...]
    state_channels: tuple[str, ...]
    cameras: tuple[str, ...]
    width: int
    height: int
    chunk_size: int
    chunk_dt_ns: int


class Predictor(Protocol):
    """`execution`: how its chunks should follow each other; `takes_prefix`: it can draw a chunk that goes on from what
    is executed."""

    @property
    def config(self) -> Interface: ...
    @property
    def execution(self) -> str: ...
    @property
    def takes_prefix(self) -> bool: ...

    def predict(
        self, pictures: Sequence[np.ndarray], state: np.ndarray, seed: int, prefix: ActionPrefix | None = None
    ) -> np.ndarray:
        """Actions (chunk_size, a) in the channels' units for pictures (height, width, 3) uint8 RGB in the order of the
        cameras and a state (s,). What is random comes from `seed`. A prefix comes to those alone that
        take one.

        Raises:
            ValueError: why there is no chunk for this observation.
        """
