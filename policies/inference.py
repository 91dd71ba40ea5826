"""Runs a policy on observations: in the caller's thread (`answer`), or in a worker that always takes the newest."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from policies.frames import decode_frame
from policies.observation import Observation
from policies.predictor import Interface, Predictor
from policies.prefix import ActionPrefix

N_WARM_UPS = 3


@dataclass(frozen=True)
class Answer:
    """A chunk (chunk_size, a) in the channels' units, or None with the reason in `refusal`."""

    observation: Observation
    chunk: np.ndarray | None
    inference_s: float
    refusal: str = ""


def answer(policy: Predictor, observation: Observation, prefix: ActionPrefix | None = None) -> Answer:
    """The chunk for an observation; its noise is seeded by what was seen, so it does not depend on when that was."""
    start = time.perf_counter()
    config = policy.config
    try:
        if not np.isfinite(observation.state).all():
            raise ValueError("the state is not finite; allowed: finite numbers; look at the controller")
        pictures = [decode_frame(jpeg, config.width, config.height) for jpeg in observation.jpegs]
        seed = _content_seed(observation)
        chunk = checked(policy.predict(pictures, observation.state, seed=seed, prefix=prefix), config)
    except ValueError as error:
        return Answer(observation, None, time.perf_counter() - start, str(error))
    return Answer(observation, chunk, time.perf_counter() - start)


def checked(chunk: np.ndarray, config: Interface) -> np.ndarray:
    """The chunk (chunk_size, a) that a policy gave.

    Raises:
        ValueError: another shape, or numbers that are not finite.
    """
    wanted = config.chunk_size, len(config.action_channels)
    if chunk.shape != wanted:
        raise ValueError(f"the policy's chunk is {chunk.shape}; allowed: {wanted}, one column for each action channel")
    if not np.isfinite(chunk).all():
        raise ValueError("the policy's chunk is not finite; allowed: finite actions; check the checkpoint")
    return chunk


def _content_seed(observation: Observation) -> int:
    return zlib.crc32(b"".join((*observation.jpegs, observation.state.tobytes())))


def warm_up(policy: Predictor, state: np.ndarray) -> float:
    """Let torch choose its kernels before the policy may act, with a state (s,) as it may come; returns the last
    inference time in s.

    Raises:
        ValueError: the policy answers with something else than a chunk.
    """
    config = policy.config
    picture = np.zeros((config.height, config.width, 3), np.uint8)
    for _ in range(N_WARM_UPS):
        start = time.perf_counter()
        checked(policy.predict([picture] * len(config.cameras), state, seed=0), config)
    return time.perf_counter() - start


class InferenceWorker:
    """A thread with one slot: `submit` replaces an observation that has not been taken yet.

    The caller's thread writes the slot, the worker empties it; `answer` runs in the worker.
    """

    def __init__(self, answer: Callable[[Observation], None]) -> None:
        self._answer = answer
        self._slot: Observation | None = None
        self._changed = threading.Condition()
        self._closed = False
        self.n_overtaken = 0
        self._thread = threading.Thread(target=self._work, name="inference", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """False after a fault in `answer`, which it has printed."""
        return self._thread.is_alive()

    def submit(self, observation: Observation) -> None:
        with self._changed:
            self.n_overtaken += self._slot is not None
            self._slot = observation
            self._changed.notify()

    def clear(self) -> None:
        """Drop what waits."""
        with self._changed:
            self._slot = None

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                while self._slot is None and not self._closed:
                    self._changed.wait()
                observation, self._slot = self._slot, None
            if observation is None or self._closed:
                return
            self._answer(observation)
