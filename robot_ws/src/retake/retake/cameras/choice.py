"""`cameras:=` in words: which camera nodes a graph has, and what each is told. `rgbd` is realsense with depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from retake.errors import UserError

KINDS = {  # the node, the parameter that is told, and others
    "realsense": ("camera_realsense", "devices", {}),
    "rgbd": ("camera_realsense", "devices", {"depth": True}),
    "v4l2": ("camera_v4l2", "devices", {}),
    "replay": ("camera_replay", "episode", {}),
}  # fmt: skip
EXAMPLE = "write cameras:='realsense head=SERIAL; v4l2 chest=/dev/v4l/by-id/NAME' or cameras:='replay EPISODE'"


@dataclass(frozen=True)
class CameraChoice:
    """One camera node. `names`: of its cameras; empty where the recording knows them."""

    kind: str
    told: str
    names: tuple[str, ...]

    @property
    def node(self) -> str:
        """Its name."""
        return KINDS[self.kind][0]

    @property
    def parameters(self) -> dict[str, str | bool]:
        """Its own parameters."""
        _, parameter, others = KINDS[self.kind]
        return {parameter: self.told, **others}


def read_cameras(text: str, known: Sequence[str]) -> list[CameraChoice]:
    """The camera nodes that `text` asks for; `known`: the cameras that the robot has places for.

    Raises:
        UserError: an unknown kind, a kind or a camera twice, or a camera that the robot does not have.
    """
    choices = []
    for part in filter(None, (word.strip() for word in text.split(";"))):
        kind, _, told = part.partition(" ")
        if kind not in KINDS or not told.strip():
            raise UserError(f"cannot read {part!r}; allowed kinds: {', '.join(KINDS)}; {EXAMPLE}")
        names = tuple(word.partition("=")[0] for word in told.split()) if KINDS[kind][1] == "devices" else ()
        choices.append(CameraChoice(kind, told.strip(), names))
    nodes, cameras = [c.node for c in choices], [name for c in choices for name in c.names]
    if len(set(nodes)) < len(nodes) or len(set(cameras)) < len(cameras):
        raise UserError(f"{text!r} names a kind (realsense and rgbd are one) or a camera twice; {EXAMPLE}")
    strange = [name for name in cameras if name not in known]
    if strange:
        raise UserError(f"no camera {', '.join(strange)} on this robot; it has: {', '.join(known)}; {EXAMPLE}")
    return choices
