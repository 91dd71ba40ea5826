"""The keyboard of a terminal as a teleoperation device; works over SSH and Wayland, for it reads its own terminal.

The dead man is the repeating key: each character that comes moves the hand for 0.15 s, and nothing is added up. A tap
is a step of some centimetres. A key that is held makes that step, rests until the terminal begins to repeat it (250 to
500 ms), and moves on from then; let go, lost focus or a dead connection end it within 0.15 s.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np

from controllers.rigs import Rig
from retake.panel.targets import sides_of
from retake.ros.realtime import TELEOP
from retake.ros.spin import run
from retake.teleop.device import DeviceParameters, TeleopDevice
from retake.teleop.hands import Device, Hands, Reading, Shown
from retake.teleop.terminal import Terminal, is_paste

NAME = "keyboard"
HELD_S = 0.15  # terminals repeat every 30 to 92 ms
TWISTS = {  # the panel's keys: ahead, back, left, right, up, down; with Shift: turns about the rig's axes
    "i": (1, 0, 0, 0, 0, 0), "k": (-1, 0, 0, 0, 0, 0), "j": (0, 1, 0, 0, 0, 0), "l": (0, -1, 0, 0, 0, 0),
    "u": (0, 0, 1, 0, 0, 0), "o": (0, 0, -1, 0, 0, 0),
    "I": (0, 0, 0, 0, 1, 0), "K": (0, 0, 0, 0, -1, 0), "J": (0, 0, 0, -1, 0, 0), "L": (0, 0, 0, 1, 0, 0),
    "U": (0, 0, 0, 0, 0, 1), "O": (0, 0, 0, 0, 0, -1),
}  # fmt: skip
RATES = {"PgUp": ("base.height", 1.0), "PgDn": ("base.height", -1.0), "End": ("torso.pitch", 1.0),
         "Home": ("torso.pitch", -1.0)}  # fmt: skip
CLOSING = {"m": 1.0, "n": -1.0}
REWIND = {",": -1.0, ".": 1.0}
CALLS = {" ": "stop", "Esc": "stop", "t": "take_over", "h": "hand_back", "r": "release_stop", "c": "correct",
         "S": "episode/success", "F": "episode/failure"}  # fmt: skip
CHOICES = {"1": "left", "2": "right", "3": "both"}
LEGEND = """\
Hold a key to move, let go to rest (a tap is a step).
i k  ahead, back     j l  left, right     u o  up, down     with Shift: turn
m n  close, open     PgUp PgDn  height    Home End  torso   1 2 3  left, right, both
t  take over         h  hand back         c  correct        , .  hold: rewind, forward
c on the way back: open the hand that was closed here
Space Esc  STOP      r  release           S  success        F  failure      Ctrl-C  end
"""


class Keyboard(Device):
    """Reads a terminal 80 times a second."""

    def __init__(self, rig: Rig, terminal: Terminal) -> None:
        self._terminal = terminal
        self._sides = sides_of(rig)
        self.side = self._sides[0]  # that the keys move: left, right or both
        self._key, self._until = "", -math.inf  # the newest moving key, and when it counts as let go
        self._line, self._note = "", ""
        terminal.write(LEGEND.replace("\n", "\r\n"))

    def read(self, now: float) -> Reading:
        """What the newest key asks for at `now`; a terminal repeats only that one."""
        keys, calls = self._terminal.read(), []
        self._note = self._note if not keys else ""
        if is_paste(keys):
            keys, self._note = [], f"{len(keys)} keys at once are not followed (pasted?)"
        for key in keys:
            if key in CALLS:
                calls.append(CALLS[key])
                self._until = -math.inf
            elif key in CHOICES and CHOICES[key] in self._sides:
                self.side, self._until = CHOICES[key], -math.inf
            elif key in TWISTS or key in RATES or key in CLOSING or key in REWIND:
                self._key, self._until = key, now + HELD_S
        if now >= self._until:
            return Reading(calls=tuple(calls))
        if self._key in REWIND:
            return Reading(rewind=REWIND[self._key], calls=tuple(calls))
        return Reading(self._hands(self._key), calls=tuple(calls))

    def show(self, shown: Shown) -> None:
        """One line, drawn anew when it changes."""
        who = f"authority {shown.authority}"
        if shown.has_robot:
            who = "YOU REWIND" if shown.authority == "rewind" else "YOU DRIVE"
        line = f"{who}   keys move {self.side}   {self._note or shown.text}"
        if line != self._line:
            self._line = line
            self._terminal.write(f"\r\x1b[2K{line[:100]}")

    def close(self) -> None:
        """The terminal as it was."""
        self._terminal.close()

    def _hands(self, key: str) -> Hands:
        sides = ("left", "right") if self.side == "both" else (self.side,)
        if key in TWISTS:
            return Hands(twists=dict.fromkeys(sides, np.array(TWISTS[key], dtype=float)))
        if key in CLOSING:
            return Hands(closing=dict.fromkeys(sides, CLOSING[key]))
        channel, rate = RATES[key]
        return Hands(rates={channel: rate})


class TeleopKeyboard(TeleopDevice):
    """The keyboard's node."""

    def __init__(self, **node_options: Any) -> None:
        super().__init__("teleop_keyboard", NAME, DeviceParameters,
                         lambda _, rig, __: Keyboard(rig, Terminal(sys.stdin.fileno())), **node_options)


def main(args: list[str] | None = None) -> int:
    """Run the node until interrupted."""
    return run(TeleopKeyboard, args, priority=TELEOP)


if __name__ == "__main__":
    raise SystemExit(main())
