"""The graph in lockstep, as processes: the same seed gives the same bits, and only some may see the truth."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from controllers import g1
from controllers.rigs import G1
from retake.ros import conversions, qos

from .conftest import Probe

STATES = 700  # compared; 1.4 s
INFERENCE_NS = 396_000_000  # every sixth camera frame
CONTROL_NS = round(g1.CONTROL_DT * 1e9)
PRIVATE = {
    "ground_truth/task": {"evaluator", "recorder"},
    "render_state": {"camera_sim"},
    "rendered": {"g1_sim", "arm_sim", "robot_sim"},
}
ROOT = Path(__file__).resolve().parents[2]
SOURCES = [*(ROOT / "robot_ws/src/retake/retake").rglob("*.py"), *(ROOT / "sim").glob("*.py")]


@contextmanager
def graph(folder: Path) -> Iterator[list[subprocess.Popen]]:
    """Robot, controller and authority in lockstep; the test is the policy."""
    processes = []
    for module, *parameters in (
        ("retake.control.whole_body_controller",),
        ("retake.control.authority",),
        ("sim.g1_sim", "-p", "cameras:=false", "-p", "noise:=true", "-p", "seed:=11"),
    ):
        arguments = [sys.executable, "-m", module, "--ros-args", "-r", "__ns:=/g1", "-p", "lockstep:=true", *parameters]
        processes.append(subprocess.Popen(arguments, cwd=folder))
    try:
        yield processes
        assert all(process.poll() is None for process in processes), "a node ended by itself"
    finally:
        for process in processes:
            process.terminate()
        codes = [process.wait(20) for process in processes]
    assert codes == [0, 0, 0]


class Policy:
    """Answers every observation that the real one answers: both hands up, knees bent."""

    def __init__(self, probe: Probe) -> None:
        self.states: dict[int, JointState] = {}
        self.references: dict[int, JointTrajectory] = {}
        self._chunks = probe.create_publisher(JointTrajectory, "action_chunk", qos.STREAM)
        probe.create_subscription(JointState, "joint_states", self._on_state, qos.RECORD)
        probe.create_subscription(JointTrajectory, "reference", self._on_reference, qos.RECORD)

    def _on_state(self, message: JointState) -> None:
        stamp = conversions.stamp_ns(message.header.stamp)
        self.states[stamp] = message
        if stamp % INFERENCE_NS == 0:
            target = g1.HOME_ACTION.copy()
            target[[2, 9]] += 0.15
            target[g1.BASE_HEIGHT] = 0.66
            weights = np.linspace(0, 1, 24)[:, None]
            actions = (1 - weights) * g1.HOME_ACTION + weights * target
            self._chunks.publish(conversions.chunk_message(66_000_000 * np.arange(1, 25), actions, stamp, G1))

    def _on_reference(self, message: JointTrajectory) -> None:
        self.references[conversions.stamp_ns(message.header.stamp)] = message


def run_once(probe: Probe, folder: Path) -> tuple[str, str, float]:
    """Start the graph, reset to its first seed, play; digests of states and references, and how far the pelvis sank."""
    policy = Policy(probe)
    with graph(folder):
        probe.until(lambda: policy.references, 60)
        start = json.loads(probe.call(Trigger, "sim/reset").message)["stamp_ns"]
        probe.until(lambda: start in policy.references, 30)
        assert probe.call(Trigger, "hand_back").success
        assert probe.call(Trigger, "sim/run").success
        ticks = range(start, start + STATES * CONTROL_NS, round(g1.REFERENCE_DT * 1e9))
        probe.until(lambda: start + STATES * CONTROL_NS in policy.states and ticks[-1] in policy.references, 90)
    states, references = hashlib.sha256(), hashlib.sha256()
    for stamp in range(start, start + STATES * CONTROL_NS, CONTROL_NS):
        message = policy.states[stamp]  # none is missing
        states.update(message.position.tobytes() + message.velocity.tobytes() + message.effort.tobytes())
    for stamp in ticks:
        references.update(policy.references[stamp].points[0].positions.tobytes())
    heights = [m.points[0].positions[g1.BASE_HEIGHT] for s, m in sorted(policy.references.items()) if s >= start]
    return states.hexdigest(), references.hexdigest(), heights[0] - heights[-1]


def test_the_same_seed_gives_the_same_bits(probe: Probe, tmp_path: Path) -> None:
    states, references, sunk = run_once(probe, tmp_path)
    assert sunk > 0.01  # the policy had authority
    assert run_once(probe, tmp_path)[:2] == (states, references)


@pytest.mark.parametrize("topic", PRIVATE)
def test_only_the_named_nodes_know_of_private_topics(topic: str) -> None:
    lists = {"topics", "graph", "recording", "taps"}  # of what is recorded
    naming = {path.stem for path in SOURCES if f'"{topic}"' in path.read_text()}
    assert naming <= PRIVATE[topic] | {"g1_sim_outputs", "camera_sim"} | lists


UNKNOWN = "_NODE_NAME_UNKNOWN_"  # rcl's word for a node that has not been discovered yet


def subscribers(node: Node, topic: str) -> set[str]:
    return {info.node_name for info in node.get_subscriptions_info_by_topic(f"/g1/{topic}")}


def publishers(node: Node, topic: str) -> set[str]:
    return {info.node_name for info in node.get_publishers_info_by_topic(f"/g1/{topic}")}


def test_in_the_running_graph_nobody_else_listens(probe: Probe, tmp_path: Path) -> None:
    writers = {"joint_command": {"whole_body_controller"}, "reference": {"authority"}}
    with graph(tmp_path):
        probe.until(lambda: all(publishers(probe, topic) and subscribers(probe, topic) for topic in writers), 60)
        # discovery tells of an endpoint before it tells whose it is
        probe.until(lambda: not any(UNKNOWN in subscribers(probe, topic) for topic in PRIVATE), 30)
        probe.until(lambda: not any(UNKNOWN in publishers(probe, topic) for topic in writers), 30)
        for topic, allowed in PRIVATE.items():
            assert subscribers(probe, topic) <= allowed
        for topic, writer in writers.items():
            assert publishers(probe, topic) == writer
