"""camera_realsense against devices made of software and recordings, both librealsense's own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pyrealsense2 as rs
import pytest
from sensor_msgs.msg import CameraInfo, CompressedImage

from retake.cameras.codec import DEPTH_FORMAT, from_compressed_depth, optical_frame
from retake.cameras.realsense import CameraRealsense
from retake.errors import UserError
from retake.ros import qos
from retake.ros.conversions import stamp_ns
from tests.nodes.conftest import Probe, options

from .software_camera import FPS, HEIGHT, WIDTH, Shutter, SoftwareCamera, SoftwareContext, record

MODE = {"width": WIDTH, "height": HEIGHT, "fps": FPS}
Start = Callable[..., CameraRealsense]


@pytest.fixture
def start(probe: Probe) -> Iterator[Start]:
    """Starts the node with a librealsense context; stops its cameras at the end."""
    nodes: list[CameraRealsense] = []

    def make(context: rs.context | SoftwareContext, **values: object) -> CameraRealsense:
        nodes.append(CameraRealsense(context, **options(probe, **(MODE | values))))
        probe.add(nodes[-1])
        return nodes[-1]

    yield make
    for node in nodes:
        node.station.close()


def color(probe: Probe, name: str) -> tuple[list[CompressedImage], list[CameraInfo]]:
    base = f"camera/{name}/color"
    return (probe.listen(CompressedImage, f"{base}/image_raw/compressed", qos.CAMERA),
            probe.listen(CameraInfo, f"{base}/camera_info", qos.CAMERA))  # fmt: skip


def value(message: CompressedImage) -> int:
    """The grey of a picture that is grey all over."""
    return int(np.median(cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)))


def test_two_devices_by_serial_with_their_own_intrinsics(probe: Probe, start: Start) -> None:
    left, right = SoftwareCamera("0042"), SoftwareCamera("0043")
    heard = {name: color(probe, name) for name in ("head", "chest")}
    right.number = 100
    before = time.time_ns()
    start(SoftwareContext(left, right), devices="head=0043 chest=0042")
    shutter = Shutter(left, right)
    probe.until(lambda: len(heard["head"][1]) > 1 and len(heard["chest"][1]) > 1)
    shutter.stop()
    picture, info = heard["head"][0][-1], heard["head"][1][-1]
    assert value(picture) > 100 and picture.header.frame_id == info.header.frame_id == optical_frame("head")
    assert all(before <= stamp_ns(message.header.stamp) <= time.time_ns() for message in (picture, info))
    assert value(heard["chest"][0][-1]) < 100
    assert list(info.k) == [60.5, 0, WIDTH / 2 + 0.5, 0, 61.5, HEIGHT / 2 - 0.5, 0, 0, 1]
    assert (info.distortion_model, info.width, info.height) == ("plumb_bob", WIDTH, HEIGHT)
    np.testing.assert_allclose(info.d, [0.1, -0.2, 0.001, 0.002, 0.03], rtol=1e-6)


def test_depth_is_aligned_exact_and_in_millimetres(probe: Probe, start: Start) -> None:
    camera = SoftwareCamera("7", units_m=0.002)
    depths = probe.listen(CompressedImage, "camera/head/aligned_depth_to_color/image_raw/compressedDepth", qos.CAMERA)
    infos = probe.listen(CameraInfo, "camera/head/aligned_depth_to_color/camera_info", qos.CAMERA)
    pictures, _ = color(probe, "head")
    start(SoftwareContext(camera), devices="head=7", depth=True)
    shutter = Shutter(camera)
    probe.until(lambda: len(depths) > 3 and len(infos) > 3 and len(pictures) > 3)
    shutter.stop()
    depth = from_compressed_depth(depths[-1].data)
    assert depth.shape == (HEIGHT, WIDTH) and depths[-1].format == DEPTH_FORMAT
    assert depths[-1].header.frame_id == optical_frame("head") and infos[-1].k[0] == 60.5
    (picture,) = [p for p in pictures if p.header.stamp == depths[-1].header.stamp]
    assert depth[HEIGHT // 2, WIDTH // 2] == 2 * (1000 + value(picture))


def test_a_hardware_clock_is_mapped_to_ours(probe: Probe, start: Start) -> None:
    camera = SoftwareCamera("7")
    _, infos = color(probe, "head")
    start(SoftwareContext(camera), devices="head=7")
    before = time.time_ns()

    def enough() -> bool:
        """The camera was switched on 3.6 s ago; it takes a frame at each look."""
        camera.push(3600.0 + camera.number * 1e3 / FPS, rs.timestamp_domain.hardware_clock)
        return len(infos) > 4

    probe.until(enough)
    assert before <= stamp_ns(infos[-1].header.stamp) <= time.time_ns()
    steps = np.diff([stamp_ns(info.header.stamp) for info in infos])
    assert np.all(steps > 0) and np.all(steps <= 1e9 / FPS * 1.001)  # they came faster than they say they were taken


@pytest.mark.parametrize(("devices", "said"), [
    ("", "no camera is named"),
    ("head", "cannot read 'head'"),
    ("head=1 head=2", "twice"),
    ("head=999", "no RealSense with serial 999; attached: 7; check"),
    ("head=missing.db3", "no recording missing.db3"),
])  # fmt: skip
def test_wrong_devices_are_refused_by_name(probe: Probe, start: Start, devices: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        start(SoftwareContext(SoftwareCamera("7")), devices=devices)


def test_a_mode_that_the_device_lacks_is_refused_with_those_it_has(probe: Probe, start: Start) -> None:
    with pytest.raises(UserError, match=f"no color of 640x480 at 30 Hz; it offers: Color {WIDTH}x{HEIGHT} at {FPS}"):
        start(SoftwareContext(SoftwareCamera("7")), devices="head=7", width=640, height=480)


def test_without_any_device_the_node_says_so(probe: Probe, start: Start) -> None:
    with pytest.raises(UserError, match="no RealSense with serial 7; attached: none; check its USB 3 cable"):
        start(rs.context(), devices="head=7")


def test_an_unplugged_device_is_found_again(probe: Probe, start: Start, tmp_path: Path) -> None:
    """A recording that is taken out of librealsense's context and put back is what a cable does to a device."""
    file = str(tmp_path / "camera.db3")
    record(file, "0815", frames=6)
    context = rs.context()
    held = context.load_device(file)
    pictures, _ = color(probe, "head")
    node = start(context, devices="head=0815")
    probe.until(lambda: len(pictures) > 1)
    context.unload_device(file)
    troubles = node.station._diagnostics._trouble
    probe.until(lambda: "no RealSense with serial 0815" in troubles.get("head", ""))
    count = len(pictures)
    held = context.load_device(file)
    probe.until(lambda: len(pictures) > count + 1 and not troubles)
    assert held


def test_a_recording_plays_by_its_file_name(probe: Probe, start: Start, tmp_path: Path) -> None:
    file = str(tmp_path / "shelf.db3")
    record(file, "0815", frames=6)
    pictures, _ = color(probe, "head")
    start(rs.context(), devices=f"head={file}")
    probe.until(lambda: len(pictures) > 9)  # it begins anew when it has ended
    assert {value(picture) for picture in pictures} <= set(range(1, 7))
