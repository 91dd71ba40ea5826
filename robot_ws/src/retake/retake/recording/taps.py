"""Subscriptions that are emptied by polling, as serialized bytes with sequence numbers.

An executor would wake Python once per message and cannot give the message info (EventsExecutor, rclpy 7.1.6). Polled,
2,500 messages a second cost a quarter less, the middleware's own history (qos.RECORD) is the bounded queue in front of
the disk, and a gap in a publisher's sequence numbers says exactly what was lost in it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import NamedTuple

from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.type_support import check_is_valid_msg_type

from policies.episode_file import has_header
from retake.ros import qos
from retake.ros.topics import LATCHED, SEVERAL_WRITERS


class Received(NamedTuple):
    """One message; `received_ns` is the system clock's time of arrival in this process."""

    received_ns: int
    tap: Tap
    sequence: int
    data: bytes


class Tap:
    """One topic. The subscription belongs to the node but not to its executor: only `take` empties it."""

    def __init__(self, node: Node, message_type: type, topic: str, profile: QoSProfile, several_writers: bool) -> None:
        """`several_writers`: sequence numbers of different publishers mix, so gaps mean nothing."""
        self.topic = node.resolve_topic_name(topic)
        module = message_type.__module__.split(".")[0]
        self.msgtype = f"{module}/msg/{message_type.__name__}"
        self.has_header = has_header(self.msgtype)
        self._type = message_type
        check_is_valid_msg_type(message_type)  # this also loads its type support
        with node.handle:
            self._handle = rclpy_implementation.Subscription(
                node.handle, message_type, self.topic, profile.get_c_qos_profile())
        self._several_writers = several_writers
        self._next = 0
        self.count = 0
        self.lost = 0  # overwritten in the history before `take` came

    def take(self) -> Iterator[Received]:
        """Everything that has arrived since the last call."""
        while (taken := self._handle.take_message(self._type, True)) is not None:
            data, info = taken
            sequence = info["publication_sequence_number"] or 0
            if self._next and sequence > self._next and not self._several_writers:
                self.lost += sequence - self._next
            self._next = sequence + 1  # a smaller number is a restarted publisher
            self.count += 1
            yield Received(info["received_timestamp"], self, sequence, data)


class Taps:
    """Taps of several topics, emptied together."""

    def __init__(self, node: Node, topics: Mapping[str, type]) -> None:
        self._taps = {name: Tap(node, kind, name, qos.CHANGES if name in LATCHED else qos.RECORD,
                                name in SEVERAL_WRITERS) for name, kind in topics.items()}
        self.last: dict[str, Received] = {}  # newest message per topic
        self.backlog_s = 0.0  # the longest that a message has waited; whoever reports it sets it back

    def take(self) -> list[Received]:
        """Everything that has arrived since the last call, in order of arrival."""
        batch: list[Received] = []
        for name, tap in self._taps.items():
            taken = list(tap.take())
            if taken:
                self.last[name] = taken[-1]
                batch += taken
        batch.sort(key=attrgetter("received_ns"))
        if batch:
            self.backlog_s = max(self.backlog_s, (time.time_ns() - batch[0].received_ns) / 1e9)
        return batch

    def counts(self) -> Counter[str]:
        """Messages taken since the start, per topic as it was given."""
        return Counter({name: tap.count for name, tap in self._taps.items()})

    def lost(self) -> Counter[str]:
        """Messages lost since the start, per full topic; only topics that lost any."""
        return Counter({tap.topic: tap.lost for tap in self._taps.values() if tap.lost})
