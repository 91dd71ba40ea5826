"""A scripted teleoperator: takes over, moves the left hand, lets go; measures take_over called -> first joint motion.

The device streams teleop_action all the time, stamped by the node's clock as the panel does. From the moment of the
call the hand goes up (then down, by turns) at 0.3 m/s. Joint motion is read off the encoders (joint_states positions of
the left arm), as the largest distance of a joint from the straight line through the 0.2 s before the call: a robot
that sways on slowly does not count as moved. How far that distance goes without a motion is measured in the same run,
twice: in the WINDOW_S before each call, and in sham takeovers (every SHAM_EVERY-th: take over, stream, keep the hand
still). The threshold is THRESHOLD_FACTOR times the largest distance of all those windows, so none of them would have
been taken for a motion; it is printed with the figure. A takeover whose hand is not TRAVEL_MIN on its way at the end of
the window (something else moved the joints, or nothing did) counts with the whole window and is told as missed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.experimental import EventsExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.task import Future
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from controllers import g1
from controllers.rigs import G1
from retake.ros import conversions, qos
from retake.ros.wire import JointStateCodec

LEFT_ARM = slice(15, 22)
HAND_Z = 2  # left_ee.z of the action
SPEED = 0.3  # m/s
STREAM_S = 0.01
STILL_S = 1.5  # standing before each takeover; the hand of the one before has settled by then
BASELINE = 100  # joint_states: 0.2 s
BASELINE_S = 0.2
WINDOW_S = 0.5
SHAM_EVERY = 10
THRESHOLD_FACTOR = 1.5
TRAVEL_MIN = 0.005  # m of 0.15 m; a standing robot's hand moves less than a tenth of that
PRIORITY = 40  # the person is another machine; where permitted, this process does not wait for the robot's


@dataclass(frozen=True)
class Trial:
    """One takeover: when it was called (s), which way the hand went (+1, -1, 0 sham), and what was seen."""

    called: float
    way: int
    answered: float  # s, teleop's first reference; nan when none came
    travel: float  # m, the hand's way up within WINDOW_S


class Teleoperator(Node):
    """Calls services and streams; everything runs in `main`'s thread."""

    def __init__(self) -> None:
        clock = [Parameter("use_sim_time", value=True)]
        super().__init__("bench_teleoperator", namespace="g1", parameter_overrides=clock)
        self._codec = JointStateCodec(g1.JOINT_NAMES)
        self._teleop = self.create_publisher(JointTrajectory, "teleop_action", qos.SEND)
        self.create_subscription(JointState, "joint_states", self._on_state, qos.RECORD, raw=True)
        self.create_subscription(JointTrajectory, "measured_action", self._on_measured, qos.RECORD)
        self.create_subscription(DiagnosticStatus, "provenance", self._on_provenance, qos.RECORD)
        names = ("take_over", "stop", "release_stop")
        self._called = {name: self.create_client(Trigger, name) for name in names}
        self._executor = EventsExecutor()
        self._executor.add_node(self)
        self._stamp_ns = 0
        self.times: list[float] = []  # s, arrivals of joint_states
        self.arm: list[np.ndarray] = []  # (7,) rad each
        self.measured: np.ndarray | None = None  # (17,) newest measured_action
        self.teleop_since = np.nan  # s, first reference that comes from teleop

    def _on_state(self, data: bytes) -> None:
        self.times.append(time.perf_counter())
        self.arm.append(self._codec.decode(data)[1][LEFT_ARM].copy())

    def _on_measured(self, message: JointTrajectory) -> None:
        self.measured = conversions.action_from(message, G1)

    def _on_provenance(self, message: DiagnosticStatus) -> None:
        if np.isnan(self.teleop_since) and message.values[0].value == "teleop":
            self.teleop_since = time.perf_counter()

    def spin(self, seconds: float) -> None:
        """Handle messages for so long."""
        self._executor.spin_until_future_complete(Future(), seconds)

    def call(self, name: str) -> Future:
        """Send a Trigger."""
        return self._called[name].call_async(Trigger.Request())

    def stream(self, action: np.ndarray) -> None:
        """Publish one teleop_action now; no new time, no new command."""
        now = self.get_clock().now().nanoseconds
        if now > self._stamp_ns:
            self._stamp_ns = now
            self._teleop.publish(conversions.action_message(action, now, G1))

    def ready(self, timeout_s: float) -> None:
        """Wait until the robot reports and the services answer."""
        end = time.perf_counter() + timeout_s
        while self.measured is None or not all(s.service_is_ready() for s in self._called.values()):
            self.spin(0.1)
            if time.perf_counter() > end:
                raise TimeoutError("the graph does not answer; see build/bench/takeover.log")

    def hold(self, action: np.ndarray, seconds: float) -> None:
        """Stream `action` (17,) for so long."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            self.stream(action)
            self.spin(STREAM_S)

    def trial(self, way: int) -> Trial:
        """One takeover with the hand going up (1), down (-1) or nowhere (0), and the release after it."""
        self.spin(0.1)
        action = self.measured
        self.hold(action, STILL_S)
        start_z, self.teleop_since = float(self.measured[HAND_Z]), np.nan
        called = time.perf_counter()
        self.call("take_over")
        while (since := time.perf_counter() - called) < WINDOW_S:
            moving = action.copy()
            moving[HAND_Z] += way * SPEED * since
            self.stream(moving)
            self.spin(STREAM_S)
        trial = Trial(called, way, self.teleop_since, float(self.measured[HAND_Z]) - start_z)
        self.call("stop")
        self.spin(0.1)
        self.call("release_stop")
        return trial


def distance(times: np.ndarray, arm: np.ndarray, at: float) -> tuple[np.ndarray, np.ndarray]:
    """How far the arm (n, 7) rad, seen at `times` (n,) s, is from where it was heading at `at`.

    Returns the times (m,) within WINDOW_S after `at` and the largest joint's distance (m,) rad from the straight line
    through the BASELINE states before `at`, whose slope counts only for BASELINE_S: nothing sways further. Where the
    robot was not heard for a while the first state after that counts when it came.
    """
    first, last = np.searchsorted(times, [at, at + WINDOW_S], side="right")
    if first < BASELINE or first == last:
        raise ValueError(f"{first} joint_states before and {last - first} after a call: the robot is not heard")
    before, after = slice(first - BASELINE, first), slice(first, last)
    slope, offset = np.polyfit(times[before] - at, arm[before], 1)  # (7,) each
    line = offset + slope * np.minimum(times[after] - at, BASELINE_S)[:, None]
    return times[after], np.abs(arm[after] - line).max(axis=1)


def judge(trials: list[Trial], times: np.ndarray, arm: np.ndarray) -> dict[str, object]:
    """Latencies (ms) of the takeovers, the threshold, and which of them were missed."""
    shams = [trial for trial in trials if trial.way == 0]
    moves = [trial for trial in trials if trial.way != 0]
    still = [distance(times, arm, trial.called - WINDOW_S)[1].max() for trial in trials]
    sham = [distance(times, arm, trial.called)[1].max() for trial in shams]
    threshold = THRESHOLD_FACTOR * max(still + sham)
    latencies, missed = [], []
    for number, trial in enumerate(moves):
        seen, far = distance(times, arm, trial.called)
        hits = np.flatnonzero(far > threshold)
        if not len(hits) or trial.way * trial.travel < TRAVEL_MIN:
            missed.append(f"takeover {number}: hand moved {trial.travel * 1e3:.0f} mm of {trial.way * 150} mm")
            latencies.append(WINDOW_S * 1e3)
        else:
            latencies.append((seen[hits[0]] - trial.called) * 1e3)
    answered = [(trial.answered - trial.called) * 1e3 for trial in moves]
    return {
        "latencies_ms": np.round(latencies, 2).tolist(),
        "first_reference_ms": np.round(answered, 2).tolist(),
        "threshold_rad": float(threshold),
        "still_rad": float(max(still)), "sham_rad": float(max(sham)), "shams": len(shams), "missed": missed,
    }  # fmt: skip


def main() -> int:
    """Arguments: how many takeovers, seconds to wait for the graph. Prints one line of JSON."""
    count, timeout_s = int(sys.argv[1]), float(sys.argv[2])
    rclpy.init()
    person = Teleoperator()
    try:
        for thread in os.listdir("/proc/self/task"):
            os.sched_setscheduler(int(thread), os.SCHED_FIFO, os.sched_param(PRIORITY))
    except PermissionError:
        print("no real-time priority: this process's own waits count as latency", file=sys.stderr)
    person.ready(timeout_s)
    person.spin(3.0)
    trials: list[Trial] = []
    for number in range(count):
        if number % SHAM_EVERY == 0:
            trials.append(person.trial(0))
        trials.append(person.trial(1 if number % 2 == 0 else -1))
    try:
        result = judge(trials, np.array(person.times), np.array(person.arm))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    result["fallen"] = bool(person.measured[g1.BASE_HEIGHT] < 0.4)
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
