"""What a policy server and its client agree on: the metadata that ours sends, and what a client makes of anybody's.

openpi's servers say next to nothing in their metadata. What ours say: `protocol`, `robot`, `task`, `policy_sha256`,
`action_channels`, `state_channels`, `state_key`, `image_keys` (camera to key), `image_size` [height, width],
`action_horizon`, `action_dim`, `chunk_dt_s` (the first action is due so long after the observation).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np

from policies.frames import decode_frame
from policies.observation import Observation
from policies.remote_told import DT_S, MAX_PIXELS, Told

PROTOCOL = "retake/1"
STATE_KEY, IMAGE_KEY = "observation/state", "observation/images/"
MAX_HORIZON = 1000
T = TypeVar("T")


@dataclass(frozen=True)
class Robot:
    """The client's side: names of the robot, of its action channels (also the state's) and of its cameras."""

    name: str
    channels: tuple[str, ...]
    cameras: tuple[str, ...]


@dataclass(frozen=True)
class Terms:
    """How to ask this server and how to read its answer. `horizon` 0: it did not say how many actions it sends."""

    name: str  # of the policy, for the provenance
    dim: int
    state_key: str
    image_keys: Mapping[str, str]
    height: int
    width: int
    chunk_dt_ns: int
    horizon: int
    prompt: str
    pads: bool  # as openpi's clients do: black bars where the shape of the picture differs

    @property
    def cameras(self) -> tuple[str, ...]:
        """In the order in which an Observation has their pictures."""
        return tuple(self.image_keys)

    def request(self, observation: Observation) -> dict[str, Any]:
        """The message for an observation.

        Raises:
            ValueError: a picture is no JPEG or has another shape, or the state is not finite.
        """
        if not np.isfinite(observation.state).all():
            raise ValueError("the state is not finite; allowed: finite numbers; look at the controller")
        pictures = [self._picture(jpeg) for jpeg in observation.jpegs]
        return self.message(pictures, observation.state)

    def message(self, pictures: list[np.ndarray], state: np.ndarray) -> dict[str, Any]:
        """Pictures (height, width, 3) uint8 RGB in the order of `cameras` and the state (s,) as this server wants them.
        The state goes as float32, as openpi's clients send it, to servers that are not ours."""
        said: dict[str, Any] = dict(zip(self.image_keys.values(), pictures, strict=True))
        said[self.state_key] = state.astype(np.float32) if self.pads else state
        return {**said, "prompt": self.prompt} if self.prompt else said

    def chunk(self, answer: Any) -> np.ndarray:
        """The actions (n, dim) float64 of an answer.

        Raises:
            ValueError: there are none, or they are not finite or not of the agreed shape.
        """
        actions = answer.get("actions") if isinstance(answer, dict) else None
        if not isinstance(actions, np.ndarray) or actions.dtype.kind != "f":
            raise ValueError(f"the server's answer has no array of floats in 'actions', but {_kind(actions)}")
        low, high = (self.horizon, self.horizon) if self.horizon else (1, MAX_HORIZON)
        if actions.ndim != 2 or actions.shape[1] != self.dim or not low <= len(actions) <= high:
            raise ValueError(f"the server's actions are {actions.shape}; allowed: ({low if low == high else 'n'}, "
                             f"{self.dim}), one column for each action channel; serve a policy of this robot")
        if not np.isfinite(actions).all():
            raise ValueError("the server's actions are not finite; allowed: finite numbers; check its checkpoint")
        return actions.astype(np.float64)

    def _picture(self, jpeg: bytes) -> np.ndarray:
        if not self.pads:
            return decode_frame(jpeg, self.width, self.height)
        picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
        if picture is None:
            raise ValueError(f"{len(jpeg)} bytes are no JPEG; allowed: a whole one; check the camera's driver")
        h, w = picture.shape[:2]
        scale = min(self.width / w, self.height / h)
        if scale > 1.0:
            raise ValueError(f"a {w}x{h} picture for a server that takes {self.width}x{self.height}; allowed: no fewer "
                             "pixels; set the camera to a larger size")
        w, h = min(self.width, max(1, round(w * scale))), min(self.height, max(1, round(h * scale)))
        left, top = (self.width - w) // 2, (self.height - h) // 2
        padded = np.zeros((self.height, self.width, 3), np.uint8)
        padded[top : top + h, left : left + w] = cv2.resize(picture[..., ::-1], (w, h), interpolation=cv2.INTER_AREA)
        return padded


def describe(chosen: Any) -> dict[str, Any]:
    """The metadata of a served policy, Chosen (policies/policy_choice.py)."""
    config = chosen.policy.config
    return {
        "protocol": PROTOCOL, "robot": chosen.robot or None, "task": chosen.task, "policy_sha256": chosen.sha256,
        "action_channels": list(config.action_channels), "state_channels": list(config.state_channels),
        "state_key": STATE_KEY, "image_keys": {camera: IMAGE_KEY + camera for camera in config.cameras},
        "image_size": [config.height, config.width], "action_horizon": config.chunk_size,
        "action_dim": len(config.action_channels), "chunk_dt_s": config.chunk_dt_ns / 1e9,
    }  # fmt: skip


def agree(metadata: Any, robot: Robot, told: Told, address: str) -> Terms:
    """What holds between a server that sent this metadata and this robot.

    Raises:
        ValueError: the server says that it is for something else, or neither it nor the person says enough.
    """
    _check_robot(metadata, robot)
    size = metadata.get("image_size")
    missing: list[str] = []
    state_key = _one("state_key", metadata.get("state_key"), told.state_key, missing, "")
    keys = _one("image_keys", metadata.get("image_keys"), told.image_keys, missing, {})
    height, width = _pair(_one("image_size", tuple(size) if isinstance(size, list) else size, told.image_size, missing,
                               (1, 1)))
    dt_s = _one("chunk_dt_s", metadata.get("chunk_dt_s"), told.chunk_dt_s, missing, DT_S[0])
    if missing:
        raise ValueError(
            f"the server does not say {', '.join(missing)}; say it: remote:='state=observation/state "
            "images=head:observation/image size=224x224 dt_ms=50', if its actions are exactly "
            f"{', '.join(robot.channels)}"
        )
    horizon = metadata.get("action_horizon", 0)
    _check_chunks(dt_s, horizon)
    _check_keys(state_key, keys, robot)
    return Terms(_name(metadata, address), len(robot.channels), state_key, dict(keys), height, width,
                 round(dt_s * 1e9), horizon, told.prompt, pads="protocol" not in metadata)


def _check_robot(metadata: Any, robot: Robot) -> None:
    if not isinstance(metadata, dict):
        raise ValueError(f"the server's metadata is {_kind(metadata)}; allowed: a map; is it a policy server?")
    protocol = metadata.get("protocol", PROTOCOL)
    if protocol != PROTOCOL:
        raise ValueError(f"the server speaks {str(protocol)[:40]!r}; allowed: {PROTOCOL!r}; take one release for both")
    _same("robot", metadata.get("robot"), robot.name)
    for name in ("action_channels", "state_channels"):
        _same(name, metadata.get(name), list(robot.channels))
    _same("action_dim", metadata.get("action_dim"), len(robot.channels))


def _check_chunks(dt_s: Any, horizon: Any) -> None:
    if type(dt_s) not in (int, float) or not DT_S[0] <= dt_s <= DT_S[1]:
        raise ValueError(f"the server says chunk_dt_s {str(dt_s)[:40]}; allowed: {DT_S[0]} to {DT_S[1]} s")
    if type(horizon) is not int or not 0 <= horizon <= MAX_HORIZON:
        raise ValueError(f"the server says action_horizon {str(horizon)[:40]}; allowed: up to {MAX_HORIZON}")


def _check_keys(state_key: Any, image_keys: Any, robot: Robot) -> None:
    keys = list(image_keys.values()) if isinstance(image_keys, Mapping) else []
    if not keys or not all(isinstance(key, str) and key for key in (state_key, *keys)):
        raise ValueError("the server's state_key or image_keys are wrong; allowed: text, a map from cameras to text")
    if len({state_key, "prompt", *keys}) != len(keys) + 2:
        raise ValueError(f"two things under one key: {', '.join((state_key, *keys))[:200]}; give each its own")
    if unknown := [str(camera) for camera in image_keys if camera not in robot.cameras]:
        raise ValueError(f"the server wants the cameras {', '.join(unknown)[:200]}; {robot.name} has: "
                         f"{', '.join(robot.cameras)}; serve a policy of this robot")


def _name(metadata: dict, address: str) -> str:
    """Our policies go by their weights, others by what is known of them."""
    sha256 = metadata.get("policy_sha256")
    if isinstance(sha256, str) and sha256.isalnum() and sha256.isascii():
        return sha256[:16]
    return f"remote-{hashlib.sha256((address + repr(metadata)).encode()).hexdigest()[:9]}"


def _same(what: str, said: Any, wanted: Any) -> None:
    if said is None or said == wanted:
        return
    if isinstance(wanted, list) and isinstance(said, list):
        missing, extra = [c for c in wanted if c not in said], [str(c) for c in said if c not in wanted]
        why = f"missing {missing}, unknown {extra}" if missing or extra else "another order"
        raise ValueError(f"the server has other {what} ({why[:400]}); allowed: {', '.join(wanted)}; serve a policy of "
                         "this robot")
    raise ValueError(f"the server says {what} {str(said)[:80]!r}; allowed: {wanted!r}; serve a policy of this robot")


def _one(what: str, said: Any, told: T | None, missing: list[str], blank: T) -> Any:
    """What the server says, or else what a person says; both only if they say the same."""
    if said is None and told is None:
        missing.append(what)
        return blank
    if said is not None and told is not None and said != told:
        raise ValueError(f"the server says {what} {str(said)[:80]}, remote:= says {told}; leave it out of remote:=")
    return told if said is None else said


def _pair(size: Any) -> tuple[int, int]:
    if not isinstance(size, tuple) or len(size) != 2 or any(type(n) is not int or not 1 <= n <= MAX_PIXELS
                                                            for n in size):
        raise ValueError(f"the server says image_size {str(size)[:80]}; allowed: [height, width], 1 to {MAX_PIXELS}")
    return size


def _kind(value: Any) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
