"""The graph as people start it, with `retake up`, and an operator in this process."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from operator_node import Operator
from standing_policy import write_standing_policy

ROOT = Path(__file__).resolve().parents[2]
_domains = itertools.count(os.getpid())


class Graph:
    """A running `retake up`."""

    def __init__(self, process: subprocess.Popen[str], folder: Path, operator: Operator) -> None:
        self.process, self.folder, self.operator = process, folder, operator

    def pid(self, module: str) -> int:
        """Of the node whose module this is; 0 while it is down."""
        found = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True)
        for child in found.stdout.split():
            words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0") if Path(f"/proc/{child}").exists() else []
            if module.encode() in words:
                return int(child)
        return 0

    def kill(self, module: str) -> None:
        """SIGKILL, and wait until `retake up` has started the node again."""
        old = self.pid(module)
        assert old, f"{module} does not run"
        os.kill(old, signal.SIGKILL)
        self.operator.until(lambda: self.pid(module) not in (0, old), 30.0, f"a new {module}")

    def keep_dead(self, module: str, seconds: float) -> None:
        """SIGKILL whenever it runs, for so much wall time."""
        end = time.monotonic() + seconds

        def kill() -> bool:
            if pid := self.pid(module):
                os.kill(pid, signal.SIGKILL)
            return time.monotonic() > end

        self.operator.until(kill, seconds + 1.0, f"{seconds} s")
        self.operator.until(lambda: self.pid(module), 30.0, f"new {module}")

    def end(self) -> int:
        """Ctrl-C; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(20)


@pytest.fixture
def domain(monkeypatch: pytest.MonkeyPatch) -> int:
    """A ROS domain that no other test of this run uses."""
    number = 70 + next(_domains) % 30
    monkeypatch.setenv("ROS_DOMAIN_ID", str(number))
    return number


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that stands still."""
    return write_standing_policy(tmp_path_factory.mktemp("standing"))


@pytest.fixture
def launch(domain: int, tmp_path: Path, standing: Path) -> Iterator[Callable[..., Graph]]:
    """Start `retake up` with arguments, by default in lockstep with the standing policy and without a panel."""
    graphs: list[Graph] = []

    def start(**arguments: object) -> Graph:
        operator = Operator()
        given = {"lockstep": "true", "headless": "true", "policy": standing, "root": tmp_path / "episodes", **arguments}
        words = [f"{name}:={value}" for name, value in given.items()]
        process = subprocess.Popen([sys.executable, "-m", "retake.cli", "up", *words], cwd=tmp_path, text=True,
                                   stdout=(tmp_path / "out.txt").open("w"), stderr=subprocess.STDOUT)
        graphs.append(Graph(process, tmp_path, operator))
        return graphs[-1]

    yield start
    for graph in graphs:
        graph.process.poll() is None and graph.process.terminate()
        graph.process.wait(20)
        graph.operator.close()
        print((graph.folder / "out.txt").read_text())
        for log in sorted(graph.folder.glob("build/log/*/*.log")):
            print(f"== {log.name}\n{log.read_text()[-1500:]}")


