"""The arm graph on real messages: a person's hand inserts the peg through authority and controller; leases hold."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from controllers.rigs import YAM
from retake.control.arm_controller import ArmControllerNode
from retake.control.authority import AuthorityNode
from retake.errors import UserError
from retake.ros import conversions, qos
from retake.ros.wire import JointStateCodec
from sim.arm_experts import InsertExpert
from sim.arm_sim import ArmSim
from tests.nodes.conftest import Probe, options

MS = 1_000_000
STEP = 4 * MS


class Graph:
    """Robot, controller and authority in lockstep; the test is the person."""

    def __init__(self, probe: Probe, task: str) -> None:
        self.probe = probe
        self.robot = probe.add(ArmSim(**options(probe, task=task, lockstep=True, cameras=False, seed=11)))
        self.controller = probe.add(ArmControllerNode(**options(probe, lockstep=True)))
        self.authority = probe.add(AuthorityNode(**options(probe, robot="yam", lockstep=True, policy=False)))
        self.teleop = probe.create_publisher(JointTrajectory, "teleop_action", qos.STREAM)
        self.truth = probe.listen(String, "ground_truth/task")
        self.ticks = probe.listen(JointTrajectory, "measured_action")
        self.references = probe.listen(JointTrajectory, "reference")


def test_a_person_inserts_the_peg_over_the_topics(yam_probe):
    graph = Graph(yam_probe, "arm_insert")
    yam_probe.until(lambda: len(graph.references) > 5, 60)
    assert yam_probe.call(Trigger, "take_over").success
    expert, last = None, 0

    def drive() -> bool:
        nonlocal expert, last
        message = graph.ticks[-1]
        stamp = conversions.stamp_ns(message.header.stamp)
        if stamp > last:
            measured = conversions.action_from(message, YAM)
            expert = expert or InsertExpert(graph.robot._task, measured, 11)
            action = expert.act(measured, YAM.reference_dt)
            graph.teleop.publish(conversions.action_message(action, stamp, YAM))
            last = stamp
        return bool(graph.truth) and json.loads(graph.truth[-1].data)["success"]

    yam_probe.until(drive, 40)


def test_channels_of_another_robot_are_refused(yam_probe):
    graph = Graph(yam_probe, "arm_pick")
    yam_probe.until(lambda: len(graph.references) > 2, 60)
    from controllers.rigs import G1

    stamp = conversions.stamp_ns(graph.ticks[-1].header.stamp)
    graph.teleop.publish(conversions.action_message(G1.home_action, stamp, G1))
    yam_probe.until(lambda: graph.authority._diagnostics.refused.get("teleop_action") == 1)


def test_without_commands_the_arm_holds(yam_probe):
    states = yam_probe.listen(JointState, "joint_states")
    commands = yam_probe.create_publisher(JointState, "joint_command", qos.STREAM)
    robot = yam_probe.add(ArmSim(**options(yam_probe, task="arm_pick", lockstep=True, cameras=False)))
    codec = JointStateCodec(YAM.joint_names)
    yam_probe.until(lambda: commands.get_subscription_count() and states, 20)
    assert tuple(states[-1].name) == YAM.joint_names

    def answer(offset: float) -> None:
        state = states[-1]
        stamp, q = conversions.stamp_ns(state.header.stamp), np.array(state.position)
        q[0] += offset
        commands.publish(codec.encode(stamp, q, np.zeros(7), np.zeros(7)))
        yam_probe.until(lambda: conversions.stamp_ns(states[-1].header.stamp) > stamp)

    for _ in range(50):
        answer(0.02)
    moved = states[-1].position[0]
    assert moved > 0.01
    stopped = conversions.stamp_ns(states[-1].header.stamp)  # nobody answers from here on: the world goes on alone
    yam_probe.until(lambda: conversions.stamp_ns(states[-1].header.stamp) > stopped + 400 * MS, 20)
    assert abs(states[-1].velocity[0]) < 0.01 and states[-1].position[0] == pytest.approx(moved, abs=0.05)
    assert "lease" in robot._diagnostics._trouble


def test_wrong_parameters_are_refused(yam_probe):
    with pytest.raises(UserError, match="arm_pick is for robot yam"):
        ArmSim(**options(yam_probe, robot="bimanual_yam", task="arm_pick"))
    with pytest.raises((UserError, ValueError), match="no rig of arms"):
        ArmControllerNode(**options(yam_probe, robot="g1"))
