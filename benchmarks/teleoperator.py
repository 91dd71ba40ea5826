"""A scripted teleoperator: take over, move a hand, let go; measures call of `take_over` -> first joint motion.

The robot stands still before each takeover, and what it does in that time is the noise a motion has to rise above: the
joint speeds of the left arm, as joint_states reports them.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from controllers import g1
from retake import qos

LEFT_ARM = slice(15, 22)
SPEED = 0.3  # m/s, up and down
STREAM_S = 0.01
STILL_S = 1.0  # of standing before each takeover
MOTION_S = 0.5
NOISE_FACTOR = 4.0  # a motion is this many times the largest speed of the last STILL_S
FLOOR = 0.01  # rad/s


class Teleoperator(Node):
    """Calls services and streams teleop_action; everything runs in `main`'s thread."""

    def __init__(self) -> None:
        super().__init__("bench_teleoperator", namespace="g1")
        self._teleop = self.create_publisher(JointTrajectory, "teleop_action", qos.STREAM)
        self.create_subscription(JointState, "joint_states", self._on_state, qos.STREAM)
        self.create_subscription(JointTrajectory, "measured_action", self._on_measured, qos.STREAM)
        names = ("take_over", "stop", "release_stop")
        self._called = {name: self.create_client(Trigger, name) for name in names}
        self.speeds: list[tuple[float, float]] = []  # wall time, largest left-arm speed
        self.measured: np.ndarray | None = None
        self.stamp: Any = None

    def _on_state(self, message: JointState) -> None:
        self.speeds.append((time.perf_counter(), float(np.abs(message.velocity[LEFT_ARM]).max())))

    def _on_measured(self, message: JointTrajectory) -> None:
        self.measured, self.stamp = np.array(message.points[0].positions), message.header.stamp

    def spin(self, seconds: float) -> None:
        """Handle messages for so long."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            rclpy.spin_once(self, timeout_sec=0.001)

    def call(self, name: str) -> Future:
        """Send a Trigger."""
        return self._called[name].call_async(Trigger.Request())

    def stream(self, action: np.ndarray) -> None:
        """Publish one teleop_action now."""
        message = JointTrajectory(joint_names=list(g1.ACTION_CHANNELS))
        message.header.stamp = self.get_clock().now().to_msg() if self.stamp is None else self.stamp
        message.points = [JointTrajectoryPoint(positions=[float(value) for value in action])]
        self._teleop.publish(message)

    def ready(self, timeout_s: float) -> None:
        """Wait until the robot reports and the services answer."""
        end = time.perf_counter() + timeout_s
        while self.measured is None or not all(s.service_is_ready() for s in self._called.values()):
            rclpy.spin_once(self, timeout_sec=0.1)
            if time.perf_counter() > end:
                raise TimeoutError("the graph does not answer; see build/bench/takeover.log")

    def one(self, upwards: bool) -> float:
        """One takeover; milliseconds from the call to the first joint motion it caused."""
        self.spin(STILL_S)
        quiet = max(speed for at, speed in self.speeds if at > time.perf_counter() - STILL_S)
        threshold = max(FLOOR, NOISE_FACTOR * quiet)
        action, begin = self.measured.copy(), time.perf_counter()
        self.speeds.clear()
        self.call("take_over")
        sign = 1.0 if upwards else -1.0
        latency = np.nan
        while time.perf_counter() < begin + MOTION_S:
            moving = action.copy()
            moving[2] += sign * SPEED * (time.perf_counter() - begin)
            self.stream(moving)
            self.spin(STREAM_S)
            hits = [at for at, speed in self.speeds if speed > threshold]
            if hits and np.isnan(latency):
                latency = (hits[0] - begin) * 1e3
        self.call("stop")
        self.spin(0.1)
        self.call("release_stop")
        self.spin(0.1)
        return latency


def main() -> int:
    """Arguments: how many takeovers, seconds to wait for the graph. Prints one line of JSON."""
    count, timeout_s = int(sys.argv[1]), float(sys.argv[2])
    rclpy.init()
    person = Teleoperator()
    person.ready(timeout_s)
    person.spin(3.0)
    latencies = [person.one(upwards=k % 2 == 0) for k in range(count)]
    if np.isnan(latencies).any():
        missed = int(np.isnan(latencies).sum())
        print(f"{missed} of {count} takeovers moved nothing within {MOTION_S} s", file=sys.stderr)
        return 1
    fallen = bool(person.measured[g1.BASE_HEIGHT] < 0.4)
    print(json.dumps({"latencies_ms": [round(value, 2) for value in latencies], "fallen": fallen}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
