"""The node with real messages: a chunk for an observation, none for a bad one, another checkpoint between episodes, and
a refusal to start."""

import time

import box_toy
import cv2
import numpy as np
import pytest
import rclpy
import torch
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.experimental import EventsExecutor
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from controllers import g1
from controllers.rigs import G1
from policies.checkpoint import load_checkpoint, save_checkpoint
from policies.flow import FlowPolicy
from policies.inference import answer
from policies.normalise import Normaliser
from policies.observation import Observation
from policies.policy import PolicyConfig
from retake.errors import UserError
from retake.policy.policy_server import PolicyServer
from retake.ros import conversions, qos

DOMAIN = 64
GRID, TICK = 396_000_000, 20_000_000
CHANNELS = g1.ACTION_CHANNELS


def write(path, seed: int, cameras: tuple[str, ...] = ("chest", "head")) -> str:
    torch.manual_seed(seed)
    values = np.stack([box_toy.HOME, box_toy.expert(box_toy.Scene.random(0))[60]])
    statistics = Normaliser.fit(CHANNELS, values)
    policy = FlowPolicy(PolicyConfig(CHANNELS, CHANNELS, cameras, 32, 24), statistics, statistics)
    return save_checkpoint(path, policy, "g1", "g1_box", {})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint")
    write(path, 0)
    return path


@pytest.fixture(autouse=True)
def context():
    """Every test its own ROS context, whatever became of the one before."""
    yield
    rclpy.try_shutdown()


class Graph:
    """The node and what stands around it, in one executor."""

    def __init__(self, folder, lockstep: bool, missing: int = 0) -> None:
        """`missing` of the two cameras are not listened to."""
        arguments = ["-p", f"policy:={folder}", "-p", f"lockstep:={str(lockstep).lower()}", "-p", "reload:=true"]
        rclpy.init(args=["--ros-args", "-r", "__ns:=/g1", *arguments], domain_id=DOMAIN)
        self.server = PolicyServer()
        self.peer = rclpy.create_node("peer", use_global_arguments=False, namespace="g1")
        self.state = self.peer.create_publisher(JointTrajectory, "measured_action", qos.STREAM)
        self.reference = self.peer.create_publisher(JointTrajectory, "reference", qos.STREAM)
        self.provenance = self.peer.create_publisher(DiagnosticStatus, "provenance", qos.STREAM)
        self.authority = self.peer.create_publisher(String, "authority", qos.LATCHED)
        self.event = self.peer.create_publisher(String, "episode/event", qos.LATCHED)
        self.policies: list[str] = []
        self.peer.create_subscription(String, "policy", lambda m: self.policies.append(m.data), qos.LATCHED)
        self.images = {
            camera: self.peer.create_publisher(
                CompressedImage, f"camera/{camera}/color/image_raw/compressed", qos.CAMERA
            )
            for camera in ("chest", "head")
        }
        self.chunks: list[JointTrajectory] = []
        self.peer.create_subscription(JointTrajectory, "action_chunk", self.chunks.append, qos.STREAM)
        self.executor = EventsExecutor()
        self.executor.add_node(self.server)
        self.executor.add_node(self.peer)
        publishers = [self.state, self.reference, self.provenance, self.authority, self.event, *self.images.values()]
        self.spin(
            lambda: (
                sum(p.get_subscription_count() for p in publishers) >= len(publishers) - missing
                and self.peer.count_publishers("/g1/action_chunk") == 1
            )
        )

    def spin(self, until, timeout_s: float = 60.0) -> bool:
        end = time.monotonic() + timeout_s
        while not until() and time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.05)
        return until()

    def observe(self, stamp: int, state: np.ndarray, jpegs: dict[str, bytes], chunk_stamp: int = 0) -> None:
        """A state, what the authority made of it, and pictures."""
        tick = stamp // TICK * TICK
        self.state.publish(conversions.action_message(state, tick, G1))
        self.reference.publish(conversions.action_message(box_toy.HOME, tick, G1))
        pairs = {"stamp_ns": tick, "chunk_stamp_ns": chunk_stamp}
        values = [KeyValue(key=key, value=str(value)) for key, value in pairs.items()]
        self.provenance.publish(DiagnosticStatus(name="reference", values=values))
        for camera, jpeg in jpegs.items():
            message = CompressedImage(format="jpeg", data=jpeg)
            message.header.stamp = conversions.time_message(stamp)
            self.images[camera].publish(message)

    def close(self) -> None:
        self.executor.shutdown()
        self.server.destroy_node()
        self.peer.destroy_node()


@pytest.fixture
def pictures() -> dict[str, bytes]:
    drawn = box_toy.draw(box_toy.Scene.random(0), box_toy.HOME)
    return {name: cv2.imencode(".jpg", picture[..., ::-1])[1].tobytes() for name, picture in drawn.items()}


@pytest.mark.parametrize("lockstep", [True, False])
def test_answers_an_observation_and_not_a_bad_one(folder, pictures, lockstep):
    graph = Graph(folder, lockstep)
    try:
        graph.observe(10 * GRID, box_toy.HOME, pictures)
        assert graph.spin(lambda: graph.chunks)
        offsets, actions = conversions.chunk_from(graph.chunks[0], G1)
        assert conversions.stamp_ns(graph.chunks[0].header.stamp) == 10 * GRID
        assert offsets[0] == 66_000_000 and offsets[-1] == 1_584_000_000
        seen = Observation(10 * GRID, (pictures["chest"], pictures["head"]), box_toy.HOME, 10 * GRID)
        np.testing.assert_allclose(actions, answer(load_checkpoint(folder).policy, seen).chunk, atol=1e-6)

        diagnostics = graph.server.diagnostics
        graph.observe(11 * GRID, np.full(17, np.nan), pictures)
        assert graph.spin(lambda: diagnostics.refused.get("measured_action") == 1)
        graph.observe(12 * GRID, box_toy.HOME, {**pictures, "head": b"\xff\xd8not a picture"})
        assert graph.spin(lambda: diagnostics.refused.get("observation") == 1)
        assert len(graph.chunks) == 1
        graph.observe(100 * GRID, box_toy.HOME, pictures)  # the world restarted far ahead
        assert graph.spin(lambda: len(graph.chunks) == 2)
        assert conversions.stamp_ns(graph.chunks[1].header.stamp) == 100 * GRID
    finally:
        graph.close()


def test_goes_on_from_what_the_authority_executes(folder, pictures):
    graph = Graph(folder, lockstep=True)
    try:
        chunks = []
        for stamp, chunk_stamp in ((10, 0), (11, 10), (12, 0)):
            graph.observe(stamp * GRID, box_toy.HOME, pictures, chunk_stamp * GRID)
            assert graph.spin(lambda: len(graph.chunks) == len(chunks) + 1)
            chunks.append(conversions.chunk_from(graph.chunks[-1], G1)[1])
        assert not np.allclose(chunks[1], chunks[0])
        np.testing.assert_array_equal(chunks[2], chunks[0])  # nobody executes the second: nothing goes on from it

        tick = 10 * GRID // TICK * TICK  # another world, which begins where this one did, seen before its reference
        graph.state.publish(conversions.action_message(box_toy.HOME, tick, G1))
        assert graph.spin(lambda: graph.server._observing.world_start_ns == tick)
        assert not graph.server._executed.has(tick)
        graph.observe(11 * GRID, box_toy.HOME, pictures, 10 * GRID)
        assert graph.spin(lambda: len(graph.chunks) == 4)
        np.testing.assert_array_equal(conversions.chunk_from(graph.chunks[3], G1)[1], chunks[0])
    finally:
        graph.close()


def test_another_checkpoint_between_episodes(tmp_path, pictures):
    graph, first = None, write(tmp_path, 0)
    try:
        graph = Graph(tmp_path, lockstep=False)
        server = graph.server
        graph.authority.publish(String(data="policy"))
        graph.event.publish(String(data='{"event": "started"}'))
        waits = server._replacement
        assert graph.spin(lambda: waits.authority == "policy" and waits.in_episode and graph.policies)
        second = write(tmp_path, 1)
        assert graph.spin(lambda: server._replacement.reload.is_ready)
        graph.event.publish(String(data='{"event": "success"}'))
        assert graph.spin(lambda: not server._replacement.in_episode)
        assert graph.policies == [first[:16]]  # the policy still has the robot
        graph.authority.publish(String(data="teleop"))
        assert graph.spin(lambda: graph.policies == [first[:16], second[:16]])
        graph.observe(10 * GRID, box_toy.HOME, pictures)
        assert graph.spin(lambda: graph.chunks)
        seen = Observation(10 * GRID, (pictures["chest"], pictures["head"]), box_toy.HOME, 10 * GRID)
        actions = conversions.chunk_from(graph.chunks[0], G1)[1]
        np.testing.assert_allclose(actions, answer(load_checkpoint(tmp_path).policy, seen).chunk, atol=1e-6)

        (tmp_path / "policy.json").write_text("{}")
        assert graph.spin(lambda: "not used" in server.diagnostics._trouble.get("reload", ""))
        assert graph.policies[-1] == second[:16]
    finally:
        if graph is not None:
            graph.close()


def test_another_checkpoint_may_look_through_another_camera(tmp_path, pictures):
    graph, first = None, write(tmp_path, 0, ("chest",))
    try:
        graph = Graph(tmp_path, lockstep=False, missing=1)
        assert graph.images["head"].get_subscription_count() == 0
        graph.authority.publish(String(data="none"))
        assert graph.spin(lambda: graph.server._replacement.authority == "none" and graph.policies == [first[:16]])
        second = write(tmp_path, 1, ("chest", "head"))
        assert graph.spin(lambda: graph.policies == [first[:16], second[:16]])
        assert graph.spin(lambda: graph.images["head"].get_subscription_count() == 1)
        graph.observe(10 * GRID, box_toy.HOME, pictures)
        assert graph.spin(lambda: graph.chunks)
        seen = Observation(10 * GRID, (pictures["chest"], pictures["head"]), box_toy.HOME, 10 * GRID)
        actions = conversions.chunk_from(graph.chunks[0], G1)[1]
        np.testing.assert_allclose(actions, answer(load_checkpoint(tmp_path).policy, seen).chunk, atol=1e-6)
    finally:
        if graph is not None:
            graph.close()


@pytest.mark.parametrize(("arguments", "says"), [
    ([], "needs the parameter policy"), (["-p", "policy:=nowhere"], "nowhere is no checkpoint; allowed"),
    (["-p", "policy:=x", "-p", "robot:=r2d2"], "robot 'r2d2' is unknown; allowed: g1")])  # fmt: skip
def test_refuses_to_start(arguments, says):
    rclpy.init(args=["--ros-args", *arguments] if arguments else None, domain_id=DOMAIN)
    with pytest.raises((UserError, ValueError), match=says):
        PolicyServer()
