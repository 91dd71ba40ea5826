"""A SpaceMouse (3Dconnexion) as a teleoperation device: pushing and turning its cap moves and turns one hand.

The dead man is the cap itself: let go, it springs back, and the stream ends. A device that is unplugged is looked for
every second. First button: the next hand. Second: the grasp moves while it is held, closing the first time, opening the
next. Both together: take over, or hand back. A stop needs another device. Needs the extra `hardware` (pyspacemouse).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from controllers.rigs import Rig
from retake.errors import UserError
from retake.panel.targets import sides_of
from retake.ros.realtime import TELEOP
from retake.ros.spin import run
from retake.teleop.device import DeviceParameters, TeleopDevice
from retake.teleop.hands import DeadMan, Device, Hands, Reading, Shown, shaped

NAME = "spacemouse"
HELD = 0.12  # of the cap's range; below it a hand merely rests on the device
SILENCE_S = 0.15  # a displaced cap reports some 60 times a second
REPORTS = 64  # what the kernel keeps; all are read each time, or the hand would follow seconds later
LOOK_AGAIN_S = 1.0
GRASP_S = 1.0  # a button that is held reports nothing more: after so long it counts as let go
NEVER_T = -1.0  # time stamp of a state without any report
AXES = ("x", "y", "z", "roll", "pitch", "yaw")  # HID_Z_UP: x right, y away, z up, turns about them
GONE = "plug it in (needs libhidapi-hidraw0 and read access to /dev/hidraw*)"


class Mouse(Protocol):
    """What pyspacemouse's device has of interest."""

    def read(self) -> Any:
        """Take one report; t, x .. yaw and buttons after it. OSError: it is gone."""

    def close(self) -> None:
        """Close the HID device."""


class SpaceMouse(Device):
    """Reads the device 80 times a second."""

    def __init__(self, rig: Rig, open_mouse: Callable[[], Mouse]) -> None:
        """`open_mouse` raises OSError with the reason when there is none."""
        self._open = open_mouse
        self._mouse: Mouse | None = None
        self._sides, self._chosen = sides_of(rig), 0
        self._fault, self._look_at = "", -math.inf
        self._t = NEVER_T
        self._heard: float | None = None  # the newest report of this connection
        self._grasped = -math.inf
        self._buttons, self._is_closing, self._has_robot = (False, False), False, False
        self._was_pair = False  # both buttons have been down since none was
        self._calls: list[str] = []
        self._dead_man = DeadMan()

    @property
    def side(self) -> str:
        """The hand that the cap moves: left, right or both."""
        return self._sides[self._chosen]

    def read(self, now: float) -> Reading:
        """What the cap says at `now`."""
        try:
            state = self._newest(now)
        except OSError as error:
            if self._mouse is not None:
                self.close()
            self._fault = f"no SpaceMouse ({error}): {GONE}; then let the cap go once"
            self._look_at = now + LOOK_AGAIN_S
            state = None
        if state is None or self._heard is None:  # one that has not spoken yet may be held down
            self._dead_man.update(False, False)
            return Reading(fault="" if state else self._fault)
        values = [float(getattr(state, axis)) for axis in AXES]
        if not all(math.isfinite(v) and abs(v) < 2.0 for v in values):
            raise UserError(f"the SpaceMouse reports {values}, allowed is -1 to 1; this model is not known well enough")
        self._press(state.buttons, now)
        calls, self._calls = tuple(self._calls), []
        right, away, up, about_right, about_away, yaw = (shaped(max(-1.0, min(1.0, v)), HELD) for v in values)
        twist = np.array([away, -right, up, about_away, -about_right, yaw])
        if now - self._heard > SILENCE_S:
            twist = np.zeros(6)  # what it said last no longer holds
        is_grasping = self._buttons == (False, True) and now - self._grasped < GRASP_S
        held = self._dead_man.update(bool(np.any(twist)) or is_grasping, True)
        return Reading(self._hands(twist, is_grasping) if held else None, calls=calls)

    def show(self, shown: Shown) -> None:
        """It has no screen, but one pair of buttons for two calls."""
        self._has_robot = shown.has_robot

    def close(self) -> None:
        """Close the HID device."""
        mouse, self._mouse = self._mouse, None
        if mouse is not None:
            mouse.close()

    def _newest(self, now: float) -> Any | None:
        """The state after all reports that have come; None while there is no device. OSError: it is gone."""
        if self._mouse is None:
            if now < self._look_at:
                return None
            self._mouse, self._t, self._heard, self._buttons = self._open(), NEVER_T, None, (False, False)
        state = None
        for _ in range(REPORTS):
            state = self._mouse.read()
            if state.t == self._t:
                break
            self._t, self._heard = state.t, now
        return state

    def _press(self, buttons: Sequence[int], now: float) -> None:
        pressed = tuple(bool(buttons[k]) if k < len(buttons) else False for k in (0, 1))
        before, self._buttons = self._buttons, (pressed[0], pressed[1])
        if all(pressed) and not all(before):
            self._calls.append("hand_back" if self._has_robot else "take_over")
            self._was_pair = True
        elif not any(pressed):
            if before == (True, False) and not self._was_pair:
                self._chosen = (self._chosen + 1) % len(self._sides)  # when it comes up: it may become a pair
            self._was_pair = False
        elif pressed[1] and not before[1]:
            self._is_closing, self._grasped = not self._is_closing, now

    def _hands(self, twist: np.ndarray, is_grasping: bool) -> Hands:
        sides = ("left", "right") if self.side == "both" else (self.side,)
        closing = (1.0 if self._is_closing else -1.0) if is_grasping else 0.0
        return Hands(twists=dict.fromkeys(sides, twist), closing=dict.fromkeys(sides, closing))


def open_first() -> Mouse:
    """The first SpaceMouse of this machine.

    Raises:
        OSError: there is none, or it cannot be opened.
        UserError: the package is missing.
    """
    try:
        import pyspacemouse  # an extra
    except ImportError:
        raise UserError("the package pyspacemouse is missing; write pip install -e .[hardware]") from None
    try:
        return Opened(pyspacemouse.open(axis_convention=pyspacemouse.AxisConvention.HID_Z_UP))
    except RuntimeError as error:
        raise OSError(str(error)) from error


class Opened:
    """pyspacemouse's device; a cable that is pulled is an OSError, as with other devices."""

    def __init__(self, device: Any) -> None:
        from easyhid import HIDException  # comes with pyspacemouse

        self._device, self._gone = device, HIDException
        self.close = device.close

    def read(self) -> Any:
        """One report, if there is one; the state after it."""
        try:
            return self._device.read()
        except self._gone as error:
            raise OSError(str(error)) from error


class TeleopSpacemouse(TeleopDevice):
    """The SpaceMouse's node."""

    def __init__(self, **node_options: Any) -> None:
        super().__init__("teleop_spacemouse", NAME, DeviceParameters, lambda _, rig, __: SpaceMouse(rig, open_first),
                         **node_options)


def main(args: list[str] | None = None) -> int:
    """Run the node until interrupted."""
    return run(TeleopSpacemouse, args, priority=TELEOP)


if __name__ == "__main__":
    raise SystemExit(main())
