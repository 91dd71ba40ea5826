"""What the headset's page sends, 72 to 120 times a second: checked at the border, in the rig's axes. Pure.

The page speaks JSON in WebXR's axes (x right, y up, z towards the person); here x is ahead, y left, z up.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from retake.teleop.poses import checked_pose

MAX_BYTES = 4096
DELAY_MAX_MS = 60_000.0
CALLS = ("take_over", "hand_back", "stop", "release_stop", "correct", "episode/success", "episode/failure")
SIDES = ("left", "right")


@dataclass(frozen=True)
class Controller:
    """One controller: pose (7,) of its grip, how far grip and trigger are pressed 0..1, stick -1..1 (right, up)."""

    pose: np.ndarray
    grip: float
    trigger: float
    stick: tuple[float, float]
    first: bool  # A or X
    second: bool  # B or Y
    press: bool  # of the stick


@dataclass(frozen=True)
class Frame:
    """The state of the headset when it was drawn."""

    sent_s: float  # by the headset's clock
    delay_ms: float | None  # from the headset to here, half a round trip, as the page measures it
    head: np.ndarray  # (7,)
    controllers: Mapping[str, Controller]


def parse(text: str | bytes) -> Frame | str:
    """A frame, or the service that a button of the page asks for.

    Raises:
        ValueError: anything else.
    """
    if not isinstance(text, str):
        raise ValueError("bytes; the page sends text")
    try:
        return _parsed(json.loads(text, parse_constant=_no_number))
    except (RecursionError, OverflowError) as error:
        raise ValueError(f"nested too deeply, or a number too large ({error})") from None


def _parsed(said: Any) -> Frame | str:
    if not isinstance(said, dict):
        raise ValueError(f"{type(said).__name__}; the page sends an object")
    if set(said) == {"call"}:
        if said["call"] not in CALLS:
            raise ValueError(f"call {said['call']!r:.40}; allowed: {', '.join(CALLS)}")
        return str(said["call"])
    if set(said) != {"t", "delay_ms", "head", "hands"}:
        raise ValueError(f"an object with {', '.join(sorted(said))!r:.80}; a frame has t, delay_ms, head, hands")
    hands = said["hands"]
    if not isinstance(hands, dict) or not set(hands) <= set(SIDES):
        raise ValueError("hands must be an object with left, right or none")
    delay = None if said["delay_ms"] is None else _number(said, "delay_ms", 0.0, DELAY_MAX_MS)
    return Frame(1e-3 * _number(said, "t", 0.0, 1e12), delay, _pose(said["head"]),
                 {side: _controller(hand) for side, hand in hands.items()})


def rig_pose(pose: np.ndarray) -> np.ndarray:
    """A pose (7,) in WebXR's axes, in the rig's: ahead is -z, left is -x, up is y."""
    x, y, z, qx, qy, qz, qw = pose.tolist()
    return np.array([-z, -x, y, -qz, -qx, qy, qw])


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _number(said: Mapping[str, Any], name: str, low: float, high: float) -> float:
    value = said.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError(f"{name} is {value!r:.40}, allowed is a number from {low:g} to {high:g}")
    return float(value)


def _flag(said: Mapping[str, Any], name: str) -> bool:
    value = said.get(name)
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r:.40}, allowed: true, false")
    return value


def _pose(values: Any) -> np.ndarray:
    is_list = isinstance(values, list) and len(values) == 7
    if not is_list or not all(isinstance(v, (int, float)) and math.isfinite(v) for v in values):
        raise ValueError("a pose is seven finite numbers: x y z in m, qx qy qz qw")
    return rig_pose(checked_pose(values))


def _controller(said: Any) -> Controller:
    if not isinstance(said, dict):
        raise ValueError("a hand must be an object")
    stick = said.get("stick")
    if not isinstance(stick, list) or len(stick) != 2:
        raise ValueError("stick must be two numbers")
    right, down = (_number({"stick": v}, "stick", -1.001, 1.001) for v in stick)
    return Controller(_pose(said.get("pose")), _number(said, "grip", 0.0, 1.0), _number(said, "trigger", 0.0, 1.0),
                      (right, -down), _flag(said, "first"), _flag(said, "second"), _flag(said, "press"))
