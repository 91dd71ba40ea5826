"""The newest message of every topic the panel shows, kept as bytes and decoded only when it is drawn.

The robot speaks at 500 Hz and the panel draws at 15 Hz: decoding every message would cost a large part of a core, so the
subscriptions are raw, best effort with depth 1 (a viewer must never make a control topic resend), and exist only while a
browser is connected. Callbacks run in the executor's thread, like everything here.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, JointState
from trajectory_msgs.msg import JointTrajectory

CAMERAS = ("head", "chest")
VIEW = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
TOPICS = {
    "joint_states": JointState, "odometry": Odometry, "measured_action": JointTrajectory, "reference": JointTrajectory,
    "action_chunk": JointTrajectory,
    **{f"camera/{name}/color/image_raw/compressed": CompressedImage for name in CAMERAS},
}


@dataclass(frozen=True)
class Arrival:
    """A message as it came, and when, in s of the steady clock."""

    raw: bytes
    time: float

    @property
    def stamp_ns(self) -> int:
        """Stamp of a message that begins with a Header."""
        return stamp_ns(self.raw)


def stamp_ns(raw: bytes) -> int:
    """Header stamp of a serialised message: CDR puts it right after the 4 bytes that say the byte order."""
    seconds, nanoseconds = struct.unpack_from("<iI" if raw[1] & 1 else ">iI", raw, 4)
    return seconds * 1_000_000_000 + nanoseconds


class Inputs:
    """Raw subscriptions and their newest arrivals."""

    def __init__(self, node: Node, steady_s: Any) -> None:
        self._node = node
        self._steady_s = steady_s  # () -> s
        self._newest: dict[str, Arrival] = {}
        self._taken: dict[str, Arrival] = {}
        self._subscriptions: list[Subscription] = []

    def watch(self, wanted: bool) -> None:
        """Subscribe while somebody looks."""
        if wanted and not self._subscriptions:
            self._subscriptions = [self._subscribe(topic) for topic in TOPICS]
        elif not wanted and self._subscriptions:
            for subscription in self._subscriptions:
                self._node.destroy_subscription(subscription)
            self._subscriptions = []
            self._newest.clear()

    def newest(self, topic: str) -> Arrival | None:
        """The newest arrival of a topic, None before the first."""
        return self._newest.get(topic)

    def take(self, topic: str) -> Any | None:
        """The newest message, decoded but not checked; None when nothing came since it was last taken."""
        arrival = self._newest.get(topic)
        if arrival is None or arrival is self._taken.get(topic):
            return None
        self._taken[topic] = arrival
        return deserialize_message(arrival.raw, TOPICS[topic])

    def _subscribe(self, topic: str) -> Subscription:
        def keep(raw: bytes) -> None:
            self._newest[topic] = Arrival(raw, self._steady_s())

        return self._node.create_subscription(TOPICS[topic], topic, keep, VIEW, raw=True)
