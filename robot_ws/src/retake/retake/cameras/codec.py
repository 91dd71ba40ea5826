"""What a picture looks like on the wire and on disk: JPEG for colour, PNG for depth. No ROS.

Depth is 16 bit in millimetres and must come out as it went in, so it is PNG at its fastest setting, in the layout of
ROS's `compressedDepth` transport: 12 bytes that say how (ignored for 16 bit), then the PNG.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

JPEG_QUALITY = 90
COLOR_FORMAT = "rgb8; jpeg compressed bgr8"
DEPTH_FORMAT = "16UC1; compressedDepth png"
_DEPTH_HEADER = bytes(12)


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera: size and focal lengths and centre in px, distortion as ROS's `model` orders it."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = (0.0,) * 5
    model: str = "plumb_bob"


def optical_frame(name: str) -> str:
    """frame_id of a camera's pictures: x right, y down, z ahead."""
    return f"camera_{name}_color_optical_frame"


def to_jpeg(picture: np.ndarray) -> bytes:
    """JPEG of a picture (height, width, 3) uint8 RGB."""
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    encoded, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not encoded:
        raise ValueError(f"cannot encode a picture of shape {picture.shape}; it must be (height, width, 3) uint8")
    return jpeg.tobytes()


def to_compressed_depth(depth: np.ndarray) -> bytes:
    """A depth picture (height, width) uint16 mm, 0 for unknown, as `compressedDepth` has it."""
    if depth.dtype != np.uint16 or depth.ndim != 2:
        raise ValueError(f"depth is {depth.dtype} {depth.shape}; it must be uint16 (height, width)")
    encoded, png = cv2.imencode(".png", depth, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not encoded:
        raise ValueError(f"cannot encode a depth picture of shape {depth.shape}")
    return _DEPTH_HEADER + png.tobytes()


def from_compressed_depth(data: bytes) -> np.ndarray:
    """The depth picture (height, width) uint16 mm of `compressedDepth` data; ValueError when it is none."""
    png = np.frombuffer(data, np.uint8, offset=min(len(data), len(_DEPTH_HEADER)))
    depth = cv2.imdecode(png, cv2.IMREAD_UNCHANGED) if png.size else None
    if depth is None or depth.dtype != np.uint16 or depth.ndim != 2:
        raise ValueError(f"{len(data)} bytes are no {DEPTH_FORMAT}")
    return depth
