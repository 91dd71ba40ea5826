"""A controller's side of the reference: publishes the pose the robot has at every tick, takes what answers it, leased.

Publishes measured_action (50 Hz), subscribes reference; QoS STREAM. A reference counts when it answers one of the last
ticks, each only once; once it is older than its lease there is none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
from rclpy.node import Node
from trajectory_msgs.msg import JointTrajectory

from controllers.rigs import Rig
from retake.ros import conversions, qos
from retake.ros.diagnostics import Diagnostics
from retake.ros.lockstep import Awaited


class Ticks:
    """One per controller; `go_on` is called when a reference has come or is no longer waited for."""

    def __init__(
        self, node: Node, rig: Rig, lease_periods: int, without: str, lockstep: bool, diagnostics: Diagnostics,
        go_on: Callable[[], None],
    ) -> None:  # fmt: skip
        """`without`: what the robot does when the lease has ended, for the log."""
        self._rig, self._without, self._diagnostics, self._go_on = rig, without, diagnostics, go_on
        self.period_ns = round(rig.reference_dt * 1e9)
        self._lease_ns = lease_periods * self.period_ns
        self._stamps: deque[int] = deque(maxlen=lease_periods)  # of the newest ticks
        self._reference: tuple[int, np.ndarray] | None = None  # stamp, action
        self._measured_action = node.create_publisher(JointTrajectory, "measured_action", qos.SEND)
        self._authority = Awaited(node, "authority", lockstep, diagnostics, go_on)
        references = node.create_subscription(JointTrajectory, "reference", self._on_reference, qos.NEWEST)
        diagnostics.guard(references, "reference")

    def restart(self) -> None:
        """Another run of the world: nothing from before counts."""
        self._reference = None
        self._stamps.clear()
        self._authority.restart()

    def is_due(self, before: int, stamp: int) -> bool:
        """True when a tick lies between the states at `before` and `stamp`, ns."""
        return stamp // self.period_ns != before // self.period_ns

    def publish(self, stamp: int, pose: np.ndarray | None) -> None:
        """The tick at `stamp`: the robot has the pose (dim,); none, no tick."""
        if pose is not None:
            self._stamps.append(stamp)
            self._measured_action.publish(conversions.action_message(pose, stamp, self._rig))

    def lacks_reference(self) -> bool:
        """True in lockstep while the reference of the newest tick may still come."""
        if not self._stamps or (self._reference is not None and self._reference[0] == self._stamps[-1]):
            return False
        return self._authority.should_wait()

    def reference(self, stamp: int) -> np.ndarray | None:
        """The newest reference (dim,), None once it is too old at `stamp` ns; says so once."""
        if self._reference is None:
            return None
        if stamp - self._reference[0] > self._lease_ns:
            text = f"reference is older than {self._lease_ns / 1e6:.0f} ms; {self._without}"
            self._diagnostics.trouble("reference", text)
            return None
        self._diagnostics.trouble("reference", None)
        return self._reference[1]

    def _on_reference(self, message: JointTrajectory) -> None:
        stamp = conversions.stamp_ns(message.header.stamp)
        if stamp not in self._stamps:
            return self._diagnostics.refuse(
                "reference", f"{stamp} ns answers none of the last {len(self._stamps)} ticks"
            )
        if self._reference is not None and stamp <= self._reference[0]:
            return self._diagnostics.refuse("reference", f"{stamp} ns is not newer than {self._reference[0]} ns")
        try:
            self._reference = stamp, conversions.action_from(message, self._rig)
        except ValueError as error:
            return self._diagnostics.refuse("reference", str(error))
        if stamp == self._stamps[-1]:
            self._authority.answered()
        self._go_on()
