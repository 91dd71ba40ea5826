"""`devices:=` and `retake teleop`: what starts, and what is refused in one line."""

from __future__ import annotations

import pytest

from retake import cli
from retake.errors import UserError
from retake.graph import MODULES, make_graph, read_arguments
from retake.teleop.choice import NODES, read_devices, told_of


def test_devices_become_nodes_with_their_parameters():
    devices = "joy speed=0.3, webxr host=0.0.0.0 port=9000"
    values = read_arguments({"rig": "yam", "devices": devices, "headless": "true"})
    specs = {spec.name: spec for spec in make_graph(values) if spec.name.startswith("teleop_")}
    assert set(specs) == {"teleop_joy", "teleop_webxr"}
    assert specs["teleop_joy"].parameters == {"use_sim_time": True, "robot": "yam", "speed": 0.3}
    assert specs["teleop_webxr"].parameters["port"] == 9000 and specs["teleop_webxr"].namespace == "/yam"
    assert set(NODES.values()) <= set(MODULES)


@pytest.mark.parametrize(("text", "says"), [
    ("wheel", "unknown device 'wheel'; allowed: joy"), ("joy, joy", "twice"), ("joy fast", "parameter=value"),
    ("keyboard", "retake teleop keyboard"),
])  # fmt: skip
def test_what_cannot_be_read_is_refused(text, says):
    with pytest.raises(UserError, match=says):
        read_devices(text)


def test_values_are_read_as_ros_reads_them():
    told = told_of(["a:=1", "b:=0.5", "c:=true", "d:=/dev/x", "e:="], ":=")
    assert told == {"a": 1, "b": 0.5, "c": True, "d": "/dev/x", "e": ""}


def test_teleop_without_a_graph_is_refused(monkeypatch, capsys):
    monkeypatch.setenv("ROS_DOMAIN_ID", "57")
    assert cli.main(["teleop", "joy"]) == 2
    assert "retake up" in capsys.readouterr().err
