"""One process for each device: two of the same name would both have the robot, since authority knows them by it."""

from __future__ import annotations

import time

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.experimental import EventsExecutor
from rclpy.node import Node

from retake.errors import UserError
from retake.ros import qos
from retake.ros.one_writer import DISCOVERY_S

LISTEN_S = 1.3  # every node speaks once a second; one that is only listed may have been killed


def refuse_twin(node: Node) -> None:
    """Call it from a constructor, before the node publishes diagnostics and before any executor has it.

    Raises:
        UserError: a node of this name and namespace is alive.
    """
    heard: list[str] = []

    def on_diagnostics(message: DiagnosticArray) -> None:
        heard.extend(status.name for status in message.status)

    subscription = node.create_subscription(DiagnosticArray, "diagnostics", on_diagnostics, qos.STREAM)
    executor = EventsExecutor(context=node.context)
    executor.add_node(node)
    me = node.get_name(), node.get_namespace()
    end, is_listed = time.monotonic() + DISCOVERY_S, False
    while me[0] not in heard and time.monotonic() < end:
        executor.spin_once(timeout_sec=0.05)
        writers = node.get_publishers_info_by_topic(subscription.topic_name)
        if not is_listed and me in [(writer.node_name, writer.node_namespace) for writer in writers]:
            end, is_listed = time.monotonic() + LISTEN_S, True
    executor.remove_node(node)
    node.destroy_subscription(subscription)
    if me[0] in heard:
        raise UserError(f"{me[0]} runs here already; one of each device is allowed: end the other one first")
