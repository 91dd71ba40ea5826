"""A policy as a policy server answers with it: an observation of any openpi client in, a chunk of actions out."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from policies.frames import shrink
from policies.inference import checked, warm_up
from policies.policy_choice import Chosen
from policies.remote_terms import IMAGE_KEY, STATE_KEY, describe

PREFIX = "observation/"


class ServedPolicy:
    """Checks what strangers send, then asks the policy. `infer` is called by one thread at a time."""

    def __init__(self, chosen: Chosen) -> None:
        self._policy = chosen.policy
        self._wanted = {STATE_KEY, *(IMAGE_KEY + camera for camera in self._policy.config.cameras)}
        self.metadata = describe(chosen)
        self.warm_s = warm_up(self._policy, np.zeros(len(self._policy.config.state_channels)))

    def infer(self, observation: Any) -> tuple[np.ndarray, float]:
        """Actions (action_horizon, action_dim) float64 in the channels' units, and the time that the policy took, s.

        Keys: `observation/state` (s,) and `observation/images/<camera>` uint8 RGB, (h, w, 3) or (3, h, w), of the
        policy's shape and no fewer pixels. `state` and `images` with the cameras within it, and dots for slashes, as
        LeRobot has them, are the same. `prompt` may be there; these policies do not read.

        Raises:
            ValueError: a key is missing or unknown, or a value is not what the policy takes.
        """
        given = self._named(observation)
        state = self._state(given[STATE_KEY])
        pictures = [self._picture(IMAGE_KEY + camera, given) for camera in self._policy.config.cameras]
        start = time.perf_counter()
        seed = zlib.crc32(b"".join((*(picture.tobytes() for picture in pictures), state.tobytes())))
        actions = checked(self._policy.predict(pictures, state, seed=seed), self._policy.config)
        return actions, time.perf_counter() - start

    def _named(self, observation: Any) -> dict[str, Any]:
        if not isinstance(observation, dict):
            raise ValueError(f"the observation is {type(observation).__name__}; allowed: a map with the keys "
                             f"{', '.join(sorted(self._wanted))}")
        given: dict[str, Any] = {}
        for name, value in _flat(observation):
            if name in given:
                raise ValueError(f"the observation has {name} twice; send it once")
            given[name] = value
        prompt = given.pop(f"{PREFIX}prompt", "")
        if not isinstance(prompt, str | bytes):
            raise ValueError(f"prompt is {type(prompt).__name__}; allowed: text")
        if set(given) != self._wanted:
            missing, unknown = sorted(self._wanted - set(given)), sorted(set(given) - self._wanted)
            raise ValueError(f"the observation lacks {', '.join(missing) or 'nothing'} and has "
                             f"{', '.join(unknown)[:300] or 'nothing'} too many; allowed: exactly "
                             f"{', '.join(sorted(self._wanted))}, and prompt")
        return given

    def _state(self, value: Any) -> np.ndarray:
        names = self._policy.config.state_channels
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu" or value.shape != (len(names),):
            raise ValueError(f"{STATE_KEY} is {_kind(value)}; allowed: numbers ({len(names)},): {', '.join(names)}")
        if not np.isfinite(value).all():
            bad = [name for name, number in zip(names, value, strict=True) if not np.isfinite(number)]
            raise ValueError(f"{STATE_KEY} is not finite: {', '.join(bad)}; allowed: finite numbers")
        return value.astype(np.float64)

    def _picture(self, name: str, given: Mapping[str, Any]) -> np.ndarray:
        value, config = given[name], self._policy.config
        is_picture = isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim == 3
        if is_picture and value.shape[-1] != 3 and value.shape[0] == 3:
            value = value.transpose(1, 2, 0)
        if not is_picture or value.shape[-1] != 3:
            raise ValueError(f"{name} is {_kind(value)}; allowed: uint8 RGB (height, width, 3) or (3, height, width)")
        if value.shape == (config.height, config.width, 3):
            return value
        try:
            return shrink(value, config.width, config.height)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error


def _flat(observation: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Full names with slashes, and values."""
    for key, value in observation.items():
        if not isinstance(key, str):
            raise ValueError(f"the observation has the key {str(key)[:40]}; allowed: text")
        name = prefix + key.replace(".", "/")
        if isinstance(value, dict):
            yield from _flat(value, name + "/")
        else:
            yield (name if name.startswith(PREFIX) else PREFIX + name), value


def _kind(value: Any) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
