"""One writer for a topic that moves the robot: a node that finds another one alive does not start.

Alive means heard. A publisher that is only listed may be the ghost of a killed process, which discovery keeps for 20 s;
refusing it would keep a respawned node from picking up. Receivers add the other half: they take an answer only once,
and only to a stamp they have published themselves.
"""

from __future__ import annotations

import time

from rclpy.experimental import EventsExecutor
from rclpy.node import Node

from retake.errors import UserError
from retake.ros import qos

DISCOVERY_S = 0.5  # how long other nodes take to be found; Fast DDS on one machine needs 0.1-0.3 s
LISTEN_S = 0.4  # to a publisher that was found; the slowest guarded topic has 50 Hz


def refuse_second_writer(node: Node, kind: type, topic: str) -> None:
    """Listen to `topic` before publishing on it; call it from a constructor, before any executor has the node.

    Raises:
        UserError: somebody publishes there.
    """
    heard: list[bytes] = []
    subscription = node.create_subscription(kind, topic, heard.append, qos.STREAM, raw=True)
    executor = EventsExecutor(context=node.context)
    executor.add_node(node)
    end, is_found = time.monotonic() + DISCOVERY_S, False
    while not heard and time.monotonic() < end:
        executor.spin_once(timeout_sec=0.05)
        if not is_found and subscription.get_publisher_count() > 0:
            end, is_found = time.monotonic() + LISTEN_S, True
    executor.remove_node(node)
    name = subscription.topic_name
    node.destroy_subscription(subscription)
    if heard:
        raise UserError(
            f"{node.get_name()}: {name} already has a writer; "
            "only one is allowed: end the other node, then start this one"
        )
