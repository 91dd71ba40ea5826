"""A robot on the wire, in a thread of this process, and the project's own nodes beside it."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
os.environ.setdefault("ROS_DOMAIN_ID", "16")

import numpy as np

from retake.ros.realtime import CONTROLLER
from retake.unitree import wire
from retake.unitree.dds import LOOPBACK, Bus
from retake.unitree.idl import LowCmd_
from retake.unitree.remote import Remote
from sim.g1_wire_robot import Build, WireRobot
from sim.g1_wire_world import Motors, WireWorld
from tests.nodes.conftest import Probe, probe  # noqa: F401 (a fixture)

PERIOD_NS = 2_000_000
SLEEP_S = 0.002
_domains = itertools.count(os.getpid())


def _schedule(policy: int, priority: int) -> None:
    """All threads of this process, where the machine permits it."""
    for thread in Path("/proc/self/task").iterdir():
        try:
            os.sched_setscheduler(int(thread.name), policy, os.sched_param(priority))
        except (PermissionError, ProcessLookupError):
            return


def ordinary_priority() -> None:
    """For a process that a test starts, before it runs: Python that loads with the test's priority stops the others."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@pytest.fixture(autouse=True)
def short_listening(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver listens half a second for rivals before it starts; here they speak every 10 ms."""
    monkeypatch.setattr("retake.g1.checks.LISTEN_S", 0.1)


@pytest.fixture(autouse=True)
def realtime() -> Iterator[None]:
    """These tests play a controller with a lease of 100 ms: they have its priority, whatever else this machine does."""
    _schedule(os.SCHED_FIFO, CONTROLLER)
    yield
    _schedule(os.SCHED_OTHER, 0)


@pytest.fixture(scope="session")
def world() -> WireWorld:
    """One world for all: what the driver sees of it is reset with each robot."""
    return WireWorld()


class RobotThread:
    """A robot that stands still: says its state, 500 Hz by its own tick, takes commands, answers calls; nothing moves.

    `commands` are the records that came on `topic`, with the time of arrival.
    """

    def __init__(self, domain: int, world: WireWorld, topic: str = "rt/lowcmd", **build: object) -> None:
        self.domain = domain
        bus = Bus(domain, LOOPBACK)
        self.robot = WireRobot(bus, world, replace(Build(), **build))  # type: ignore[arg-type]
        self._world, self._sensors, still = world, world.sensors(), Motors()
        self.robot.walk.motors = lambda *_: still  # type: ignore[method-assign]
        self._spy = bus.reader(topic, LowCmd_, depth=64)
        self.commands: list[tuple[float, np.ndarray]] = []
        self.is_silent = self.is_damaged = False
        self._raw = self.robot._states.write
        self.robot._states.write = self._write  # type: ignore[method-assign]
        self._is_ended = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def press(self, *buttons: str) -> None:
        """Hold exactly these buttons on the remote."""
        self.robot.remote = Remote(frozenset(buttons))

    def keeps_pressing(self, *buttons: str) -> bool:
        """Press now and again, as one does who sees nothing happen; to be called until it does. Always True."""
        self.press(*(buttons if time.monotonic() % 0.5 < 0.25 else ()))
        return True

    def end(self) -> None:
        """Switch it off."""
        self._is_ended = True
        self._thread.join()  # also a second time

    def newest(self) -> np.ndarray:
        """The newest command's first 29 motors."""
        return self.commands[-1][1]["motor"][:29]

    @property
    def is_damped(self) -> bool:
        """The newest command brakes and does nothing else."""
        motors = self.newest()
        return bool(np.all(motors["kd"] > 0) and not np.any(motors["kp"]) and not np.any(motors["tau"]))

    def _run(self) -> None:
        now_ns = time.time_ns()
        while not self._is_ended:
            while now_ns < time.time_ns():
                now_ns += PERIOD_NS
                self.robot.update(self._sensors, now_ns)
                if not self.is_silent:
                    self.robot.publish(self._sensors, now_ns)
            self.commands += [(time.monotonic(), wire.decode_command(data)) for data in self._spy.take(64)]
            time.sleep(SLEEP_S)

    def _write(self, data: bytes) -> None:
        if self.is_damaged:
            data = data[:100] + bytes([data[100] ^ 1]) + data[101:]
        self._raw(data)


@pytest.fixture
def domain() -> int:
    """A DDS domain that no other test of this run uses; 40 to 49, and others where that is a choice of the suite."""
    return 40 + next(_domains) % 10


@pytest.fixture
def make_robot(domain: int, world: WireWorld) -> Iterator[Callable[..., RobotThread]]:
    """Switch a robot on."""
    robots: list[RobotThread] = []

    def make(**build: object) -> RobotThread:
        world.reset(0)
        robots.append(RobotThread(domain, world, **build))
        return robots[-1]

    yield make
    for robot in robots:
        robot.end()
