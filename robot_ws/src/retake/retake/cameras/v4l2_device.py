"""One V4L2 camera as a camera thread reads it, through OpenCV; and its calibration file."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import yaml

from retake.cameras.codec import Intrinsics
from retake.cameras.station import CameraGone, Frame
from retake.errors import UserError

MJPG = cv2.VideoWriter.fourcc(*"MJPG")
JPEG_START, HUFFMAN_TABLE, SCAN = b"\xff\xd8", b"\xff\xc4", b"\xff\xda"
Mode = tuple[int, int, int]  # width, height, Hz
OpenCapture = Callable[[str, Mode], cv2.VideoCapture]


def open_v4l2(path: str, mode: Mode) -> cv2.VideoCapture:
    """The camera at `path`, asked for `mode` in MJPG, frames as the camera compressed them.

    Raises:
        UserError: no such device, not a camera, or used by another program.
    """
    node = Path(path).resolve()
    if not node.exists() or not stat.S_ISCHR(node.stat().st_mode):
        here = ", ".join(sorted(str(p) for p in Path("/dev/v4l/by-id").glob("*"))) or "none"
        raise UserError(f"no camera at {path}; here are: {here}; plug it in, or name another one in devices:=")
    number = re.fullmatch(r"/dev/video(\d+)", str(node))
    capture = cv2.VideoCapture(int(number[1]), cv2.CAP_V4L2) if number else None
    if capture is None or not capture.isOpened():
        raise UserError(f"{path} does not open as a camera; end the program that uses it, and see that you are in "
                        "group video (groups; sudo usermod -aG video $USER)")
    width, height, fps = mode
    for setting, value in ((cv2.CAP_PROP_FOURCC, MJPG), (cv2.CAP_PROP_FRAME_WIDTH, width),
                           (cv2.CAP_PROP_FRAME_HEIGHT, height), (cv2.CAP_PROP_FPS, fps),
                           (cv2.CAP_PROP_CONVERT_RGB, 0)):  # fmt: skip
        capture.set(setting, value)
    if int(capture.get(cv2.CAP_PROP_FOURCC)) != MJPG:
        capture.set(cv2.CAP_PROP_CONVERT_RGB, 1)  # raw frames: OpenCV knows their formats
    return capture


class V4l2Device:
    """Reads one capture; its frames are BGR pictures, or JPEGs as the camera made them."""

    def __init__(self, path: str, mode: Mode, intrinsics: Intrinsics, open_capture: OpenCapture) -> None:
        self._path, self._mode, self._intrinsics, self._open = path, mode, intrinsics, open_capture
        self._capture: cv2.VideoCapture | None = None
        self._count = 0

    def open(self) -> Intrinsics:
        """Open the device; UserError when it is not there or does not give the size that was asked for."""
        capture = self._open(self._path, self._mode)
        size = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        if size != self._mode[:2]:
            capture.release()
            width, height, fps = self._mode
            raise UserError(f"{self._path} gives {size[0]}x{size[1]}, not {width}x{height}; list its modes with "
                            f"v4l2-ctl -d {self._path} --list-formats-ext, and set width and height to one of them")
        self._capture = capture
        return self._intrinsics

    def read(self) -> Frame:
        """The next frame; OpenCV gives up on a silent camera after 10 s."""
        assert self._capture is not None
        is_read, data = self._capture.read()
        if not is_read or data is None or not data.size:
            raise CameraGone(f"{self._path} sends nothing")
        taken_ms = self._capture.get(cv2.CAP_PROP_POS_MSEC)
        self._count += 1
        if data.ndim == 3 and data.shape[2] == 3:
            return Frame(self._count, taken_ms, False, cv2.cvtColor(data, cv2.COLOR_BGR2RGB))
        return self._compressed(data.tobytes(), taken_ms)

    def _compressed(self, jpeg: bytes, taken_ms: float) -> Frame:
        if is_complete_jpeg(jpeg):
            return Frame(self._count, taken_ms, False, jpeg=jpeg)
        picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        if picture is None:
            raise CameraGone(f"{self._path} sends what is no JPEG")
        return Frame(self._count, taken_ms, False, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))

    def close(self) -> None:
        """Release the device."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None


def is_complete_jpeg(data: bytes) -> bool:
    """True when every viewer can decode it: many webcams leave out the tables that motion JPEG takes for granted."""
    scan = data.find(SCAN)
    return data.startswith(JPEG_START) and scan > 0 and HUFFMAN_TABLE in data[:scan]


def calibration(file: Path | None, mode: Mode) -> Intrinsics:
    """What camera_calibration wrote to `file`; all zero without one.

    Raises:
        UserError: the file is missing, is no calibration, or one for another size.
    """
    width, height, _ = mode
    if file is None:
        return Intrinsics(width, height, 0.0, 0.0, 0.0, 0.0)
    remedy = "calibrate with ROS's camera_calibration and put its ost.yaml there, or leave calibration empty"
    try:
        told = yaml.safe_load(file.read_text())
        fx, _, cx, _, fy, cy, *_ = (float(value) for value in told["camera_matrix"]["data"])
        distortion = tuple(float(value) for value in told["distortion_coefficients"]["data"])
        model, size = str(told["distortion_model"]), (int(told["image_width"]), int(told["image_height"]))
    except OSError as error:
        raise UserError(f"no calibration {file} ({error.strerror}); {remedy}") from None
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file} is no camera calibration ({error!r}); {remedy}") from None
    if size != (width, height):
        raise UserError(f"{file} is for {size[0]}x{size[1]}, the camera runs at {width}x{height}; {remedy}")
    return Intrinsics(width, height, fx, fy, cx, cy, distortion, model)
