"""`devices:=` in words: which teleoperation devices a graph has, and what each is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from retake.errors import UserError

NODES = {  # as people write them: the node
    "joy": "teleop_joy",
    "spacemouse": "teleop_spacemouse",
    "pose": "teleop_pose",
    "webxr": "teleop_webxr",
    "keyboard": "teleop_keyboard",
}
EXAMPLE = "write devices:=joy or devices:='joy, webxr host=0.0.0.0'"
Told = bool | int | float | str


@dataclass(frozen=True)
class DeviceChoice:
    """One device and its parameters."""

    name: str
    told: Mapping[str, Told]

    @property
    def node(self) -> str:
        """Its name."""
        return NODES[self.name]


def read_devices(text: str) -> list[DeviceChoice]:
    """The devices that `text` asks for: names with commas between them, each with its own `parameter=value` words.

    Raises:
        UserError: an unknown device, one twice, one that cannot be started with the graph, or a word that is no pair.
    """
    choices: list[DeviceChoice] = []
    for part in filter(None, (words.strip() for words in text.split(","))):
        name, *words = part.split()
        if name == "keyboard":
            raise UserError("the keyboard needs a terminal of its own; run `retake teleop keyboard` beside the graph")
        if name not in NODES:
            allowed = ", ".join(device for device in NODES if device != "keyboard")
            raise UserError(f"unknown device {name!r}; allowed: {allowed}; {EXAMPLE}")
        if name in (choice.name for choice in choices):
            raise UserError(f"{text!r} names {name} twice; {EXAMPLE}")
        choices.append(DeviceChoice(name, told_of(words, "=")))
    return choices


def told_of(words: list[str], sign: str) -> dict[str, Told]:
    """`["port=8443"]` -> `{"port": 8443}`.

    Raises:
        UserError: a word that is no pair.
    """
    pairs = [word.partition(sign) for word in words]
    if bad := [word for word, (name, is_pair, _) in zip(words, pairs, strict=True) if not (name and is_pair)]:
        raise UserError(f"cannot read {' '.join(bad)!r}; write parameter{sign}value")
    return {name: _value(value) for name, _, value in pairs}


def _value(text: str) -> Told:
    """As ROS reads a parameter: a truth value, a number, or text."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
