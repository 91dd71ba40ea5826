"""A policy of your own: `policy:=my_package.my_module:MyPolicy`, a class that the graph can import.

    class MyPolicy:
        robot = "yam"
        cameras, width, height = ("wrist", "front"), 128, 96
        hand = tuple(f"left_ee.{axis}" for axis in ("x", "y", "z", "qx", "qy", "qz", "qw"))
        state_channels = action_channels = (*hand, "left_gripper")
        chunk_dt_s = 0.066

        def predict(self, pictures, state, seed):
            return np.tile(state, (24, 1))  # stay where you are

It is made once, without arguments. `predict` gets one picture (height, width, 3) uint8 RGB per camera and the state
(s,) in the channels' units, and gives actions (n, a), always as many, `chunk_dt_s` apart, the first so long after the
observation; a ValueError says why there is none. What is random comes from `seed`: equal observations, equal chunks.
The chunks are played as they come; `execution:=temporal_ensembling` averages them. The policy goes by the hash of its
module's source, which does not cover weights that it loads.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from policies.predictor import LATEST, PlainInterface
from policies.prefix import ActionPrefix

DT_S = (0.001, 1.0)
SIDE_PX = (8, 4096)
EXAMPLE = "policies/user_policy.py has an example in ten lines"


class UserPolicy:
    """The class as the graph asks it."""

    execution, takes_prefix = LATEST, False

    def __init__(self, choice: str, example: np.ndarray | None = None) -> None:
        """Import and make it, and ask it once, with the state `example` (s,) or zeros, for the number of actions.

        Raises:
            ValueError: it cannot be imported, it lacks something, or something is not what it must be.
        """
        kind = _imported(choice)
        self.sha256 = hashlib.sha256(Path(inspect.getfile(kind)).read_bytes()).hexdigest()
        read = _Members(kind, choice)
        self.robot = str(read("robot"))
        width, height = read.number("width", SIDE_PX, int), read.number("height", SIDE_PX, int)
        dt_ns = round(read.number("chunk_dt_s", DT_S, float) * 1e9)
        actions, states, cameras = (read.names(name) for name in ("action_channels", "state_channels", "cameras"))
        read("predict")
        self._predict: Callable[..., Any] = kind().predict
        picture, state = np.zeros((height, width, 3), np.uint8), np.zeros(len(states)) if example is None else example
        chunk = self.predict([picture] * len(cameras), state, seed=0)
        if chunk.ndim != 2 or len(chunk) == 0:
            read.refuse(f"predict gives {chunk.shape}", f"(n, {len(actions)}), n actions")
        self.config = PlainInterface(actions, states, cameras, width, height, len(chunk), dt_ns)

    def predict(
        self, pictures: Sequence[np.ndarray], state: np.ndarray, seed: int, prefix: ActionPrefix | None = None
    ) -> np.ndarray:
        """Its chunk; it does not hear of prefixes."""
        return np.asarray(self._predict(list(pictures), state, seed), dtype=np.float64)


class _Members:
    """What the class says about itself, checked."""

    def __init__(self, kind: type, choice: str) -> None:
        self._kind, self._choice = kind, choice

    def refuse(self, what: str, allowed: str) -> NoReturn:
        raise ValueError(f"{self._choice}: {what}; allowed: {allowed}; {EXAMPLE}")

    def __call__(self, name: str) -> Any:
        if not hasattr(self._kind, name):
            self.refuse(f"the class has no {name}", "robot, cameras, width, height, state_channels, action_channels, "
                        "chunk_dt_s and predict")
        return getattr(self._kind, name)

    def names(self, name: str) -> tuple[str, ...]:
        value = self(name)
        if not isinstance(value, tuple) or not value or not all(isinstance(v, str) for v in value) \
                or len(set(value)) < len(value):
            self.refuse(f"{name} is {str(value)[:80]}", "a tuple of names, each once")
        return value

    def number(self, name: str, bounds: tuple[float, float], kind: type[int] | type[float]) -> Any:
        value: Any = self(name)
        if not isinstance(value, kind) or isinstance(value, bool) or not bounds[0] <= value <= bounds[1]:
            self.refuse(f"{name} is {value!r}", f"{kind.__name__}, {bounds[0]} to {bounds[1]}")
        return value


def _imported(choice: str) -> type:
    module, _, name = choice.partition(":")
    try:
        kind = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise ValueError(f"{choice}: {error}; install the package, or start where it can be imported") from error
    if not isinstance(kind, type):
        raise ValueError(f"{choice}: {module} has no class {name}; {EXAMPLE}")
    return kind
