"""camera_v4l2: what is refused, and the reading of a real capture. No V4L2 device is here: a video file stands in for
the camera behind OpenCV's interface, so the opening of a true device is not covered."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from retake.cameras.codec import Intrinsics, to_jpeg
from retake.cameras.station import CameraGone
from retake.cameras.v4l2 import CameraV4l2
from retake.cameras.v4l2_device import V4l2Device, calibration, is_complete_jpeg, open_v4l2
from retake.errors import UserError
from tests.nodes.conftest import Probe, options

MODE = (64, 48, 30)
OST = """image_width: 64
image_height: 48
camera_name: head
camera_matrix: {rows: 3, cols: 3, data: [60.5, 0, 32.5, 0, 61.5, 23.5, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0.1, -0.2, 0.001, 0.002, 0]}
"""


@pytest.mark.parametrize(("path", "said"), [
    ("/dev/video77", "no camera at /dev/video77; here are: none"),
    (__file__, "no camera at .*test_camera_v4l2.py"),
    ("/dev/null", "/dev/null does not open as a camera.*group video"),
])  # fmt: skip
def test_what_is_no_camera_is_refused_by_name(path: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        open_v4l2(path, MODE)


def test_the_node_does_not_start_without_its_camera(probe: Probe) -> None:
    with pytest.raises(UserError, match="no camera at /dev/video77"):
        CameraV4l2(**options(probe, devices="head=/dev/video77"))


@pytest.fixture
def video(tmp_path: Path) -> str:
    path = str(tmp_path / "camera.avi")
    writer = cv2.VideoWriter(path, cv2.CAP_OPENCV_MJPEG, cv2.VideoWriter.fourcc(*"MJPG"), 30, MODE[:2])
    for grey in (10, 120, 230):
        writer.write(np.full((48, 64, 3), (grey, 0, 0), np.uint8))  # blue
    writer.release()
    return path


def test_frames_in_order_as_rgb_with_their_times_until_the_device_is_gone(video: str) -> None:
    device = V4l2Device(video, MODE, Intrinsics(64, 48, 0, 0, 0, 0), lambda path, mode: cv2.VideoCapture(path))
    assert device.open().fx == 0
    frames = [device.read() for _ in range(3)]
    assert [frame.number for frame in frames] == [1, 2, 3]
    assert [abs(int(frame.picture[24, 32, 2]) - grey) < 6 for frame, grey in zip(frames, (10, 120, 230), strict=True)]
    assert frames[2].taken_ms > frames[1].taken_ms
    with pytest.raises(CameraGone, match="sends nothing"):
        device.read()
    device.close()
    device.close()


def test_another_size_is_refused_with_the_way_to_list_them(video: str) -> None:
    device = V4l2Device(video, (640, 480, 30), Intrinsics(640, 480, 0, 0, 0, 0), lambda p, m: cv2.VideoCapture(p))
    with pytest.raises(UserError, match="gives 64x48, not 640x480; list its modes with v4l2-ctl"):
        device.open()


def test_a_jpeg_without_its_tables_is_made_anew() -> None:
    jpeg = to_jpeg(np.full((48, 64, 3), 99, np.uint8))
    start = jpeg.find(b"\xff\xc4")
    bare = jpeg[:start] + jpeg[jpeg.find(b"\xff\xda") :]
    assert is_complete_jpeg(jpeg) and not is_complete_jpeg(bare) and not is_complete_jpeg(b"")
    device = V4l2Device("/dev/video0", MODE, Intrinsics(64, 48, 0, 0, 0, 0), open_v4l2)
    assert device._compressed(jpeg, 5.0).jpeg == jpeg
    with pytest.raises(CameraGone, match="no JPEG"):
        device._compressed(b"\xff\xd8 torn", 5.0)


def test_calibration_is_read_as_ros_writes_it(tmp_path: Path) -> None:
    file = tmp_path / "head.yaml"
    file.write_text(OST)
    assert calibration(file, MODE) == Intrinsics(64, 48, 60.5, 61.5, 32.5, 23.5, (0.1, -0.2, 0.001, 0.002, 0.0))
    with pytest.raises(UserError, match="is for 64x48, the camera runs at 640x480"):
        calibration(file, (640, 480, 30))
    file.write_text("camera_matrix: 3")
    with pytest.raises(UserError, match="is no camera calibration"):
        calibration(file, MODE)
    with pytest.raises(UserError, match="no calibration .*No such file"):
        calibration(tmp_path / "chest.yaml", MODE)
