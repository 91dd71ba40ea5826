"""Stands in for the camera drivers: draws what the G1's cameras see, in a process of its own.

In: render_state (15 Hz, from g1_sim). Out for each camera, with the state's stamp: camera/<name>/color/camera_info and
camera/<name>/color/image_raw/compressed (JPEG; QoS CAMERA); then `rendered`, for g1_sim in lockstep; diagnostics 1 Hz.
No render state: no pictures. Real time: when drawing falls behind, older states are skipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, CompressedImage
from std_msgs.msg import Float64MultiArray

from retake import qos
from retake.conversions import time_message
from retake.diagnostics import Diagnostics
from retake.parameters import declare
from retake.spin import run
from sim.cameras import CAMERAS, CameraRig, optical_frame, to_jpeg
from sim.render_state import RenderStateError


@dataclass(frozen=True)
class Parameters:
    """Parameters of the simulated cameras."""

    lockstep: bool = False  # draw every state; in real time the newest
    width: int = 320  # px
    height: int = 240  # px

    def __post_init__(self) -> None:
        if not (16 <= self.width <= 1280 and 16 <= self.height <= 960):
            raise ValueError(
                f"{self.width}x{self.height}: allowed are 16x16 to 1280x960"
            )


class CameraSim(Node):
    """Draws each render state with CameraRig and publishes the pictures."""

    def __init__(self, **node_options: Any) -> None:
        super().__init__("camera_sim", **node_options)
        self._settings = declare(self, Parameters)
        self._rig = CameraRig(self._settings.width, self._settings.height)
        self._images: dict[str, Publisher] = {}
        self._infos: dict[str, Publisher] = {}
        for name in CAMERAS:
            topic = f"camera/{name}/color"
            self._images[name] = self.create_publisher(CompressedImage, f"{topic}/image_raw/compressed", qos.SEND)
            self._infos[name] = self.create_publisher(CameraInfo, f"{topic}/camera_info", qos.SEND)
        self._info_messages = {name: self._camera_info(name) for name in CAMERAS}
        self._rendered = self.create_publisher(Time, "rendered", qos.STREAM)
        self._diagnostics = Diagnostics(self)
        incoming = qos.STREAM if self._settings.lockstep else qos.NEWEST
        self.create_subscription(Float64MultiArray, "render_state", self._on_render_state, incoming)
        self.get_logger().info(f"started: {self._settings}")

    def _on_render_state(self, message: Float64MultiArray) -> None:
        try:
            stamp = time_message(int(message.layout.dim[0].label))
            pictures = self._rig.draw(np.array(message.data))
        except (IndexError, RenderStateError, ValueError) as error:
            return self._diagnostics.refuse("render_state", str(error))
        for name, picture in pictures.items():
            self._publish(name, picture, stamp)
        self._rendered.publish(stamp)
        self._diagnostics.count("picture")

    def _publish(self, name: str, picture: np.ndarray, stamp: Time) -> None:
        """One picture (height, width, 3) RGB and its camera_info."""
        message = CompressedImage(format="rgb8; jpeg compressed bgr8", data=to_jpeg(picture))
        message.header.stamp, message.header.frame_id = stamp, optical_frame(name)
        info = self._info_messages[name]
        info.header.stamp = stamp
        self._images[name].publish(message)
        self._infos[name].publish(info)

    def _camera_info(self, name: str) -> CameraInfo:
        fx, fy, cx, cy = (float(value) for value in self._rig.intrinsics(name))
        info = CameraInfo(width=self._settings.width, height=self._settings.height)
        info.header.frame_id = optical_frame(name)
        info.distortion_model, info.d = "plumb_bob", [0.0] * 5
        info.k = [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0]
        info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
        info.p = [fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
        return info


def main(args: list[str] | None = None) -> int:
    """Run the node until interrupted."""
    return run(CameraSim, args)


if __name__ == "__main__":
    raise SystemExit(main())
