"""What the graph says about itself, for the terminal: rates, authority, episode, ages.

Subscribes diagnostics (1 Hz from every node), authority, episode/event and evaluation. Publishes nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.experimental import EventsExecutor
from rclpy.signals import SignalHandlerOptions
from rich.table import Table
from rich.text import Text
from std_msgs.msg import String

from retake.ros import qos

SILENT_S = 3.0  # diagnostics come every second
LEVELS = {DiagnosticStatus.OK: "green", DiagnosticStatus.WARN: "yellow", DiagnosticStatus.ERROR: "red"}


@dataclass
class NodeReport:
    """The newest diagnostics of one node."""

    at_s: float  # monotonic
    colour: str
    message: str
    values: Mapping[str, str]


@dataclass
class Heard:
    """The newest of everything that the terminal shows."""

    authority: str = "?"
    episode: str = "-"
    evaluation: Mapping[str, object] = field(default_factory=dict)
    nodes: dict[str, NodeReport] = field(default_factory=dict)


class StatusListener:
    """A ROS node of its own context; `spin` serves it from the caller's thread."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._context = rclpy.Context()
        # the caller handles Ctrl-C: it must end the nodes before anything else ends
        rclpy.init(args=[], context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node("status", namespace=namespace, context=self._context)
        self._executor = EventsExecutor(context=self._context)
        self._executor.add_node(self._node)
        self.heard = Heard()
        self._node.create_subscription(DiagnosticArray, "diagnostics", self._on_diagnostics, qos.STREAM)
        self._node.create_subscription(String, "authority", self._on_authority, qos.LATCHED)
        self._node.create_subscription(String, "episode/event", self._on_episode, qos.LATCHED)
        self._node.create_subscription(String, "evaluation", self._on_evaluation, qos.LATCHED)

    def spin(self, seconds: float) -> None:
        """Serve callbacks for so long."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def others(self, names: Iterable[str]) -> list[str]:
        """Those of `names` that already run in our namespace on this ROS domain."""
        known = self._node.get_node_names_and_namespaces()
        running = {name for name, namespace in known if namespace == self._namespace}
        return sorted(running & set(names))

    def close(self) -> None:
        """Leave ROS."""
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            colour = LEVELS.get(status.level, "red")
            self.heard.nodes[status.name] = NodeReport(time.monotonic(), colour, status.message, values)

    def _on_authority(self, message: String) -> None:
        self.heard.authority = message.data

    def _on_episode(self, message: String) -> None:
        event = json.loads(message.data)
        self.heard.episode = f"{event.get('episode', '?')} {event.get('event', '?')}"

    def _on_evaluation(self, message: String) -> None:
        self.heard.evaluation = json.loads(message.data)


def table(heard: Heard, states: Mapping[str, str], title: str) -> Table:
    """The live picture. `states`: what the process of each node does, `running` or how it died."""
    shown = Table(title=title, title_justify="left", expand=False)
    for column in ("node", "process", "age s", "rates and ages", "says"):
        shown.add_column(column, overflow="fold")
    now = time.monotonic()
    for name, state in states.items():
        report = heard.nodes.get(name)
        process = Text(state, style="green" if state == "running" else "red")
        if report is None:
            shown.add_row(name, process, "-", "-", Text("not heard yet", style="yellow"))
            continue
        age_s = now - report.at_s
        numbers = "  ".join(f"{key} {value}" for key, value in report.values.items() if _is_live(key))
        shown.add_row(name, process, Text(f"{age_s:.0f}", style="red" if age_s > SILENT_S else ""), numbers,
                      Text(report.message, style=report.colour))
    shown.caption_justify = "left"
    shown.caption = f"authority {heard.authority}   episode {heard.episode}   {score(heard.evaluation)}"
    return shown


def _is_live(key: str) -> bool:
    return key.endswith(("_hz", "_ms", "_s")) or key.startswith("refused.")


def score(evaluation: Mapping[str, object]) -> str:
    """`success 2/3`, or nothing before the first episode ended."""
    if not evaluation:
        return ""
    return f"success {evaluation['successes']}/{evaluation['episodes']}"
