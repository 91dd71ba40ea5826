"""What is written anew beside a running graph takes over, but never under a moving robot.

The one rule for policies and residuals: never while the policy has the robot, nor within an episode, nor before it is
known who has it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from rclpy.node import Node
from std_msgs.msg import String

from policies.reload import Reload
from retake.ros import qos
from retake.ros.diagnostics import Diagnostics
from retake.ros.spin import STEADY

RELOAD_S = 1.0
T = TypeVar("T")


class Replacement(Generic[T]):
    """Watches a file and who has the robot. `begin` gets what was loaded when it may replace what is at work."""

    def __init__(
        self, node: Node, diagnostics: Diagnostics, path: Path, load: Callable[[], T], begin: Callable[[T], None]
    ) -> None:  # fmt: skip
        """`path`, `load`: see policies/reload.py."""
        self.reload, self._begin, self._diagnostics = Reload(path, load), begin, diagnostics
        self.authority = ""  # who has it; empty: not heard yet
        self.in_episode = False
        node.create_subscription(String, "authority", self._on_authority, qos.LATCHED)
        node.create_subscription(String, "episode/event", self._on_episode, qos.LATCHED)
        node.create_timer(RELOAD_S, self.reload.poll, clock=STEADY)

    def _on_authority(self, message: String) -> None:
        self.authority = message.data
        self.report()

    def _on_episode(self, message: String) -> None:
        try:
            event = json.loads(message.data)["event"]
        except (ValueError, TypeError, KeyError):
            return self._diagnostics.refuse("episode/event", f"{message.data[:80]!r} is no event of an episode")
        self.in_episode = event == "started"
        self.report()

    def report(self) -> None:
        """Say how it stands, and replace when it may be; call it now and then."""
        refusal, is_waiting = self.reload.refusal, self.in_episode or self.authority in ("", "policy")
        self._diagnostics.trouble("reload", f"what is new is not used: {refusal}" if refusal else None)
        self._diagnostics.set("replacement", "waits until no episode runs and the policy has no authority"
                              if is_waiting and self.reload.is_ready else "none")
        if not is_waiting and (ready := self.reload.take()) is not None:
            self._begin(ready)
