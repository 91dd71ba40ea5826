"""The node with real messages and our server: a chunk for an observation, none while there is no server, and why."""

import time

import cv2
import numpy as np
import pytest
import rclpy
from rclpy.experimental import EventsExecutor
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from controllers.rigs import G1
from policies.checkpoint import load_checkpoint
from policies.frames import decode_frame
from retake.errors import UserError
from retake.policy.remote_choice import TOKEN_VARIABLE
from retake.policy.remote_policy import RemotePolicyNode
from retake.ros import conversions, qos

DOMAIN = 57
GRID, TICK = 396_000_000, 20_000_000
TOKEN = "a token of enough length"


@pytest.fixture(autouse=True)
def context():
    """Every test its own ROS context, whatever became of the one before."""
    yield
    rclpy.try_shutdown()


class Graph:
    """The node and what stands around it, in one executor."""

    def __init__(self, port: int) -> None:
        arguments = ["-p", f"address:=ws://127.0.0.1:{port}", "-p", "answer_s:=10.0"]
        rclpy.init(args=["--ros-args", "-r", "__ns:=/g1", *arguments], domain_id=DOMAIN)
        self.node = RemotePolicyNode()
        self.peer = rclpy.create_node("peer", use_global_arguments=False, namespace="g1")
        self.state = self.peer.create_publisher(JointTrajectory, "measured_action", qos.STREAM)
        self.images = {
            camera: self.peer.create_publisher(
                CompressedImage, f"camera/{camera}/color/image_raw/compressed", qos.CAMERA
            )
            for camera in G1.cameras
        }
        self.chunks: list[JointTrajectory] = []
        self.policies: list[str] = []
        self.peer.create_subscription(JointTrajectory, "action_chunk", self.chunks.append, qos.STREAM)
        self.peer.create_subscription(String, "policy", lambda m: self.policies.append(m.data), qos.LATCHED)
        self.executor = EventsExecutor()
        self.executor.add_node(self.node)
        self.executor.add_node(self.peer)
        publishers = [self.state, *self.images.values()]
        assert self.spin(lambda: all(p.get_subscription_count() == 1 for p in publishers)
                         and self.peer.count_publishers("/g1/action_chunk") == 1)

    def spin(self, until, timeout_s: float = 60.0) -> bool:
        end = time.monotonic() + timeout_s
        while not until() and time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.05)
        return bool(until())

    def observe(self, stamp: int, jpegs: dict[str, bytes]) -> None:
        self.state.publish(conversions.action_message(G1.home_action, stamp // TICK * TICK, G1))
        for camera, jpeg in jpegs.items():
            message = CompressedImage(format="jpeg", data=jpeg)
            message.header.stamp = conversions.time_message(stamp)
            self.images[camera].publish(message)

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        self.peer.destroy_node()


def test_answers_while_there_is_a_server(serve, folder, pictures, monkeypatch):
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    service = serve(token=TOKEN)
    jpegs = {camera: cv2.imencode(".jpg", picture[..., ::-1])[1].tobytes()
             for camera, picture in zip(G1.cameras, pictures, strict=True)}  # fmt: skip
    checkpoint = load_checkpoint(folder)
    small = [decode_frame(jpegs[camera], 32, 24) for camera in checkpoint.policy.config.cameras]
    expected = checkpoint.policy.predict(small, G1.home_action, seed=0)  # ACT has no noise
    graph = Graph(service.port)
    try:
        assert graph.spin(lambda: graph.policies) and graph.policies == [checkpoint.sha256[:16]]
        graph.observe(10 * GRID, jpegs)
        assert graph.spin(lambda: graph.chunks)
        offsets, actions = conversions.chunk_from(graph.chunks[0], G1)
        assert conversions.stamp_ns(graph.chunks[0].header.stamp) == 10 * GRID
        assert offsets[0] == 66_000_000 and offsets[-1] == 1_584_000_000
        np.testing.assert_array_equal(actions, expected)

        diagnostics = graph.node.diagnostics
        graph.observe(11 * GRID, {**jpegs, "head": b"\xff\xd8not a picture"})
        assert graph.spin(lambda: diagnostics.refused.get("answer") == 1)
        service.close()
        assert graph.spin(lambda: "Connect call failed" in diagnostics._trouble.get("policy", ""))
        graph.observe(12 * GRID, jpegs)  # nobody is there
        serve(port=service.port, token=TOKEN)
        assert graph.spin(lambda: len(graph.policies) == 2 and not diagnostics._trouble)
        graph.observe(100 * GRID, jpegs)  # and the world began again meanwhile
        assert graph.spin(lambda: len(graph.chunks) == 2)
        assert conversions.stamp_ns(graph.chunks[1].header.stamp) == 100 * GRID
    finally:
        graph.close()


def test_says_why_there_is_no_policy(serve):
    graph = Graph(serve(token=TOKEN).port)  # without it
    try:
        assert graph.spin(lambda: "the token is missing or wrong" in graph.node.diagnostics._trouble.get("policy", ""))
        assert not graph.policies
    finally:
        graph.close()


@pytest.mark.parametrize(("arguments", "says"), [
    ([], "needs the parameter address"), (["-p", "address:=http://here"], "is no address of a policy server"),
    (["-p", "address:=ws://here", "-p", "robot:=r2d2"], "robot 'r2d2' is unknown; allowed: g1"),
    (["-p", "address:=ws://here", "-p", "size:=big"], "WIDTHxHEIGHT"),
])  # fmt: skip
def test_refuses_to_start(arguments, says):
    rclpy.init(args=["--ros-args", *arguments] if arguments else None, domain_id=DOMAIN)
    with pytest.raises((UserError, ValueError), match=says):
        RemotePolicyNode()
