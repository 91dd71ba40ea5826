"""`retake up` itself: what becomes of its nodes when it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

NODES = ("retake.control.whole_body_controller", "retake.control.authority", "retake.recording.recorder", "sim.g1_sim")


def is_running(pid: int) -> bool:
    """Not ended; one that has ended and that nobody has asked about is a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_killed_up_leaves_no_node_behind(launch):
    graph = launch(policy="none")
    graph.operator.until(lambda: all(graph.pid(module) for module in NODES), 60.0, "its nodes")
    listed = subprocess.run(["pgrep", "-P", str(graph.process.pid)], capture_output=True, text=True)
    children = [int(word) for word in listed.stdout.split()]
    os.kill(graph.process.pid, signal.SIGKILL)
    graph.process.wait(10)
    graph.operator.until(lambda: not any(map(is_running, children)), 10.0, "the end of every node")
