"""arm_driver and arm_sim are the same to others, found by running both: topics, types, QoS, names, units, rates."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from rclpy.node import Node
from sensor_msgs.msg import JointState

from controllers import arm
from controllers.rigs import BIMANUAL_YAM, YAM, Rig
from retake.arms.driver import ArmDriver
from retake.ros import conversions
from sim import arm_table
from sim.arm_sim import ArmSim
from sim.arm_world import ArmWorld
from sim.dm_emulator import EmulatedArms
from tests.nodes.conftest import Probe, options

PRIVATE = {"/clock", "/parameter_events", "/rosout", "render_state", "rendered", "ground_truth/task"}
LISTEN_S, WINDOWS = 0.6, 6
channels = (f"contract{k}" for k in itertools.count())


@dataclass
class Declared:
    """What one node was seen to be."""

    endpoints: set[tuple]  # (in or out, topic, type, reliability, durability, history, depth)
    names: tuple[str, ...]
    period_ms: float
    q: np.ndarray
    tau: np.ndarray
    answers: float  # share of applied_joint_command that carries the stamp of a state that was heard


def observe(probe: Probe, node: Node, states: list[JointState], applied: list[JointState]) -> Declared:
    """Listen for a while, then ask ROS and look at the messages."""
    probe.until(lambda: len(states) > 20 and len(applied) > 20, 40)
    for _ in range(WINDOWS):  # the calmest: other work on this machine delays both
        states.clear()
        applied.clear()
        probe.serve(LISTEN_S)
        stamps = np.array([conversions.stamp_ns(state.header.stamp) for state in states])
        if abs(np.median(np.diff(stamps)) / 4e6 - 1) < 0.1:
            break
    answered = {conversions.stamp_ns(message.header.stamp) for message in applied[:-2]}
    assert (np.diff(stamps) > 0).all()
    return Declared(
        endpoints=endpoints(probe, node), names=tuple(states[-1].name),
        period_ms=float(np.median(np.diff(stamps)) / 1e6), q=np.array(states[-1].position),
        tau=np.mean([state.effort for state in states], axis=0),
        answers=len(answered & set(stamps.tolist())) / len(answered),
    )  # fmt: skip


def endpoints(probe: Probe, node: Node) -> set[tuple]:
    """Publishers and subscriptions of the node as others see them, without what is private to a simulation."""
    found = set()
    asked: tuple[tuple[str, Callable, Callable], ...] = (
        ("out", probe.get_publisher_names_and_types_by_node, probe.get_publishers_info_by_topic),
        ("in", probe.get_subscriber_names_and_types_by_node, probe.get_subscriptions_info_by_topic))
    for direction, list_topics, inform in asked:
        for topic, kinds in list_topics(node.get_name(), node.get_namespace()):
            short = topic.removeprefix(f"{node.get_namespace()}/")
            if short in PRIVATE:
                continue
            for info in inform(topic):
                if info.node_name == node.get_name():
                    q = info.qos_profile
                    found.add((direction, short, tuple(kinds), q.reliability, q.durability, q.history, q.depth))
    return found


def simulated(probe: Probe, rig: Rig, task: str) -> Declared:
    states, applied = (probe.listen(JointState, topic) for topic in ("joint_states", "applied_joint_command"))
    node = probe.add(ArmSim(**options(probe, robot=rig.name, task=task, cameras=False)))
    # until the first command the simulated arms are held, as those of the driver are
    codec_free = JointState(name=rig.joint_names, position=home(rig).tolist(), velocity=[0.0] * len(rig.joint_names))
    commands = probe.create_publisher(JointState, "joint_command", 10)
    probe.until(lambda: commands.get_subscription_count() and states, 20)
    codec_free.effort = [0.0] * len(rig.joint_names)

    def wake() -> bool:
        codec_free.header.stamp = states[-1].header.stamp
        commands.publish(codec_free)
        return len(states) > 30

    probe.until(wake, 20)
    return observe(probe, node, states, applied)


def driven(probe: Probe, rig: Rig) -> Declared:
    states, applied = (probe.listen(JointState, topic) for topic in ("joint_states", "applied_joint_command"))
    buses = [next(channels) for _ in rig.arms.mounts]
    arms = EmulatedArms(ArmWorld(rig, arm_table.add_scene), "virtual", buses)
    arms.start()
    try:
        node = probe.add(ArmDriver(**options(probe, robot=rig.name, interface="virtual", can=",".join(buses))))
        return observe(probe, node, states, applied)
    finally:
        arms.stop.set()
        arms.join(5)


def home(rig: Rig) -> np.ndarray:
    return np.tile(np.append(arm.YAM.q_home, 1.0), len(rig.arms.mounts))


@pytest.mark.heavy  # homes against the clock
@pytest.mark.parametrize(("rig", "task"), [(YAM, "arm_pick"), (BIMANUAL_YAM, "arm_table")], ids=["single", "pair"])
def test_driver_and_simulation_are_the_same_to_everybody_else(probes, rig, task):
    sim, real = simulated(probes(rig.name), rig, task), driven(probes(rig.name), rig)
    assert real.endpoints == sim.endpoints and len(sim.endpoints) >= 4
    assert real.names == sim.names == rig.joint_names
    assert sim.period_ms == pytest.approx(1e3 * rig.control_dt)
    if rig is YAM:  # two arms, their emulation and this test are too much for one process
        assert real.period_ms == pytest.approx(sim.period_ms, rel=0.25)
    assert min(real.answers, sim.answers) > 0.7  # a burst may overrun the listener's queue of ten
    grippers = np.arange(6, len(home(rig)), 7)
    for seen in (sim, real):  # rad and opening; N·m that carry the arm
        np.testing.assert_allclose(np.delete(seen.q, grippers), np.delete(home(rig), grippers), atol=0.4)
        np.testing.assert_allclose(seen.q[grippers], 1.0, atol=0.05)
        assert -14 < seen.tau[1] < -3
