"""A gamepad as a teleoperation device, through the standard topic /joy (sensor_msgs/Joy) of the ROS 2 package joy.

Start it with `ros2 run joy joy_node` (autorepeat_rate 20 or more: a pad that is held still must go on speaking). Sticks
move the chosen hand at a rate while LB is held. CONTROLS is the mapping; LEGEND says it in words.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sensor_msgs.msg import Joy

from controllers.rigs import Rig
from retake.panel.targets import sides_of
from retake.ros.realtime import TELEOP
from retake.ros.spin import run
from retake.teleop.device import FROM_OUTSIDE, DeviceParameters, TeleopDevice
from retake.teleop.hands import DeadMan, Device, Hands, Reading, Shown, shaped

NAME = "joy"
SILENCE_S = 0.15  # three messages of joy_node's 20 Hz
DEADZONE = 0.1
LEGEND = """\
LB hold: dead man   left stick: ahead/back, left/right   right stick: up/down, turn
RB hold too: left stick rolls and pitches   RT/LT: close/open   cross up/down: height (with RB: torso)
A take over   Y hand back   B stop   L3 release the stop   X correct   cross left/right hold: rewind, forward
X on the way back: open the hand that was closed here   R3 next hand   START success   BACK failure"""

# meaning: (kind, index, sign). `axis`: -1..1; `button`: 0 or 1; `trigger`: 0..1 from an axis that rests at +1 and ends
# at -1; `pull`: 0..1 from an axis that rests at 0 and ends at 1 or -1.
Control = tuple[str, int, float]
STICKS: dict[str, Control] = {"ahead": ("axis", 1, 1.0), "left": ("axis", 0, 1.0)}
FACE: dict[str, Control] = {"take_over": ("button", 0, 1.0), "stop": ("button", 1, 1.0), "correct": ("button", 2, 1.0),
                            "hand_back": ("button", 3, 1.0)}
CONTROLS: dict[str, Mapping[str, Control]] = {
    "xbox": {  # as joy_node numbers an Xbox pad
        **STICKS, **FACE, "up": ("axis", 4, 1.0), "yaw": ("axis", 3, 1.0),
        "open": ("trigger", 2, 1.0), "close": ("trigger", 5, 1.0),
        "dead_man": ("button", 4, 1.0), "turn": ("button", 5, 1.0),
        "episode/failure": ("button", 6, 1.0), "episode/success": ("button", 7, 1.0),
        "release_stop": ("button", 9, 1.0), "next_hand": ("button", 10, 1.0),
        "back": ("axis", 6, 1.0), "forward": ("axis", 6, -1.0), "raise": ("axis", 7, 1.0), "lower": ("axis", 7, -1.0),
    },
    "game_controller": {  # as game_controller_node numbers every pad that SDL knows
        **STICKS, **FACE, "up": ("axis", 3, 1.0), "yaw": ("axis", 2, 1.0),
        "open": ("pull", 4, 1.0), "close": ("pull", 5, 1.0),
        "dead_man": ("button", 9, 1.0), "turn": ("button", 10, 1.0),
        "episode/failure": ("button", 4, 1.0), "episode/success": ("button", 6, 1.0),
        "release_stop": ("button", 7, 1.0), "next_hand": ("button", 8, 1.0),
        "back": ("button", 13, 1.0), "forward": ("button", 14, 1.0),
        "raise": ("button", 11, 1.0), "lower": ("button", 12, 1.0),
    },
}  # fmt: skip
CALLS = ("take_over", "stop", "correct", "hand_back", "episode/failure", "episode/success", "release_stop")


@dataclass(frozen=True)
class Parameters(DeviceParameters):
    """Parameters of the gamepad."""

    layout: str = field(default="xbox", metadata={"description": f"how it numbers its controls: {', '.join(CONTROLS)}"})
    topic: str = field(default="/joy", metadata={"description": "sensor_msgs/Joy; a gamepad belongs to no robot"})

    def __post_init__(self) -> None:
        """Raises ValueError."""
        super().__post_init__()
        if self.layout not in CONTROLS:
            raise ValueError(f"layout {self.layout!r} is unknown; allowed: {', '.join(CONTROLS)}")


class Gamepad(Device):
    """Fed with what `joy` says, read 80 times a second."""

    def __init__(self, rig: Rig, controls: Mapping[str, Control]) -> None:
        self._controls, self._sides, self._chosen = controls, sides_of(rig), 0
        self._axes = 1 + max(i for kind, i, _ in controls.values() if kind != "button")
        self._buttons = 1 + max(i for kind, i, _ in controls.values() if kind == "button")
        self._values: dict[str, float] = {}
        self._released: set[str] = set()  # triggers that have been at rest: before the first touch they say 0, half way
        self._calls: list[str] = []
        self._heard: float | None = None
        self._dead_man, self._way_back = DeadMan(), DeadMan()

    @property
    def side(self) -> str:
        """The hand that the sticks move: left, right or both."""
        return self._sides[self._chosen]

    def feed(self, axes: Sequence[float], buttons: Sequence[int], now: float) -> None:
        """One message.

        Raises:
            ValueError: too few axes or buttons for the layout, or a value that none can have.
        """
        if len(axes) < self._axes or len(buttons) < self._buttons:
            raise ValueError(f"{len(axes)} axes and {len(buttons)} buttons; this layout needs {self._axes} and "
                             f"{self._buttons}: set layout to one of {', '.join(CONTROLS)}")
        if not all(math.isfinite(v) and abs(v) <= 1.001 for v in axes) or not all(b in (0, 1) for b in buttons):
            raise ValueError("axes must be finite and within -1..1, buttons 0 or 1")
        before, is_first = self._values, self._is_silent(now)
        self._values, self._heard = {m: self._value(m, axes, buttons) for m in self._controls}, now
        if is_first:
            return  # a button that is down already was not pressed now
        for meaning in (*CALLS, "next_hand"):
            if self._values[meaning] > 0.5 >= before.get(meaning, 1.0):
                if meaning == "next_hand":
                    self._chosen = (self._chosen + 1) % len(self._sides)
                else:
                    self._calls.append(meaning)

    def read(self, now: float) -> Reading:
        """What is held at `now`."""
        calls, self._calls = tuple(self._calls), []
        is_alive, v = not self._is_silent(now), self._values
        if not is_alive:
            self._dead_man.update(False, False)
            self._way_back.update(False, False)
            what = "no message on /joy yet: start `ros2 run joy joy_node`" if self._heard is None else (
                f"the gamepad is silent for more than {SILENCE_S:g} s (unplugged, or autorepeat_rate below 20)")
            return Reading(calls=calls, fault=f"{what}; then let LB go and hold it again")
        direction = float(v["forward"] > 0.5) - float(v["back"] > 0.5)
        rewind = direction if self._way_back.update(direction != 0.0, True) else None
        held = self._dead_man.update(v["dead_man"] > 0.5, True)
        return Reading(self._hands(v) if held else None, rewind, calls)

    def show(self, shown: Shown) -> None:
        """A pad has no screen."""

    def close(self) -> None:
        """The hardware is joy_node's."""

    def _hands(self, v: Mapping[str, float]) -> Hands:
        ahead, left, up, yaw = (shaped(v[name], DEADZONE) for name in ("ahead", "left", "up", "yaw"))
        turns, climb = v["turn"] > 0.5, float(v["raise"] > 0.5) - float(v["lower"] > 0.5)
        twist = np.array([0, 0, up, -left, ahead, yaw] if turns else [ahead, left, up, 0, 0, yaw], dtype=float)
        sides = ("left", "right") if self.side == "both" else (self.side,)
        close = shaped(v["close"], DEADZONE) - shaped(v["open"], DEADZONE)
        return Hands(twists=dict.fromkeys(sides, twist), closing=dict.fromkeys(sides, close),
                     rates={"torso.pitch": -climb} if turns else {"base.height": climb})

    def _is_silent(self, now: float) -> bool:
        return self._heard is None or now - self._heard > SILENCE_S

    def _value(self, meaning: str, axes: Sequence[float], buttons: Sequence[int]) -> float:
        kind, index, sign = self._controls[meaning]
        if kind == "button":
            return float(buttons[index])
        if kind == "axis":
            return sign * axes[index]
        value = abs(axes[index]) if kind == "pull" else 0.5 * (1.0 - axes[index])
        if value < 0.05:
            self._released.add(meaning)
        return value if meaning in self._released else 0.0


def make(node: TeleopDevice, rig: Rig, given: Parameters) -> Gamepad:
    """The gamepad behind the topic `joy`."""
    pad = Gamepad(rig, CONTROLS[given.layout])
    node.get_logger().info(LEGEND)

    def on_joy(message: Joy) -> None:
        try:
            pad.feed(message.axes, message.buttons, time.monotonic())  # its stamp may be of another clock than ours
        except ValueError as error:
            node.diagnostics.refuse("joy", str(error))

    node.create_subscription(Joy, given.topic, on_joy, FROM_OUTSIDE)
    return pad


class TeleopJoy(TeleopDevice):
    """The gamepad's node."""

    def __init__(self, **node_options: Any) -> None:
        super().__init__("teleop_joy", NAME, Parameters, make, **node_options)


def main(args: list[str] | None = None) -> int:
    """Run the node until interrupted."""
    return run(TeleopJoy, args, priority=TELEOP)


if __name__ == "__main__":
    raise SystemExit(main())
