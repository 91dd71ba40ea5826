"""Counters of a node, published once a second: rates, ages, and every input that was refused, by reason."""

from __future__ import annotations

import time
from collections import Counter

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node
from rclpy.subscription import Subscription

from retake.ros import qos
from retake.ros.spin import STEADY

PERIOD_S = 1.0
REPEAT_LOG_S = 5.0  # a refusal that repeats is logged at most so often


class Diagnostics:
    """Counts and reports; `say` and `refuse` are the node's only way to complain about inputs."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._counts: Counter[str] = Counter()  # since the last report
        self._refused: Counter[str] = Counter()  # since the start
        self._values: dict[str, str] = {}
        self._trouble: dict[str, str] = {}
        self._logged: dict[str, float] = {}
        self._guarded: dict[str, Subscription] = {}
        self._last = time.monotonic()
        self._publisher = node.create_publisher(DiagnosticArray, "diagnostics", qos.SEND)
        self._timer = node.create_timer(PERIOD_S, self._report, clock=STEADY)

    def count(self, name: str, more: int = 1) -> None:
        """`more` messages or steps of this name; reported as a rate."""
        self._counts[name] += more

    def set(self, name: str, value: object) -> None:
        """A value to report as it is."""
        self._values[name] = str(value)

    def refuse(self, name: str, reason: str) -> None:
        """One more refused input: counted under `name`, logged with the reason, throttled."""
        self._refused[name] += 1
        now = time.monotonic()
        if now - self._logged.get(name, -REPEAT_LOG_S) >= REPEAT_LOG_S:
            self._logged[name] = now
            self._node.get_logger().warning(f"{name} refused ({self._refused[name]} so far): {reason}")

    def trouble(self, name: str, text: str | None) -> None:
        """A state worth a warning while it lasts; None ends it. Logged on the edges only."""
        if text is None:
            if self._trouble.pop(name, None) is not None:
                self._node.get_logger().info(f"{name}: over")
        else:
            if name not in self._trouble:
                self._node.get_logger().warning(text)
            self._trouble[name] = text

    def guard(self, subscription: Subscription, name: str) -> None:
        """Warn while this topic, which allows one writer, has more."""
        self._guarded[name] = subscription

    @property
    def refused(self) -> dict[str, int]:
        """How many inputs were refused since the start, by name."""
        return dict(self._refused)

    def _report(self) -> None:
        for name, subscription in self._guarded.items():
            writers = subscription.get_publisher_count()
            text = f"{name} has {writers} publishers, allowed is one (a killed one is listed for 20 s)"
            self.trouble(f"{name}.writers", text if writers > 1 else None)
        now = time.monotonic()
        seconds, self._last = now - self._last, now
        pairs = {f"{name}_hz": f"{count / seconds:.1f}" for name, count in self._counts.items()}
        pairs |= {f"refused.{name}": str(count) for name, count in self._refused.items()} | self._values
        status = DiagnosticStatus(name=self._node.get_name(), hardware_id="", message="; ".join(self._trouble.values()))
        status.level = DiagnosticStatus.WARN if self._trouble else DiagnosticStatus.OK
        status.message = status.message or "ok"
        status.values = [KeyValue(key=key, value=value) for key, value in pairs.items()]
        message = DiagnosticArray(status=[status])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)
        for name in self._counts:
            self._counts[name] = 0
