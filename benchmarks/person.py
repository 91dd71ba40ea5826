"""A scripted operator and teleoperator over the topics and services that people use; everything runs in the caller's
thread."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable

import numpy as np
import rclpy
from rclpy.experimental import EventsExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.task import Future
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from controllers.rigs import Rig
from retake.ros import conversions, qos
from retake.ros.wire import JointStateCodec

STREAM_S = 0.01
PATIENCE_S = 60.0
PRIORITY = 40  # the person is another machine; where permitted, this process does not wait for the robot's
DEVICE = "keyboard"


class Person(Node):
    """Calls, streams, watches."""

    def __init__(self, rig: Rig) -> None:
        super().__init__("bench_person", namespace=rig.name,
                         parameter_overrides=[Parameter("use_sim_time", value=True)])
        self.rig = rig
        self._codec = JointStateCodec(rig.joint_names)
        self._teleop = self.create_publisher(JointTrajectory, "teleop_action", qos.SEND)
        self._rewind = self.create_publisher(JointTrajectory, "rewind_action", qos.SEND)
        self._chunks = self.create_publisher(JointTrajectory, "action_chunk", qos.SEND)
        self.create_subscription(JointTrajectory, "measured_action", self._on_measured, qos.RECORD)
        self.create_subscription(JointState, "joint_command", self._on_command, qos.RECORD, raw=True)
        self.create_subscription(String, "ground_truth/task", self._on_truth, qos.STREAM)
        self.create_subscription(String, "authority", self._on_authority, qos.LATCHED)
        self._called: dict[str, rclpy.client.Client] = {}
        self._executor = EventsExecutor()
        self._executor.add_node(self)
        self._streamed_ns = 0
        self.stamps: list[int] = []  # ns, of measured_action
        self.poses: list[np.ndarray] = []  # (dim,) each
        self.command_stamps: list[int] = []  # ns, of joint_command
        self.speeds: list[np.ndarray] = []  # (n,) rad/s commanded
        self.truth: dict = {}
        self.authority = ""

    def _on_measured(self, message: JointTrajectory) -> None:
        self.stamps.append(conversions.stamp_ns(message.header.stamp))
        self.poses.append(conversions.action_from(message, self.rig))

    def _on_command(self, data: bytes) -> None:
        try:
            stamp, _, speed, _, _ = self._codec.decode(data)
        except ValueError:
            return  # a command that asks for damping has another frame
        self.command_stamps.append(stamp)
        self.speeds.append(speed.copy())

    def _on_truth(self, message: String) -> None:
        self.truth = json.loads(message.data)

    def _on_authority(self, message: String) -> None:
        self.authority = message.data

    @property
    def pose(self) -> np.ndarray:
        """(dim,) the newest measured pose."""
        return self.poses[-1]

    def spin(self, seconds: float) -> None:
        """Handle messages for so long."""
        self._executor.spin_until_future_complete(Future(), seconds)

    def until(self, is_so: Callable[[], object], what: str, seconds: float = PATIENCE_S) -> None:
        """Handle messages until `is_so`."""
        end = time.monotonic() + seconds
        while not is_so():
            self.spin(0.01)
            if time.monotonic() > end:
                raise TimeoutError(f"no {what} within {seconds:.0f} s")

    def call(self, name: str, needed: bool = True) -> str:
        """What a Trigger service answers; it must say yes if `needed`."""
        client = self._called.get(name) or self._called.setdefault(name, self.create_client(Trigger, name))
        self.until(client.service_is_ready, f"service {name}")
        future = client.call_async(Trigger.Request())
        self.until(future.done, f"answer of {name}")
        answer = future.result()
        if needed and not answer.success:
            raise RuntimeError(f"{name}: {answer.message}")
        return answer.message

    def _stamp(self) -> int | None:
        """A new time, None while the clock has not moved."""
        now = self.get_clock().now().nanoseconds
        if now <= self._streamed_ns:
            return None
        self._streamed_ns = now
        return now

    def stream(self, action: np.ndarray) -> None:
        """Publish one teleop_action now."""
        if (stamp := self._stamp()) is not None:
            self._teleop.publish(conversions.action_message(action, stamp, self.rig, DEVICE))

    def hold_rewind(self, seconds: float, speed: float = -1.0) -> None:
        """Hold the rewind button for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if (stamp := self._stamp()) is not None:
                self._rewind.publish(conversions.path_speed_message(speed, stamp, DEVICE))
            self.spin(STREAM_S)

    def offer_chunk(self, offsets_ns: list[int], actions: np.ndarray) -> None:
        """Publish a chunk as a policy would, seen from now."""
        now = self.get_clock().now().nanoseconds
        self._chunks.publish(conversions.chunk_message(offsets_ns, actions, now, self.rig))

    def new_world(self) -> dict:
        """Another world, its episode, and who watches over it; what sim/reset answered."""
        start = json.loads(self.call("sim/reset"))
        # The recorder refuses until the clock has reached it, and where one is being recorded.
        self.until(lambda: "is being recorded" in self.call("episode/start", needed=False), "episode")
        self.until(lambda: self.stamps and self.stamps[-1] >= start["stamp_ns"] + 60_000_000, "the new world")
        self.call("sim/run")
        return start


def real_time() -> None:
    """This process's priority, where that is permitted."""
    try:
        for thread in os.listdir("/proc/self/task"):
            os.sched_setscheduler(int(thread), os.SCHED_FIFO, os.sched_param(PRIORITY))
    except PermissionError:
        print("no real-time priority: this process's own waits count", file=sys.stderr)
