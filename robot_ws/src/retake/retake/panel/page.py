"""What one browser has for itself: status, buttons, keys, targets. Built and written in the executor's thread.

viser's thread runs the callbacks below; each only puts a UserEvent into the queue that the node's timer drains.
"""

from __future__ import annotations

from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import numpy as np
import viser

from controllers.rigs import Rig
from retake.panel.status import Status, answer_html, keys_html, status_html
from retake.panel.targets import NUDGE_M, TeleopTargets, sides_of

# command: (label, colour, hotkey, modifier, how the key is written)
BUTTONS = {
    "stop": ("STOP", "red", "space", None, "Space Esc"),
    "take_over": ("Take over", "orange", "T", None, "T"),
    "hand_back": ("Hand back", "blue", "H", None, "H"),
    "release_stop": ("Release", "gray", "R", None, "R"),
    "episode/success": ("Success", "green", "S", "shift", "Shift S"),
    "episode/failure": ("Failure", "grape", "F", "shift", "Shift F"),
    "correct": ("Correct", "teal", "C", None, "C"),
    "rewind": ("Open hand", "gray", "G", None, "G"),
}
SWITCHES = {"residual/on": ("Residual on", "blue"), "residual/off": ("Residual off", "gray")}  # where there is one
HOLDS = {"Rewind": -1.0, "Forward": 1.0}  # held down: how fast to go along the robot's own path
HOLD_HZ = 20.0
SELECT_KEYS = {"left": "1", "right": "2", "both": "3"}
# Arrow keys and WASDQE move viser's camera, so the hands have the other side of the keyboard.
NUDGE_KEYS = {"I": (1, 0, 0), "K": (-1, 0, 0), "J": (0, 1, 0), "L": (0, -1, 0), "U": (0, 0, 1), "O": (0, 0, -1)}
NUDGE_WORDS = ("forward", "back", "left", "right", "up", "down")
# channel: (label, unit, step of slider and key, key down, key up)
SLIDERS = {
    "base.height": ("Height", "m", 0.01, "pagedown", "pageup"),
    "torso.pitch": ("Pitch", "rad", 0.02, "home", "end"),
    "hands.squeeze": ("Squeeze", "N", 1.0, "N", "M"),
    "left_gripper": ("Left gripper", "0 closed, 1 open", 0.05, "N", "M"),
    "right_gripper": ("Right gripper", "0 closed, 1 open", 0.05, "B", "V"),
}
KEY_NAMES = {"pageup": "PgUp", "pagedown": "PgDn", "home": "Home", "end": "End"}
# The markers name places in the page; where a browser does not know :has, the buttons are merely plain and stacked.
STOP_STYLE = """<style>
div:has(> #retake-stop) + div button {height: 72px !important; font-size: 26px; font-weight: 800; letter-spacing: 4px}
div:has(> #retake-two) + div, div:has(> #retake-two) + div + div
  {display: inline-block; width: calc(50% - 16px); margin: 0 2px 0 10px !important}
div:has(> #retake-three) + div, div:has(> #retake-three) + div + div, div:has(> #retake-three) + div + div + div
  {display: inline-block; width: calc(33.33% - 14.6px); margin: 0 2px 0 10px !important}
div:has(> #retake-four) + div, div:has(> #retake-four) + div + div, div:has(> #retake-four) + div + div + div,
div:has(> #retake-four) + div + div + div + div
  {display: inline-block; width: calc(50% - 16px); margin: 0 2px 0 10px !important}
</style><span id="retake-stop"></span>"""


@dataclass(frozen=True)
class UserEvent:
    """Something a browser did: `connect`, `disconnect`, `alive`, a command of BUTTONS or SWITCHES, `select`, `nudge`,
    `step`, `channel` (a slider), `drag` (a gizmo), `hold` (of HOLDS)."""

    client: int
    kind: str
    value: Any = None


@dataclass(frozen=True)
class Drag:
    """One step of dragging a gizmo."""

    side: str
    phase: str  # start, update, end
    position: np.ndarray  # (3,) m in odom
    quat_xyzw: np.ndarray  # (4,) in odom


class Page:
    """The controls of one browser."""

    def __init__(self, client: viser.ClientHandle, events: SimpleQueue[UserEvent], rig: Rig, residual: bool) -> None:
        self.client, self._rig = client, rig
        self.selected = "left"
        sides, channels = sides_of(rig), [channel for channel in SLIDERS if channel in rig.layout.channels]
        self._events = events
        self._shown: dict[str, str] = {}
        gui: Any = client.gui  # its colours and keys are Literals, ours come from tables
        self._status = gui.add_html("", order=0)
        gui.add_html(STOP_STYLE, order=1)
        gui.add_html('<span id="retake-two"></span>', order=4)
        gui.add_html('<span id="retake-three"></span>', order=7)
        gui.add_html('<span id="retake-four"></span>', order=11)
        for label, speed in HOLDS.items():
            button = gui.add_button(f"{label} (hold)", color="violet", order=12 if speed < 0 else 13)
            self._queue(button.on_hold(callback_hz=HOLD_HZ), "hold", speed)
        for (command, (label, colour, *_)), order in zip(BUTTONS.items(), (2, 5, 6, 8, 9, 10, 14, 15), strict=True):
            self._queue(gui.add_button(label, color=colour, order=order).on_click, command)
        self._answer = gui.add_html(answer_html("", None), order=3)
        with gui.add_folder("Targets", order=20):
            self._hint = gui.add_html("")
            self._sides = gui.add_button_group("Keys move", sides)
            self._queue(self._sides.on_click, "select", lambda event: event.target.value)
            self._sliders = {channel: self._add_slider(channel) for channel in channels}
        if residual:
            with gui.add_folder("Residual", order=25):
                for command, (label, colour) in SWITCHES.items():
                    self._queue(gui.add_button(label, color=colour).on_click, command)
        with gui.add_folder("Keys", order=30):
            gui.add_html(keys_html(_key_table(sides, channels)))
        self._gizmos = {side: self._add_gizmo(side) for side in sides}
        self._add_hotkeys()
        self.select("left")

    def show_status(self, status: Status) -> None:
        """Show authority and ages; nothing is sent when nothing changed."""
        self._show("status", self._status, status_html(status))

    def show_answer(self, text: str, good: bool | None) -> None:
        """Show what became of a command: good True done, False refused, None under way."""
        self._show("answer", self._answer, answer_html(text, good))

    def select(self, side: str) -> None:
        """Choose what the keys move."""
        self.selected = side
        self._show("hint", self._hint, f'<div style="margin:0 12px 6px;font-size:12px">Keys move <b>{side}</b>, '
                                       f"{NUDGE_M * 100:g} cm a press</div>")

    def show_targets(self, targets: TeleopTargets | None, but: str = "") -> None:
        """Put gizmos and sliders where the targets are, but not the gizmo `but`, being dragged; None hides them."""
        with self.client.atomic():
            for side, gizmo in self._gizmos.items():
                if targets is not None and side != but:
                    position, quat_xyzw = targets.pose(side)
                    gizmo.position, gizmo.wxyz = position, np.roll(quat_xyzw, 1)
                if gizmo.visible != (targets is not None):
                    gizmo.visible = targets is not None
            for channel, slider in self._sliders.items():
                if slider.disabled != (targets is None):
                    slider.disabled = targets is None
                value = slider.value if targets is None else targets.channel(channel)
                if value != slider.value:
                    slider.value = value

    def _show(self, key: str, handle: viser.GuiHtmlHandle, content: str) -> None:
        if self._shown.get(key) != content:
            self._shown[key] = handle.content = content

    def _queue(self, register: Any, kind: str, value: Any = None) -> None:
        """Let a viser callback queue an event; changes that we made ourselves have no client and are not events."""

        @register
        async def _(event: Any) -> None:
            if event.client_id is not None:
                self._events.put(UserEvent(event.client_id, kind, value(event) if callable(value) else value))

    def _add_slider(self, channel: str) -> Any:
        label, unit, step, *_ = SLIDERS[channel]
        layout, index = self._rig.layout, self._rig.layout.channels.index(channel)
        low, high, home = (float(limit[index]) for limit in (layout.lower, layout.upper, self._rig.home_action))
        slider = self.client.gui.add_slider(f"{label} ({unit})", low, high, step, home, disabled=True)
        self._queue(slider.on_update, "channel", lambda event: (channel, event.target.value))
        return slider

    def _add_gizmo(self, side: str) -> viser.TransformControlsHandle:
        gizmo = self.client.scene.add_transform_controls(
            f"/teleop/{side}", scale=0.16 if side == "both" else 0.2, disable_rotations=side == "both",
            depth_test=False, visible=False)
        self._queue(gizmo.on_update, "drag",
                    lambda event: Drag(side, event.phase, gizmo.position.copy(), np.roll(gizmo.wxyz, -1)))
        return gizmo

    def _add_hotkeys(self) -> None:
        add: Any = self.client.gui.add_command  # its keys are Literals, ours come from tables
        for command, (label, _, hotkey, modifier, _) in BUTTONS.items():
            self._queue(add(label, hotkey=hotkey, modifier=modifier).on_trigger, command)
        self._queue(add("Stop (Esc)", hotkey="escape").on_trigger, "stop")
        for side in self._gizmos:
            self._queue(add(f"Keys move {side}", hotkey=SELECT_KEYS[side]).on_trigger, "select", side)
        for (key, axis), word in zip(NUDGE_KEYS.items(), NUDGE_WORDS, strict=True):
            self._queue(add(f"Hand {word}", hotkey=key).on_trigger, "nudge", NUDGE_M * np.array(axis))
        for channel in self._sliders:
            label, _, step, down, up = SLIDERS[channel]
            self._queue(add(f"{label} down", hotkey=down).on_trigger, "step", (channel, -step))
            self._queue(add(f"{label} up", hotkey=up).on_trigger, "step", (channel, step))


def _key_table(sides: tuple[str, ...], channels: list[str]) -> list[tuple[str, str]]:
    """Shortcuts of a robot with these hands and sliders: (keys, what they do)."""
    keys = list(NUDGE_KEYS)
    nudges = [(" ".join(keys[i : i + 2]), f"hand {NUDGE_WORDS[i]}, {NUDGE_WORDS[i + 1]}") for i in (0, 2, 4)]
    sliders = [(f"{KEY_NAMES.get(up, up)} {KEY_NAMES.get(down, down)}", f"{label.lower()} more, less")
               for label, _, _, down, up in (SLIDERS[channel] for channel in channels)]
    return [
        *((key, label) for label, _, _, _, key in BUTTONS.values()),
        (" ".join(SELECT_KEYS[side] for side in sides), f"keys move {', '.join(sides)}"),
        *nudges, *sliders, ("W A S D Q E", "view, as arrows"),
    ]
