"""`cameras:=`: what it starts, and what is refused before anything starts."""

from __future__ import annotations

import pytest

from retake.cameras.choice import read_cameras
from retake.errors import UserError
from retake.graph import MODULES, make_graph, read_arguments


def test_several_kinds_each_told_its_devices() -> None:
    first, second = read_cameras(" realsense head=01; v4l2 chest=/dev/v4l/by-id/usb-1 ", ("head", "chest"))
    assert (first.node, first.parameters) == ("camera_realsense", {"devices": "head=01"})
    assert (second.node, second.parameters) == ("camera_v4l2", {"devices": "chest=/dev/v4l/by-id/usb-1"})
    assert {first.node, second.node, "camera_replay"} <= set(MODULES)
    assert read_cameras("", ("head",)) == []
    (deep,) = read_cameras("rgbd head=01", ("head",))
    assert (deep.node, deep.parameters) == ("camera_realsense", {"devices": "head=01", "depth": True})


@pytest.mark.parametrize(("text", "said"), [
    ("zed head=1", "cannot read 'zed head=1'; allowed kinds: realsense, rgbd, v4l2, replay"),
    ("replay", "cannot read 'replay'"),
    ("realsense head=1; rgbd chest=2", "are one. or a camera twice"),
    ("realsense head=1; v4l2 head=/dev/video0", "a camera twice"),
    ("realsense tail=1", "no camera tail on this robot; it has: head, chest"),
])  # fmt: skip
def test_what_it_refuses(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_cameras(text, ("head", "chest"))


def test_a_graph_with_a_replay_has_no_drawn_cameras() -> None:
    words = {"headless": "true", "policy": "none"}
    names = [spec.name for spec in make_graph(read_arguments({**words, "cameras": "replay data/episodes/e"}))]
    assert "camera_replay" in names and "camera_sim" not in names
    assert "camera_sim" in [spec.name for spec in make_graph(read_arguments(words))]


@pytest.mark.parametrize(("cameras", "lockstep"), [("realsense head=1", "false"), ("replay e", "true")])
def test_cameras_of_another_clock_are_refused(cameras: str, lockstep: str) -> None:
    with pytest.raises(UserError, match="run by this machine's clock"):
        make_graph(read_arguments({"headless": "true", "cameras": cameras, "lockstep": lockstep}))
