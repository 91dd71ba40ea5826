"""The person in front of the robot: services, a device in their hand, and eyes for everything that is published."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.client import Client
from rclpy.experimental import EventsExecutor
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from controllers import g1
from controllers.rigs import G1
from retake.ros import conversions, qos

NEEDED = {"policy_server", "recorder", "camera_sim", "authority", "whole_body_controller"}
START_S = 180.0  # wall time for every node to import what it needs and to be heard
ASK_AGAIN_S = 10.0
PATIENCE_S = 60.0  # wall time, for machines that do much else


class Operator:
    """`hand`: called with the stamp (ns) and the measured action (17,) of each tick; its answer is teleoperated."""

    def __init__(self) -> None:
        self._context = rclpy.Context()
        rclpy.init(args=[], context=self._context)
        self._node = rclpy.create_node("operator", namespace="/g1", context=self._context)
        self._executor = EventsExecutor(context=self._context)
        self._executor.add_node(self._node)
        self.hand: Callable[[int, np.ndarray], np.ndarray] | None = None
        self.measured = np.array(g1.HOME_ACTION)
        self.now_ns = 0
        self.authority = ""
        self.truth: dict = {}
        self.references: list[tuple[int, np.ndarray]] = []  # stamp, reference (17,)
        self.heard: dict[str, tuple[float, DiagnosticStatus]] = {}  # node: when (monotonic), what
        self.applied: list[JointState] = []
        self.digest = hashlib.sha256()  # of the joint states in `_hashed_ns`
        self.n_hashed = 0
        self._hashed_ns = range(0)
        self._last_state_ns = 0
        self._sources: dict[int, str] = {}
        self._clients: dict[str, Client] = {}
        self._teleop = self._node.create_publisher(JointTrajectory, "teleop_action", qos.STREAM)
        self._subscribe()

    def _subscribe(self) -> None:
        node = self._node
        node.create_subscription(JointTrajectory, "measured_action", self._on_measured, qos.STREAM)
        node.create_subscription(JointTrajectory, "reference", self._on_reference, qos.STREAM)
        node.create_subscription(DiagnosticStatus, "provenance", self._on_provenance, qos.STREAM)
        node.create_subscription(DiagnosticArray, "diagnostics", self._on_diagnostics, qos.STREAM)
        node.create_subscription(String, "authority", self._on_authority, qos.LATCHED)
        node.create_subscription(String, "ground_truth/task", self._on_truth, qos.STREAM)
        node.create_subscription(JointState, "joint_states", self._on_joint_states, qos.RECORD)

    def watch_applied(self) -> None:
        """Keep what the motors were told, from now on."""
        self._node.create_subscription(JointState, "applied_joint_command", self.applied.append, qos.RECORD)

    def until(self, is_so: Callable[[], object], seconds: float = PATIENCE_S, what: str = "it") -> None:
        """Serve callbacks until `is_so`; a failure when that takes more wall time."""
        end = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < end, f"no {what} in {seconds:.0f} s; at {self.now_ns} ns, {self.truth}"
            self._executor.spin_once(timeout_sec=0.02)

    def for_sim_s(self, seconds: float) -> None:
        """Serve callbacks for so much of the robot's time."""
        end = self.now_ns + round(seconds * 1e9)
        self.until(lambda: self.now_ns >= end, what=f"{seconds} s of the robot's time")

    def call(self, name: str) -> str:
        """A Trigger service's message; it must succeed. Asked again while only a dead node is listed as its host."""
        client = self._clients.setdefault(name, self._node.create_client(Trigger, name))
        answers: list[Trigger.Response] = []
        asked_s = -ASK_AGAIN_S

        def is_answered() -> bool:
            nonlocal asked_s
            if client.service_is_ready() and time.monotonic() - asked_s >= ASK_AGAIN_S:
                asked_s = time.monotonic()
                client.call_async(Trigger.Request()).add_done_callback(lambda done: answers.append(done.result()))
            return bool(answers)

        self.until(is_answered, what=f"answer of {name}")
        answer = answers[0]
        assert answer.success, f"{name}: {answer.message}"
        return answer.message

    def begin(self, authority: str = "hand_back", hash_s: float = 0.0) -> dict:
        """A fresh world, recorded, with somebody in authority, at its first step; what sim/reset answered.

        The joint states of the first `hash_s` seconds go into `digest`, without the very first, which comes before the
        answer of sim/reset.
        """
        self.until(lambda: set(self.heard) >= NEEDED, START_S, "every node")
        # once more from everybody: by then they have discovered each other, and no message of the new world is lost
        self.heard.clear()
        self.until(lambda: set(self.heard) >= NEEDED, START_S, "every node again")
        start = json.loads(self.call("sim/reset"))
        self._hashed_ns = range(start["stamp_ns"] + 1, start["stamp_ns"] + round(hash_s * 1e9) + 1)
        self.call("episode/start")
        self.until(lambda: self._sources and max(self._sources) >= start["stamp_ns"], what="authority in the new world")
        self.call(authority)
        self.call("sim/run")
        self.until(lambda: self.truth.get("stamp_ns", 0) >= start["stamp_ns"], what="the new world")
        return start

    def close(self) -> None:
        """Leave ROS."""
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def _on_measured(self, message: JointTrajectory) -> None:
        self.now_ns = conversions.stamp_ns(message.header.stamp)
        self.measured = conversions.action_from(message, G1)
        if self.hand is not None:
            self._teleop.publish(conversions.action_message(self.hand(self.now_ns, self.measured), self.now_ns, G1))

    def _on_reference(self, message: JointTrajectory) -> None:
        stamp = conversions.stamp_ns(message.header.stamp)
        self.references.append((stamp, conversions.action_from(message, G1)))

    def _on_provenance(self, message: DiagnosticStatus) -> None:
        values = {pair.key: pair.value for pair in message.values}
        self._sources[int(values["stamp_ns"])] = values["source"]

    def newest_source(self) -> str:
        """Who commanded the newest reference; waits for its provenance, which travels on a topic of its own."""
        stamp = self.references[-1][0]
        self.until(lambda: stamp in self._sources, what=f"provenance of the reference at {stamp} ns")
        return self._sources[stamp]

    def check_no_jumps(self) -> None:
        """Position channels of the reference never moved faster than the robot's limits, across all hand-overs."""
        for (before_ns, before), (after_ns, after) in zip(self.references, self.references[1:], strict=False):
            dt = (after_ns - before_ns) / 1e9
            if 0 < dt < 0.1:  # not across a reset
                linear = [i for i, name in enumerate(g1.ACTION_CHANNELS) if ".q" not in name]
                assert np.all(np.abs(after - before)[linear] <= g1.ACTION_SPEED[linear] * dt + 1e-6)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.heard[status.name] = time.monotonic(), status

    def _on_authority(self, message: String) -> None:
        self.authority = message.data

    def _on_truth(self, message: String) -> None:
        self.truth = json.loads(message.data)

    def _on_joint_states(self, message: JointState) -> None:
        stamp = conversions.stamp_ns(message.header.stamp)
        if stamp in self._hashed_ns and stamp > self._last_state_ns:  # an unanswered state is published again
            self.n_hashed, self._last_state_ns = self.n_hashed + 1, stamp
            values = stamp - self._hashed_ns.start, *message.position, *message.velocity, *message.effort
            self.digest.update(np.array(values).tobytes())
