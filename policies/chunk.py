"""Action chunks: when their points are due, and the chunk that a recording answers a camera frame with."""

from __future__ import annotations

import numpy as np

from policies.normalise import align, renormalise

CHUNK_SIZE = 24
CHUNK_DT_NS = 66_000_000  # the cameras' period


def chunk_times_ns(size: int = CHUNK_SIZE, dt_ns: int = CHUNK_DT_NS) -> np.ndarray:
    """Times (size,) int64 of the points after the observation's stamp: dt, 2 dt, ..."""
    return np.arange(1, size + 1, dtype=np.int64) * dt_ns


def recorded_chunks(
    frame_stamps_ns: np.ndarray,
    actions: np.ndarray,
    action_stamps_ns: np.ndarray,
    channels: tuple[str, ...],
    size: int = CHUNK_SIZE,
    dt_ns: int = CHUNK_DT_NS,
) -> np.ndarray:
    """Chunks (n, size, c) of what was commanded after each frame: actions (m, c) at their stamps, linear between.

    Past the end of the episode the last action repeats, and counts in the loss like any other point: staying where
    the task ended is the right thing to do then, and masking it would leave the policy's last second untrained.
    """
    actions = align(actions, actions[0], channels)
    due = (frame_stamps_ns[:, None] + chunk_times_ns(size, dt_ns)).ravel()
    origin = action_stamps_ns[0]  # float64 of a difference: ns since 1970 would lose 128 ns steps
    at, known = (due - origin).astype(np.float64), (action_stamps_ns - origin).astype(np.float64)
    columns = [np.interp(at, known, actions[:, c]) for c in range(actions.shape[1])]
    return renormalise(np.stack(columns, axis=-1), channels).reshape(len(frame_stamps_ns), size, -1)
