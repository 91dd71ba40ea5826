"""The graph's processes: started, watched, started again, and ended so that none is left behind."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from retake.graph import NodeSpec

BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0)  # before the first, second, ... new start in a row
SETTLED_S = 30.0  # a node that lived so long starts again at the shortest wait
PATIENCE_S = {signal.SIGINT: 5.0, signal.SIGTERM: 3.0, signal.SIGKILL: 2.0}  # how long each is given to work
TAIL_LINES = 5
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass
class Child:
    """One node's process, or the wait before its next start."""

    spec: NodeSpec
    log: Path
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    restarts: int = 0
    in_a_row: int = 0
    start_at_s: float = 0.0


@dataclass(frozen=True)
class Death:
    """A node that ended by itself; `returncode` as subprocess has it, negative for a signal."""

    spec: NodeSpec
    returncode: int
    tail: str

    @property
    def cause(self) -> str:
        """`killed by SIGKILL` or `exit code 1`."""
        if self.returncode < 0:
            return f"killed by {signal.Signals(-self.returncode).name}"
        return f"exit code {self.returncode}"


class Processes:
    """All nodes. Call from one thread, the main one: a child dies with the thread that started it."""

    def __init__(self, graph: Sequence[NodeSpec], logs: Path, environment: Mapping[str, str]) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self._environment = dict(environment)
        self.children = {spec.name: Child(spec, logs / f"{spec.name}.log") for spec in graph}

    def start(self) -> None:
        """Start every node."""
        for child in self.children.values():
            self._start(child)

    def poll(self) -> list[Death]:
        """The deaths since the last call; each dead node is started again when its wait is over."""
        deaths = []
        now = time.monotonic()
        for child in self.children.values():
            if child.process is None:
                if now >= child.start_at_s:
                    child.restarts += 1
                    self._start(child)
            elif child.process.poll() is not None:
                deaths.append(Death(child.spec, child.process.returncode, tail(child.log)))
                child.in_a_row = 0 if now - child.started_s > SETTLED_S else child.in_a_row
                child.start_at_s = now + BACKOFF_S[min(child.in_a_row, len(BACKOFF_S) - 1)]
                child.in_a_row += 1
                child.process = None
        return deaths

    def stop(self, said: Callable[[str], None] = lambda _: None) -> None:
        """End all: SIGINT, then SIGTERM, then SIGKILL for those that do not obey."""
        for number, patience_s in PATIENCE_S.items():
            alive = {child.spec.name: child.process for child in self.children.values()
                     if child.process is not None and child.process.poll() is None}
            if not alive:
                return
            if number != signal.SIGINT:
                said(f"{', '.join(alive)} did not stop; {number.name}")
            for process in alive.values():
                process.send_signal(number)
            deadline = time.monotonic() + patience_s
            while time.monotonic() < deadline and any(process.poll() is None for process in alive.values()):
                time.sleep(0.02)

    def _start(self, child: Child) -> None:
        command = [sys.executable, "-m", child.spec.module, *child.spec.ros_arguments()]
        with child.log.open("ab") as log:
            # A session of its own keeps the terminal's Ctrl-C away: we end the nodes, in our order.
            child.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                env=self._environment, preexec_fn=die_with_parent(os.getpid()),
            )
        child.started_s = time.monotonic()


def die_with_parent(parent: int) -> Callable[[], None]:
    """For the new process, before it runs its program: the kernel kills it when this one is gone, however it went."""

    def ask() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it went before we asked
            os._exit(1)

    return ask


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log that say something."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        text = file.read().decode(errors="replace")
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])
