"""The time of a command that a person gives: no new time, no new command."""

from __future__ import annotations

from rclpy.node import Node


class RisingStamp:
    """The node's clock, each time later than the last."""

    def __init__(self, node: Node) -> None:
        self._node, self._last_ns = node, 0

    def take(self) -> int | None:
        """Now, ns; None while the clock has not moved since the last."""
        now = self._node.get_clock().now().nanoseconds
        if now <= self._last_ns:
            return None
        self._last_ns = now
        return now

    def restart(self) -> None:
        """What follows may be in another run of the world, whose clock began anew."""
        self._last_ns = 0
