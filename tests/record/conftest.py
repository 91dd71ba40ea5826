"""A ROS domain of its own for the tests here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import rclpy
from graph import Robot

DOMAIN_ID = 47


@pytest.fixture(scope="session", autouse=True)
def own_domain() -> None:
    os.environ["ROS_DOMAIN_ID"] = str(DOMAIN_ID)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"


@pytest.fixture
def robot() -> Iterator[Robot]:
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=DOMAIN_ID)
    node = Robot(context)
    yield node
    node.destroy_node()
    rclpy.try_shutdown(context=context)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "episodes"
