"""The last word to the robot when its driver is gone: a process that waits for the driver's end, however it came.

`python -m retake.unitree.guard DOMAIN INTERFACE TOPIC SIZE` reads a count and that many messages of SIZE bytes from its
standard input, says `ready`, and blocks. When the input closes (the driver closed it, crashed, or was killed) it sends
them in turn, 500 a second, and ends. So a driver that cannot run any more still brakes its robot; what the firmware
does with a silent `rt/lowcmd` need not be trusted.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from retake.ros.realtime import ROBOT
from retake.unitree.dds import Bus
from retake.unitree.idl import LowCmd_

PERIOD_S = 0.002
_COUNT_BYTES = 4
_READY = b"ready"
_END_S = 3.0  # longer than any farewell


class Guard:
    """The driver's handle on its guard."""

    def __init__(self, bus: Bus, topic: str, farewell: Sequence[bytes]) -> None:
        """Start it; `farewell` is what it will send."""
        command = [sys.executable, "-m", "retake.unitree.guard", str(bus.domain), bus.interface, topic,
                   str(len(farewell[0]))]
        with _ordinary_priority():
            # a session of its own: Ctrl-C in the driver's terminal must not end it
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
            )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(len(farewell).to_bytes(_COUNT_BYTES, "little") + b"".join(farewell))
        self._process.stdin.flush()
        os.set_blocking(self._process.stdout.fileno(), False)
        self._is_ready = False

    @property
    def is_ready(self) -> bool:
        """It waits for our end."""
        assert self._process.stdout is not None
        self._is_ready = self._is_ready or _READY in (self._process.stdout.read() or b"")
        return self._is_ready and self.is_alive

    @property
    def is_alive(self) -> bool:
        """False: it has ended, or could not start."""
        return self._process.poll() is None

    def release(self) -> None:
        """Let it say its farewell, and wait until it has."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()


@contextmanager
def _ordinary_priority() -> Iterator[None]:
    """What this thread starts meanwhile has no real-time priority: loading Python with it would stop a control loop."""
    policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameter)


def _prefer() -> None:
    """Real-time priority once everything is loaded: what is left to do is short and urgent."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(ROBOT))
    except PermissionError:
        pass  # the driver says so already


def _read(count: int) -> bytes:
    """Exactly `count` bytes of the standard input, less when it closed before."""
    return sys.stdin.buffer.read(count)


def main(args: Sequence[str]) -> int:
    """The guard itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends by itself, a second after the driver
    domain, interface, topic, size = args
    writer = Bus(int(domain), interface).writer(topic, LowCmd_)
    count = int.from_bytes(_read(_COUNT_BYTES), "little")
    farewell = [_read(int(size)) for _ in range(count)]
    _prefer()
    sys.stdout.buffer.write(_READY)
    sys.stdout.buffer.flush()
    _read(1)
    due = time.monotonic()
    for data in farewell:
        writer.write(data)
        due += PERIOD_S
        time.sleep(max(0.0, due - time.monotonic()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
