"""The topics of one camera, named as realsense2_camera has them; every camera node publishes through this.

camera/<name>/color/image_raw/compressed (JPEG) and color/camera_info; with depth also
aligned_depth_to_color/image_raw/compressedDepth (PNG, 16 bit, mm, seen from the colour lens) and
aligned_depth_to_color/camera_info. All of one frame have one stamp: when it was exposed, or the nearest the device
says. Nothing goes out raw: 27 MB/s a camera, of which a subscriber on this machine loses half.
"""

from __future__ import annotations

from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, CompressedImage

from retake.cameras.codec import COLOR_FORMAT, DEPTH_FORMAT, Intrinsics, optical_frame
from retake.ros import qos
from retake.ros.conversions import time_message

COLOR, DEPTH = "color", "aligned_depth_to_color"


class CameraOutputs:
    """Publishers of one camera; one thread at a time may publish."""

    def __init__(self, node: Node, name: str, depth: bool = False) -> None:
        self._frame_id = optical_frame(name)
        base = f"camera/{name}"
        self._color = self._pair(node, f"{base}/{COLOR}", "compressed")
        self._depth = self._pair(node, f"{base}/{DEPTH}", "compressedDepth") if depth else None
        self._info = CameraInfo()

    def _pair(self, node: Node, topic: str, transport: str) -> tuple[Publisher, Publisher]:
        return (node.create_publisher(CompressedImage, f"{topic}/image_raw/{transport}", qos.SEND),
                node.create_publisher(CameraInfo, f"{topic}/camera_info", qos.SEND))  # fmt: skip

    def calibrate(self, intrinsics: Intrinsics) -> None:
        """What camera_info says from now on."""
        self._info = camera_info(intrinsics, self._frame_id)

    def publish(self, stamp_ns: int, jpeg: bytes, depth: bytes | None = None) -> None:
        """One frame: colour as JPEG and, where it is there, depth as compressedDepth."""
        self._send(self._color, stamp_ns, COLOR_FORMAT, jpeg)
        if self._depth is not None and depth is not None:
            self._send(self._depth, stamp_ns, DEPTH_FORMAT, depth)

    def _send(self, publishers: tuple[Publisher, Publisher], stamp_ns: int, kind: str, data: bytes) -> None:
        message = CompressedImage(format=kind, data=data)
        message.header.stamp, message.header.frame_id = time_message(stamp_ns), self._frame_id
        self._info.header.stamp = message.header.stamp
        image, info = publishers
        image.publish(message)
        info.publish(self._info)


def camera_info(intrinsics: Intrinsics, frame_id: str) -> CameraInfo:
    """The message without a stamp."""
    fx, fy, cx, cy = (float(v) for v in (intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy))
    info = CameraInfo(width=intrinsics.width, height=intrinsics.height)
    info.header.frame_id = frame_id
    info.distortion_model, info.d = intrinsics.model, [float(v) for v in intrinsics.distortion]
    info.k = [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0]
    info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    info.p = [fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    return info
