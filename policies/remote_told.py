"""What a person says about a policy server that does not say it itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MAX_PIXELS = 4096  # of a side
DT_S = (0.001, 1.0)  # between actions


@dataclass(frozen=True)
class Told:
    """None, or empty, where they said nothing."""

    state_key: str | None = None
    image_keys: Mapping[str, str] | None = None
    image_size: tuple[int, int] | None = None  # height, width
    chunk_dt_s: float | None = None
    prompt: str = ""
