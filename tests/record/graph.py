"""A recorder process and a publisher of real messages, for the tests here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Imu, JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from controllers.g1 import ACTION_CHANNELS, HOME_ACTION, JOINT_NAMES
from retake.ros import qos

PATIENCE_S = 60.0  # a loaded machine takes half of this to start a process
STATES = ("joint_states", "joint_command", "applied_joint_command")


class Robot(Node):
    """Publishes what a G1 does, at its rates and sizes, and calls the recorder's services."""

    def __init__(self, context: Context, profile: QoSProfile = qos.RECORD) -> None:
        """`profile` keeps what a reader on a busy machine has not yet taken: 10 messages are 20 ms at 500 Hz."""
        super().__init__("robot", namespace="/g1", context=context)
        self.states = {name: self.create_publisher(JointState, name, profile) for name in STATES}
        self.imu = self.create_publisher(Imu, "imu", profile)
        self.actions = {name: self.create_publisher(JointTrajectory, name, profile)
                        for name in ("measured_action", "reference")}
        self.images = {name: self.create_publisher(CompressedImage, f"camera/{name}/color/image_raw/compressed",
                                                   profile) for name in ("head", "chest")}
        self.authority = self.create_publisher(String, "authority", qos.LATCHED)
        self.provenance = self.create_publisher(DiagnosticStatus, "provenance", profile)
        self.truth = self.create_publisher(String, "ground_truth/task", profile)
        self.events: list[dict] = []
        self.create_subscription(String, "episode/event", lambda m: self.events.append(json.loads(m.data)), qos.LATCHED)
        self.executor_ = SingleThreadedExecutor(context=context)
        self.executor_.add_node(self)
        self.sent: dict[str, list[object]] = {}

    def ask(self, service: str) -> Trigger.Response:
        client = self.create_client(Trigger, service)
        assert client.wait_for_service(timeout_sec=PATIENCE_S), f"{service} is not offered"
        future = client.call_async(Trigger.Request())
        self.executor_.spin_until_future_complete(future, timeout_sec=PATIENCE_S)
        assert future.done(), f"{service} does not answer"
        self.destroy_client(client)
        return future.result()

    def wait_for_recorder(self) -> None:
        """Until the recorder's subscriptions have met our publishers."""
        publishers = [*self.states.values(), self.imu, *self.actions.values(), *self.images.values(), self.truth]
        deadline = time.monotonic() + PATIENCE_S
        while any(p.get_subscription_count() == 0 for p in publishers):
            assert time.monotonic() < deadline, "the recorder does not subscribe"
            time.sleep(0.05)

    def step(self, step: int) -> None:
        """Publish everything that is due at the 2 ms step of this number, stamped with the step's time."""
        stamp_ns = step * 2_000_000
        for name, publisher in self.states.items():
            n = len(JOINT_NAMES)
            message = JointState(name=list(JOINT_NAMES), position=[step * 1e-3] * n, velocity=[0.5] * n,
                                 effort=[float(step)] * n)
            self._send(publisher, name, message, stamp_ns)
        self._send(self.imu, "imu", Imu(), stamp_ns)
        if step % 10 == 0:
            for name, publisher in self.actions.items():
                point = JointTrajectoryPoint(positions=(HOME_ACTION + step).tolist())
                action = JointTrajectory(joint_names=list(ACTION_CHANNELS), points=[point])
                self._send(publisher, name, action, stamp_ns)
            values = [KeyValue(key="source", value="policy"), KeyValue(key="policy", value="abc123")]
            self.provenance.publish(DiagnosticStatus(values=values))
        if step % 33 == 0:
            for name, publisher in self.images.items():
                message = CompressedImage(format="jpeg", data=b"\xff\xd8" + bytes(9000) + str(step).encode())
                self._send(publisher, f"camera/{name}/color/image_raw/compressed", message, stamp_ns)
        if step % 50 == 0:
            self.truth.publish(String(data=json.dumps({"seed": 42, "success": False, "time": stamp_ns / 1e9})))

    def _send(self, publisher: object, topic: str, message: object, stamp_ns: int) -> None:
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
        publisher.publish(message)
        self.sent.setdefault(f"/g1/{topic}", []).append(message)

    def run(self, first: int, last: int, rate_hz: float = 500.0) -> None:
        """Publish the steps [first, last) in real time."""
        start = time.monotonic()
        for step in range(first, last):
            self.step(step)
            wait = start + (step - first + 1) / rate_hz - time.monotonic()
            if wait > 0:
                time.sleep(wait)


def start_recorder(root: Path, **parameters: object) -> subprocess.Popen:
    """A recorder process that writes to `root`."""
    words = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    return subprocess.Popen([sys.executable, "-m", "retake.recording.recorder", "--ros-args", "-r", "__ns:=/g1",
                             "-p", f"root:={root}", *words], env={**os.environ, "OMP_NUM_THREADS": "1"},
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def stop(process: subprocess.Popen, signal: int) -> str:
    """Send a signal and return what the process printed."""
    process.send_signal(signal)
    out, _ = process.communicate(timeout=PATIENCE_S)
    return out
