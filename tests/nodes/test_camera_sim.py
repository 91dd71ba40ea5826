"""camera_sim on real messages: pictures with the state's stamp, then `rendered`."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, CompressedImage
from std_msgs.msg import Float64MultiArray, MultiArrayDimension

from retake.ros import conversions, qos
from sim.camera_sim import CameraSim
from sim.cameras import CAMERAS
from sim.g1_box import G1BoxTask
from sim.g1_world import G1World

from .conftest import Probe, options

STAMP = 1_980_000_000


def message(state: np.ndarray, label: str) -> Float64MultiArray:
    result = Float64MultiArray(data=state.tolist())
    result.layout.dim = [MultiArrayDimension(label=label, size=len(state), stride=len(state))]
    return result


@pytest.fixture
def state() -> np.ndarray:
    world = G1World()
    G1BoxTask(world).randomise(3)
    return world.render_state()


def test_draws_each_state_and_says_so(probe: Probe, state: np.ndarray) -> None:
    states = probe.create_publisher(Float64MultiArray, "render_state", qos.STREAM)
    images = {
        name: probe.listen(CompressedImage, f"camera/{name}/color/image_raw/compressed", qos.CAMERA) for name in CAMERAS
    }
    infos = {name: probe.listen(CameraInfo, f"camera/{name}/color/camera_info", qos.CAMERA) for name in CAMERAS}
    rendered = probe.listen(Time, "rendered")
    node = probe.add(CameraSim(**options(probe, lockstep=True)))
    probe.until(lambda: states.get_subscription_count() and probe.count_publishers("rendered"))
    probe.serve(0.3)
    states.publish(message(state[:-1], str(STAMP)))
    states.publish(message(np.full_like(state, np.nan), str(STAMP)))
    states.publish(message(state, "soon"))
    probe.until(lambda: node._diagnostics.refused.get("render_state") == 3)
    assert not rendered
    states.publish(message(state, str(STAMP)))
    probe.until(lambda: rendered and all(images.values()) and all(infos.values()), timeout_s=20)
    assert conversions.stamp_ns(rendered[0]) == STAMP
    for name in CAMERAS:
        assert (
            conversions.stamp_ns(images[name][0].header.stamp)
            == conversions.stamp_ns(infos[name][0].header.stamp)
            == STAMP
        )
        picture = cv2.imdecode(np.frombuffer(images[name][0].data, np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape == (240, 320, 3) and picture.std() > 10
        assert infos[name][0].k[0] > 100 and (infos[name][0].width, infos[name][0].height) == (320, 240)
