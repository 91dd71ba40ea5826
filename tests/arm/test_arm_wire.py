"""sim-wire for arms: a reset is a power cycle that the driver lives through; and the graphs that rigs of arms get."""

from __future__ import annotations

import json

import pytest
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger

from retake.arguments import read_arguments
from retake.arms.driver import ArmDriver
from retake.errors import UserError
from retake.graph import make_graph
from retake.ros import conversions
from sim.arm_wire import ArmWire
from tests.nodes.conftest import options


def test_a_reset_is_a_power_cycle(yam_probe):
    wire = {"interface": "virtual", "can": "power"}
    world = yam_probe.add(ArmWire(**options(yam_probe, task="arm_pick", seed=7, **wire)))
    driver = yam_probe.add(ArmDriver(**options(yam_probe, patience_s=10.0, **wire)))
    states, truth = yam_probe.listen(JointState, "joint_states"), yam_probe.listen(String, "ground_truth/task")
    yam_probe.until(lambda: len(states) > 20 and truth and driver._loop.refusal is None, 60)
    assert json.loads(truth[-1].data)["seed"] == 7
    answer = yam_probe.call(Trigger, "sim/reset")
    assert answer.success and json.loads(answer.message)["seed"] == 7  # the first reset begins with the seed asked for
    yam_probe.until(lambda: "does not answer" in driver._loop.problem, 10)
    yam_probe.until(lambda: not driver._loop.problem, 20)  # the person at the wire has called clear_errors
    count = len(states)
    yam_probe.until(lambda: len(states) > count + 20, 20)
    stamps = [conversions.stamp_ns(state.header.stamp) for state in states]
    assert max(b - a for a, b in zip(stamps, stamps[1:], strict=False)) > 500_000_000  # everybody sees another world
    assert json.loads(yam_probe.call(Trigger, "sim/reset").message)["seed"] == 8
    world._arms.stop.set()


def test_what_cannot_begin_on_the_wire_is_refused(yam_probe):
    with pytest.raises(UserError, match="cannot begin on the wire"):
        ArmWire(**options(yam_probe, task="arm_insert", interface="virtual"))
    with pytest.raises(UserError, match="is for robot bimanual_yam"):
        ArmWire(**options(yam_probe, task="arm_table", interface="virtual"))


@pytest.mark.parametrize(("words", "names"), [
    ({"rig": "yam"}, {"arm_controller", "arm_sim", "camera_sim"}),
    ({"rig": "yam", "robot": "sim-wire"}, {"arm_controller", "arm_wire", "arm_driver", "camera_sim"}),
    ({"rig": "yam", "robot": "hardware", "leader": "can1"}, {"arm_controller", "arm_driver", "leader_arm"}),
    ({"rig": "panda", "robot": "hardware"}, {"arm_controller", "ros2_arm_driver"}),
])  # fmt: skip
def test_only_the_robots_side_of_the_graph_changes(words, names):
    graph = make_graph(read_arguments({"policy": "none", "headless": "true", **words}))
    assert {spec.name for spec in graph} == names | {"authority", "recorder"}
    assert {spec.namespace for spec in graph} == {f"/{words['rig']}"}


@pytest.mark.parametrize("words", [{"rig": "panda"}, {"rig": "yam", "task": "g1_box"},
                                   {"rig": "yam", "robot": "sim-wire", "lockstep": "true"}])
def test_what_a_rig_cannot_do_is_refused(words):
    with pytest.raises(UserError, match="allowed"):
        make_graph(read_arguments({"policy": "none", **words}))
