"""A real camera and the drawn one cannot be told apart by their topics: found by running both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from rclpy.node import Node

from retake.cameras.realsense import CameraRealsense
from sim.camera_sim import CameraSim
from tests.nodes.conftest import Probe, options

from .software_camera import FPS, HEIGHT, WIDTH, SoftwareCamera, SoftwareContext

NAMES = ("head", "chest")


def topics(node: Node) -> dict[str, Any]:
    """Topic to type and QoS of everything about cameras that `node` publishes."""
    return {publisher.topic_name: (publisher.msg_type, publisher.qos_profile)
            for publisher in node.publishers if "/camera/" in publisher.topic_name}  # fmt: skip


@pytest.fixture
def real(probe: Probe) -> Iterator[CameraRealsense]:
    cameras = [SoftwareCamera(str(index)) for index in range(len(NAMES))]
    told = {"devices": "head=0 chest=1", "width": WIDTH, "height": HEIGHT, "fps": FPS}
    node = CameraRealsense(SoftwareContext(*cameras), **options(probe, **told))
    probe.add(node)
    yield node
    node.station.close()


def test_the_same_topics_types_and_qos(probe: Probe, real: CameraRealsense) -> None:
    drawn = probe.add(CameraSim(**options(probe)))
    assert topics(real) == topics(drawn)
    ends = ("image_raw/compressed", "camera_info")
    assert set(topics(real)) == {f"/g1/camera/{name}/color/{end}" for name in NAMES for end in ends}
