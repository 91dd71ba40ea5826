"""Every node ends cleanly on a signal, and in one line when it cannot start."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

NODE = """
import sys
from rclpy.node import Node
from std_msgs.msg import String
from retake.errors import UserError
from retake.ros.spin import STEADY, run

class Busy(Node):
    def __init__(self):
        super().__init__("busy")
        if "refuse" in sys.argv:
            raise UserError("port 1 is in use; choose another")
        self._publisher = self.create_publisher(String, "text", 10)
        self.create_subscription(String, "text", self._publisher.publish, 10)  # hears itself: always in a callback
        self.create_timer(0.5, lambda: self._publisher.publish(String(data="x")), clock=STEADY)
        print("up", flush=True)

sys.exit(run(Busy, priority=7 if 'realtime' in sys.argv else 0))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_busy_node_without_a_word(number: int, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", NODE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    time.sleep(1.5)
    process.send_signal(number)
    _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")


def test_a_node_that_refuses_says_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NODE, "refuse"], capture_output=True, text=True, cwd=tmp_path, timeout=30
    )
    assert (done.returncode, done.stderr) == (1, "Busy: port 1 is in use; choose another\n")


def test_every_thread_of_a_control_node_has_real_time_priority_or_the_node_says_that_it_has_not(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", NODE, "realtime"], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, cwd=tmp_path)  # fmt: skip
    try:
        assert process.stdout is not None and process.stdout.readline() == "up\n"
        tasks = Path(f"/proc/{process.pid}/task")
        deadline = time.monotonic() + 20
        refused = select.select([process.stdout], [], [], 0)[0]
        while not refused and {os.sched_getscheduler(int(t.name)) for t in tasks.iterdir()} != {os.SCHED_FIFO}:
            assert time.monotonic() < deadline, "some threads have ordinary priority"
            refused = select.select([process.stdout], [], [], 0.05)[0]
        if refused:
            assert "no real-time priority" in process.stdout.readline()
    finally:
        process.kill()
        process.communicate()
