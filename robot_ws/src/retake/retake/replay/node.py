"""Plays a recording as the teleop device `replay`: over the same authority, limits and dead man as a person's hands.

In: measured_action (50 Hz, the metronome), reference, authority. Out: teleop_action, one for each tick while the replay
has the robot, and nothing otherwise. Calls replay/take_over. It starts from where the robot is; ticks that stop, a
Ctrl-C or another authority end the stream, and the robot rests 0.3 s later.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.task import Future
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from retake.replay.path import Recording, ReplayPath, too_far
from retake.ros import conversions, qos
from retake.ros.spin import STEADY

DEVICE = "replay"
PATIENCE_S = 10.0  # for the graph to be found, and to answer
REST_TICKS = 10  # the reference has not moved for so many ticks: it rests
WATCH_S = 0.5


class Replay(Node):
    """One replay. Refusals are kept, not raised: the executor would print them as faults of the program."""

    def __init__(self, recording: Recording, approach: bool, end: Callable[[], object], **node_options: Any) -> None:
        """`approach`: the robot may go to where the recording began, however far that is. `end` is called when the
        replay is over, or refused."""
        super().__init__(DEVICE, namespace=recording.rig.name, **node_options)
        self._recording, self._rig, self._may_approach, self._end = recording, recording.rig, approach, end
        self.elapsed_ns, self.length_ns = 0, 0
        self.deviation_m = 0.0
        self.is_over = False  # nothing more is sent
        self.refusal = ""  # why it ended early
        self._authority = ""
        self._reference: np.ndarray | None = None
        self._rested = 0  # ticks
        self._asked: Future | None = None
        self._has_robot = False
        self._path: ReplayPath | None = None
        self._began_ns = self._tick_ns = 0
        self._heard_s = time.monotonic()
        self._teleop_action = self.create_publisher(JointTrajectory, "teleop_action", qos.SEND)
        self._take_over = self.create_client(Trigger, f"{DEVICE}/take_over")
        self.create_subscription(String, "authority", self._on_authority, qos.LATCHED)
        self.create_subscription(JointTrajectory, "reference", self._on_reference, qos.STREAM)
        self.create_subscription(JointTrajectory, "measured_action", self._on_tick, qos.NEWEST)
        self.create_timer(WATCH_S, self._watch, clock=STEADY)

    def _refuse(self, why: str) -> None:
        if not self.is_over:
            self.refusal, self.is_over = why, True
            self._end()

    def _action(self, message: JointTrajectory, topic: str) -> np.ndarray | None:
        try:
            return conversions.action_from(message, self._rig)
        except ValueError as error:
            self._refuse(f"{topic} is not what rig {self._rig.name} has: {error}")
            return None

    def _on_authority(self, message: String) -> None:
        self._authority = message.data
        if self._path is not None and message.data != "teleop":
            self._refuse(f"authority went to {message.data} after {self.elapsed_ns / 1e9:.1f} s; the replay has ended")

    def _on_reference(self, message: JointTrajectory) -> None:
        reference = self._action(message, "reference")
        if reference is None:
            return
        is_still = self._reference is not None and np.allclose(reference, self._reference, atol=1e-6)
        self._rested = self._rested + 1 if is_still else 0
        self._reference = reference

    def _on_tick(self, message: JointTrajectory) -> None:
        """Whatever is next: ask for the robot, wait until it rests, play."""
        self._heard_s = time.monotonic()
        stamp, measured = conversions.stamp_ns(message.header.stamp), self._action(message, "measured_action")
        if measured is None or self.is_over:
            return
        if stamp <= self._tick_ns and self._path is not None:
            return self._refuse("the robot's clock went back: another world has begun; the replay has ended")
        self._tick_ns = stamp
        if self._path is not None:
            self._play(self._path, stamp, measured)
        elif self._has_robot:
            if self._authority == "teleop" and self._rested >= REST_TICKS and self._reference is not None:
                self._begin(self._reference, stamp, measured)
        elif self._asked is None and self._take_over.service_is_ready() and self._reference is not None:
            if self._may_start(measured):
                self._asked = self._take_over.call_async(Trigger.Request())
                self._asked.add_done_callback(self._on_answer)

    def _may_start(self, measured: np.ndarray) -> bool:
        far = too_far(self._recording, measured)
        if far and not self._may_approach:
            self._refuse(f"the robot is not where the recording began: {'; '.join(far)}; bring it there, or write "
                         "--approach: it then goes there slowly")
        return not self.is_over

    def _on_answer(self, future: Future) -> None:
        answer = future.result()
        if not answer.success:
            return self._refuse(f"cannot take over: {answer.message}")
        self._has_robot, self._rested = True, 0

    def _begin(self, rest: np.ndarray, stamp: int, measured: np.ndarray) -> None:
        if not self._may_start(measured):  # once more: the robot may have settled elsewhere
            return
        self._path, self._began_ns = ReplayPath(self._recording, rest), stamp
        self.length_ns = self._path.length_ns
        self.get_logger().info(f"to the start in {self._path.approach_ns / 1e9:.1f} s, then as recorded for "
                               f"{self._recording.seconds:.1f} s; Ctrl-C lets go")
        self._play(self._path, stamp, measured)

    def _play(self, path: ReplayPath, stamp: int, measured: np.ndarray) -> None:
        self.elapsed_ns = stamp - self._began_ns
        action = path.at(self.elapsed_ns)
        if action is None:
            self.is_over = True
            self._end()
            return
        self.deviation_m = max(self.deviation_m, path.deviation(self.elapsed_ns, measured))
        self._teleop_action.publish(conversions.action_message(action, stamp, self._rig, DEVICE))

    def _watch(self) -> None:
        silent_s = time.monotonic() - self._heard_s
        if silent_s > PATIENCE_S:
            self._refuse(f"nobody publishes {self.resolve_topic_name('measured_action')}: is the graph running? "
                         f"Start it with `retake up rig:={self._rig.name}`, in the same ROS_DOMAIN_ID")
