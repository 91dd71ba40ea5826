"""The newest message of every topic the panel shows, fetched only when it is drawn.

The robot speaks at 500 Hz and the panel draws at 16 Hz. Callbacks for every message doubled its load, so
these subscriptions belong to a second node that no executor serves: each keeps one message (depth 1) and is asked for
it when it is needed. Best effort, so that a viewer never makes a control topic resend; only while a browser is there.
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

VIEW = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
TOPICS = {
    "joint_states": JointState, "odometry": Odometry, "measured_action": JointTrajectory, "reference": JointTrajectory,
    "action_chunk": JointTrajectory,
}


@dataclass(frozen=True)
class Arrival:
    """A serialised message, its stamp, and when it was first seen here, in s of the steady clock."""

    raw: bytes
    stamp_ns: int
    seen: float


def stamp_ns(raw: bytes) -> int:
    """Header stamp of a serialised message: CDR puts it right after the 4 bytes that say the byte order."""
    seconds, nanoseconds = struct.unpack_from("<iI" if raw[1] & 1 else ">iI", raw, 4)
    return seconds * 1_000_000_000 + nanoseconds


class Inputs:
    """Subscriptions that wait to be asked; used by one thread."""

    def __init__(self, node: Node, cameras: tuple[str, ...]) -> None:
        self._node = node
        self._topics = TOPICS | {f"camera/{name}/color/image_raw/compressed": CompressedImage for name in cameras}
        self._view: Node | None = None
        self._subscriptions: dict[str, Subscription] = {}
        self._newest: dict[str, Arrival] = {}
        self._taken: dict[str, Arrival] = {}

    def watch(self, wanted: bool) -> None:
        """Subscribe while somebody looks."""
        if wanted and self._view is None:
            self._view = Node(f"{self._node.get_name()}_view", namespace=self._node.get_namespace(),
                              use_global_arguments=False, enable_rosout=False, start_parameter_services=False)
            for topic, kind in self._topics.items():
                name = self._node.resolve_topic_name(topic)
                self._subscriptions[topic] = self._view.create_subscription(kind, name, _never_called, VIEW)
        elif not wanted and self._view is not None:
            self._view.destroy_node()
            self._view = None
            self._subscriptions.clear()
            self._newest.clear()

    def newest(self, topic: str, now: float) -> Arrival | None:
        """The newest message of a topic at `now` (s, steady), None before the first."""
        subscription = self._subscriptions.get(topic)
        if subscription is None:
            return None
        with subscription.handle:
            taken = subscription.handle.take_message(self._topics[topic], True)
        if taken is not None:
            self._newest[topic] = Arrival(taken[0], stamp_ns(taken[0]), now)
        return self._newest.get(topic)

    def take(self, topic: str, now: float) -> Any | None:
        """The newest message, decoded but not checked; None when nothing came since it was last taken."""
        arrival = self.newest(topic, now)
        if arrival is None or arrival is self._taken.get(topic):
            return None
        self._taken[topic] = arrival
        return deserialize_message(arrival.raw, self._topics[topic])


def _never_called(message: Any) -> None:
    raise AssertionError("the view node is served by no executor")
