"""Waiting for what other threads and processes do."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable


def wait_for(what: Callable[[], object], seconds: float = 60.0) -> object:
    """The first true value of `what`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = what()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"nothing within {seconds} s")


def free_port() -> int:
    """A TCP port of loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
