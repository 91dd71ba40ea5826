"""Webcams and other V4L2 cameras, by device file: colour, as the camera itself compresses it where it can.

Publishes for every camera what retake/cameras/outputs.py says, without depth, and diagnostics (1 Hz). Subscribes
nothing. Stamps are the kernel's time of the frame. Name devices by /dev/v4l/by-id/..., which stays the same, other than
/dev/videoN. Intrinsics come from `calibration`/<name>.yaml as ROS's camera_calibration writes it; without one
camera_info says all zero, which is ROS's word for not calibrated. An unplugged device is looked for until it is back.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rclpy.node import Node

from retake.cameras.station import CameraStation, read_devices
from retake.cameras.v4l2_device import V4l2Device, calibration, open_v4l2
from retake.errors import UserError
from retake.ros.parameters import declare
from retake.ros.realtime import CAMERA
from retake.ros.spin import run


@dataclass(frozen=True)
class Parameters:
    """Parameters of the cameras; all have the same mode."""

    devices: str  # "head=/dev/v4l/by-id/... chest=/dev/..."
    width: int = 640  # px
    height: int = 480  # px
    fps: int = 30
    calibration: str = ""  # folder with <name>.yaml


class CameraV4l2(Node):
    """One thread a camera; this node only reports."""

    def __init__(self, **node_options: Any) -> None:
        super().__init__("camera_v4l2", **node_options)
        settings = declare(self, Parameters)
        if self.get_parameter("use_sim_time").value:
            raise UserError("camera_v4l2 stamps with this machine's clock; start it without use_sim_time")
        mode = settings.width, settings.height, settings.fps
        devices = {}
        for name, path in read_devices(settings.devices, "/dev/v4l/by-id/NAME").items():
            file = Path(settings.calibration) / f"{name}.yaml" if settings.calibration else None
            devices[name] = V4l2Device(path, mode, calibration(file, mode), open_v4l2)
        self.station = CameraStation(self, devices, depth=False)
        self.get_logger().info(f"started: {settings}")


def main(args: list[str] | None = None) -> int:
    """Run the node until interrupted."""
    return run(CameraV4l2, args, priority=CAMERA)


if __name__ == "__main__":
    raise SystemExit(main())
