"""RealSense cameras, by serial number: colour, depth seen from the colour lens, and the device's own intrinsics.

Publishes for every camera what retake/cameras/outputs.py says, with the time at which the device exposed the frame, and
diagnostics (1 Hz: rate, frames lost, a device that is gone). Subscribes nothing. A device that is unplugged is looked
for until it is back; a wrong serial, or a mode that the device does not have, keeps the node from starting. A camera
may also be a recording of librealsense, named by its file: `head=shelf.db3`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyrealsense2 as rs
from rclpy.node import Node

from retake.cameras.realsense_device import Attached, RealSenseDevice
from retake.cameras.station import CameraStation, read_devices
from retake.errors import UserError
from retake.ros.parameters import declare
from retake.ros.realtime import CAMERA
from retake.ros.spin import run


@dataclass(frozen=True)
class Parameters:
    """Parameters of the cameras; all have the same mode."""

    devices: str  # "head=SERIAL chest=SERIAL"
    width: int = 640  # px
    height: int = 480  # px
    fps: int = 30
    depth: bool = False  # aligned to colour; costs about 10 ms of a core for each frame


class CameraRealsense(Node):
    """One thread a camera; this node only reports."""

    def __init__(self, context_rs: rs.context | None = None, **node_options: Any) -> None:
        super().__init__("camera_realsense", **node_options)
        settings = declare(self, Parameters)
        if self.get_parameter("use_sim_time").value:
            raise UserError("camera_realsense stamps with this machine's clock; start it without use_sim_time")
        named = read_devices(settings.devices, "SERIAL")
        attached = Attached(context_rs)
        mode = settings.width, settings.height, settings.fps
        devices = {name: RealSenseDevice(attached, serial, mode, settings.depth) for name, serial in named.items()}
        self.station = CameraStation(self, devices, settings.depth)
        self.get_logger().info(f"started: {settings}")


def main(args: list[str] | None = None) -> int:
    """Run the node until interrupted."""
    return run(CameraRealsense, args, priority=CAMERA)


if __name__ == "__main__":
    raise SystemExit(main())
