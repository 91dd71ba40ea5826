"""What a teleoperation device says, whatever it is, and the rules that make its dead man's control one. Pure.

A device reads as `hands` only while its dead man's control is held, and as None otherwise. Nothing here remembers a
motion: what is not said anew, has ended. Times are s of one steady clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

FORGET_S = 1.0  # messages that are late, or do not come, for so long: the sender's clock may be another one now
DRIFT = 1e-3  # s per s that two clocks may drift apart


@dataclass(frozen=True)
class Hands:
    """What a held device asks for. Axes are the rig's: x ahead, y left, z up; a side is `left` or `right`.

    A rig without that side or channel simply has nothing there that moves.
    """

    twists: Mapping[str, np.ndarray] = field(default_factory=dict)  # side: (6,) -1..1 of the speed, linear then angular
    poses: Mapping[str, np.ndarray] = field(default_factory=dict)  # side: (7,) m, x y z w; only how it moves counts
    rates: Mapping[str, float] = field(default_factory=dict)  # channel: -1..1 of its speed
    closing: Mapping[str, float] = field(default_factory=dict)  # side: how fast the grasp closes, -1..1 of its speed
    grasps: Mapping[str, float] = field(default_factory=dict)  # side: how closed the grasp is, 0 open .. 1


@dataclass(frozen=True)
class Reading:
    """One reading of a device. `hands` and `rewind` are None while nobody holds them."""

    hands: Hands | None = None
    rewind: float | None = None  # -1 back at full speed .. +1 forward again
    calls: tuple[str, ...] = ()  # services asked for since the last reading; take_over is the device's own
    fault: str = ""  # why the device cannot be heard
    ages_ms: Mapping[str, float] = field(default_factory=dict)  # stage: how old the input was after it


@dataclass(frozen=True)
class Shown:
    """What a device that has a screen tells its person."""

    authority: str
    has_robot: bool  # this device does
    operator: str  # the device that has it, empty when none does
    text: str  # the newest answer
    authority_ms: float | None  # age of the newest teleop_action when authority used it


class Device(Protocol):
    """One teleoperation device."""

    def read(self, now: float) -> Reading:
        """What it says at `now`."""
        ...

    def show(self, shown: Shown) -> None:
        """Tell its person; devices without a screen have nothing to do."""

    def close(self) -> None:
        """Let go of the hardware."""


class DeadMan:
    """Held, but only after it was seen released since the device was last lost: a stuck or forgotten one is none."""

    def __init__(self) -> None:
        self._is_armed = False

    def update(self, is_pressed: bool, is_alive: bool) -> bool:
        """Whether it is held; `is_alive`: the device is there and speaks."""
        self._is_armed = is_alive and (self._is_armed or not is_pressed)
        return self._is_armed and is_pressed


class Lateness:
    """How much later than the fastest one a message came; the sender's clock may have any offset to ours."""

    def __init__(self) -> None:
        self._offset = self._at = 0.0
        self._late_since: float | None = None
        self._is_known = False

    def of(self, sent: float, now: float, allowed: float) -> float:
        """s that a message stamped `sent` is late, arriving at `now`; more than `allowed` for long restarts this."""
        offset = now - sent
        if not self._is_known or now - self._at > FORGET_S:
            self._is_known, self._offset = True, offset
        else:
            self._offset = min(offset, self._offset + DRIFT * (now - self._at))
        self._at = now
        late = offset - self._offset
        if late <= allowed:
            self._late_since = None
        elif self._late_since is None:
            self._late_since = now
        elif now - self._late_since > FORGET_S:
            self._is_known, self._late_since = False, None
        return late


def shaped(value: float, deadzone: float) -> float:
    """A stick's value -1..1 without what it says at rest, and finer in the middle."""
    size = max(0.0, abs(value) - deadzone) / (1.0 - deadzone)
    return float(np.copysign(min(size, 1.0) ** 2, value))
