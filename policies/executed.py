"""What the robot was really told, as the authority's references say it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Executed:
    """References of the authority: stamps (n,) int64 ns, rising; `references` (n, dim) in the rig's channels; and the
    stamp of the observation whose chunk was played, `chunk_stamps_ns` (n,), 0 where none was."""

    stamps_ns: np.ndarray
    references: np.ndarray
    chunk_stamps_ns: np.ndarray
