"""A ROS domain of its own for the tests here."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import rclpy
from graph import Robot, start_recorder
from rclpy.qos import QoSProfile

from retake.ros import qos

DOMAIN_ID = 41 + os.getpid() % 9  # two runs of these tests at a time may meet, but seldom


@pytest.fixture(scope="session", autouse=True)
def own_domain() -> None:
    os.environ["ROS_DOMAIN_ID"] = str(DOMAIN_ID)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"


@contextmanager
def new_robot(profile: QoSProfile = qos.RECORD) -> Iterator[Robot]:
    """A robot that has not yet met anybody; one that has would go on talking to a killed recorder for 20 s."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=DOMAIN_ID)
    node = Robot(context, profile)
    yield node
    node.destroy_node()
    rclpy.try_shutdown(context=context)


@pytest.fixture
def robot() -> Iterator[Robot]:
    with new_robot() as node:
        yield node


@pytest.fixture
def start(root: Path) -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts recorders that write to `root`; none outlives the test."""
    started: list[subprocess.Popen] = []

    def start(**parameters: object) -> subprocess.Popen:
        started.append(start_recorder(root, **parameters))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "episodes"
