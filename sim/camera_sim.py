"""Stands in for the camera drivers: draws what the robot's cameras see, in a process of its own.

In: render_state (15 Hz, from the simulated robot). Out for each camera, with the state's stamp:
camera/<name>/color/camera_info and camera/<name>/color/image_raw/compressed (JPEG; QoS CAMERA); then `rendered`, for
the robot in lockstep; diagnostics 1 Hz.
No render state: no pictures. Real time: when drawing falls behind, older states are skipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.node import Node
from std_msgs.msg import Float64MultiArray

from retake.cameras.codec import Intrinsics, to_jpeg
from retake.cameras.outputs import CameraOutputs
from retake.ros import qos
from retake.ros.conversions import time_message
from retake.ros.diagnostics import Diagnostics
from retake.ros.parameters import declare
from retake.ros.spin import run
from sim.cameras import CameraRig
from sim.render_state import RenderStateError
from sim.tasks import task_spec


@dataclass(frozen=True)
class Parameters:
    """Parameters of the simulated cameras."""

    task: str = "g1_box"  # whose world is drawn
    lockstep: bool = False  # draw every state; in real time the newest
    width: int = 320  # px
    height: int = 240  # px

    def __post_init__(self) -> None:
        if not (16 <= self.width <= 1280 and 16 <= self.height <= 960):
            raise ValueError(
                f"{self.width}x{self.height}: allowed are 16x16 to 1280x960"
            )
        task_spec(self.task)


class CameraSim(Node):
    """Draws each render state with CameraRig and publishes the pictures."""

    def __init__(self, **node_options: Any) -> None:
        super().__init__("camera_sim", **node_options)
        self._settings = declare(self, Parameters)
        self._rig = CameraRig(self._settings.width, self._settings.height, task_spec(self._settings.task).view)
        self._outputs = {name: CameraOutputs(self, name) for name in self._rig.names}
        for name, outputs in self._outputs.items():
            outputs.calibrate(Intrinsics(self._settings.width, self._settings.height, *self._rig.intrinsics(name)))
        self._rendered = self.create_publisher(Time, "rendered", qos.STREAM)
        self._diagnostics = Diagnostics(self)
        incoming = qos.STREAM if self._settings.lockstep else qos.NEWEST
        self.create_subscription(Float64MultiArray, "render_state", self._on_render_state, incoming)
        self.get_logger().info(f"started: {self._settings}")

    def _on_render_state(self, message: Float64MultiArray) -> None:
        try:
            stamp = int(message.layout.dim[0].label)
            pictures = self._rig.draw(np.array(message.data))
        except (IndexError, RenderStateError, ValueError) as error:
            return self._diagnostics.refuse("render_state", str(error))
        for name, picture in pictures.items():
            self._outputs[name].publish(stamp, to_jpeg(picture))
        self._rendered.publish(time_message(stamp))
        self._diagnostics.count("picture")


def main(args: list[str] | None = None) -> int:
    """Run the node until interrupted."""
    return run(CameraSim, args)


if __name__ == "__main__":
    raise SystemExit(main())
