"""Waiting for another node in lockstep, with an end: a node that does not answer is waited for once, then not again
until it answers."""

from __future__ import annotations

import time
from collections.abc import Callable

from rclpy.node import Node

from retake.ros.diagnostics import Diagnostics
from retake.ros.spin import STEADY

PATIENCE_S = 10.0  # wall time; at 2 s a loaded machine went on without a policy that was still thinking
CHECK_S = 0.25


class Awaited:
    """One other node's answers. Not in lockstep nothing is waited for."""

    def __init__(
        self, node: Node, name: str, enabled: bool, diagnostics: Diagnostics, go_on: Callable[[], None]
    ) -> None:
        """`go_on` is called when patience ends; it must find `should_wait` False and proceed."""
        self._name, self._enabled, self._diagnostics, self._go_on = name, enabled, diagnostics, go_on
        self._is_absent = not enabled
        self._since: float | None = None
        self._timer = node.create_timer(CHECK_S, self._check, clock=STEADY) if enabled else None

    def restart(self) -> None:
        """Another run of the world: who had not answered yet in the last one is waited for like everybody."""
        self._since = None
        self.answered()

    def should_wait(self) -> bool:
        """True while the answer may still come; the first call starts the clock."""
        if self._is_absent:
            return False
        if self._since is None:
            self._since = time.monotonic()
        return True

    def answered(self) -> None:
        """The awaited answer is here."""
        self._since = None
        if self._is_absent and self._enabled:
            self._is_absent = False
            self._diagnostics.trouble(f"lockstep.{self._name}", None)

    def _check(self) -> None:
        if self._since is None or time.monotonic() - self._since < PATIENCE_S:
            return
        self._since, self._is_absent = None, True
        self._diagnostics.trouble(
            f"lockstep.{self._name}", f"lockstep: {self._name} does not answer; going on without it"
        )
        self._go_on()
