"""A RealSense made of software, by librealsense's own means: what it is given comes out as from a device's sensors."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pyrealsense2 as rs

WIDTH, HEIGHT, FPS = 64, 48, 30
DEPTH_UNITS_M = 0.001


class SoftwareCamera:
    """Colour and depth of one mode; the pixels of frame n are n and its depth is 1000 + n units everywhere."""

    def __init__(self, serial: str, size: tuple[int, int] = (WIDTH, HEIGHT), units_m: float = DEPTH_UNITS_M,
                 has_depth: bool = True) -> None:  # fmt: skip
        self.size, self._units_m, self._has_depth = size, units_m, has_depth
        self.device = rs.software_device()
        self.device.register_info(rs.camera_info.name, "RealSense made of software")
        self.device.register_info(rs.camera_info.serial_number, serial)
        self._depth_sensor = self.device.add_sensor("Stereo Module")
        self._color_sensor = self.device.add_sensor("RGB Camera")
        self._depth_sensor.add_read_only_option(rs.option.depth_units, units_m)
        depth = self._stream(rs.stream.depth, 1, rs.format.z16, 2)
        self._depth = self._depth_sensor.add_video_stream(depth)
        self._color = self._color_sensor.add_video_stream(self._stream(rs.stream.color, 2, rs.format.rgb8, 3))
        same_place = rs.extrinsics()
        same_place.rotation, same_place.translation = [1, 0, 0, 0, 1, 0, 0, 0, 1], [0, 0, 0]
        self._depth.register_extrinsics_to(self._color, same_place)
        self.device.create_matcher(rs.matchers.default)
        self.number = 0

    def _stream(self, kind: rs.stream, uid: int, form: rs.format, bytes_per_pixel: int) -> rs.video_stream:
        stream, intrinsics = rs.video_stream(), rs.intrinsics()
        width, height = self.size
        stream.type, stream.index, stream.uid, stream.fmt, stream.bpp = kind, 0, uid, form, bytes_per_pixel
        stream.width, stream.height, stream.fps = width, height, FPS
        intrinsics.width, intrinsics.height, intrinsics.fx, intrinsics.fy = width, height, 60.5, 61.5
        intrinsics.ppx, intrinsics.ppy = width / 2 + 0.5, height / 2 - 0.5
        intrinsics.model, intrinsics.coeffs = rs.distortion.brown_conrady, [0.1, -0.2, 0.001, 0.002, 0.03]
        stream.intrinsics = intrinsics
        return stream

    def push(self, taken_ms: float | None = None, domain: rs.timestamp_domain = rs.timestamp_domain.system_time,
             picture: np.ndarray | None = None) -> None:  # fmt: skip
        """The device takes one frame; without a time, now."""
        self.number += 1
        taken_ms = time.time() * 1e3 if taken_ms is None else taken_ms
        width, height = self.size
        color = np.full((height, width, 3), self.number % 256, np.uint8) if picture is None else picture
        frames = [(self._color_sensor, self._color, color, 3)]
        if self._has_depth:
            depth = np.full((height, width), 1000 + self.number, np.uint16)
            frames.insert(0, (self._depth_sensor, self._depth, depth, 2))
        for sensor, profile, pixels, size in frames:
            frame = rs.software_video_frame()
            frame.pixels, frame.bpp, frame.stride = pixels, size, width * size
            frame.timestamp, frame.domain, frame.frame_number = taken_ms, domain, self.number
            frame.profile, frame.depth_units = profile.as_video_stream_profile(), self._units_m
            sensor.on_video_frame(frame)


class SoftwareContext:
    """A librealsense context with software cameras attached. librealsense tells of those only to who listens when they
    are added, so they are added as soon as somebody does."""

    def __init__(self, *cameras: SoftwareCamera) -> None:
        self._context, self._cameras = rs.context(), cameras
        self.query_devices = self._context.query_devices
        self.load_device, self.unload_device = self._context.load_device, self._context.unload_device

    def set_devices_changed_callback(self, callback: Callable[[rs.event_information], None]) -> None:
        """As the context's; returns when the callback knows all cameras."""
        told: set[str] = set()

        def tell(event: rs.event_information) -> None:
            callback(event)
            told.update(device.get_info(rs.camera_info.serial_number) for device in event.get_new_devices())

        self._context.set_devices_changed_callback(tell)
        for camera in self._cameras:
            camera.device.add_to(self._context)
        deadline = time.monotonic() + 5
        while len(told) < len(self._cameras):
            assert time.monotonic() < deadline, "librealsense did not tell of its software devices"
            time.sleep(0.001)


class Shutter(threading.Thread):
    """Lets cameras take frames at FPS until `stop`."""

    def __init__(self, *cameras: SoftwareCamera) -> None:
        super().__init__(daemon=True)
        self._cameras, self._ended = cameras, threading.Event()
        self.start()

    def run(self) -> None:
        """Take them at even times."""
        begin, count = time.monotonic(), 0
        while not self._ended.wait(max(0.0, begin + count / FPS - time.monotonic())):
            count += 1
            for camera in self._cameras:
                camera.push()

    def stop(self) -> None:
        """No frame is taken after this."""
        self._ended.set()
        self.join()


def record(path: str, serial: str, frames: int) -> None:
    """A recording of `frames` frames by librealsense's own recorder."""
    camera = SoftwareCamera(serial)
    recorder = rs.recorder(path, camera.device)
    taken, queue = [], rs.frame_queue(2 * frames)
    sensors = recorder.query_sensors()
    for sensor in sensors:
        sensor.open(sensor.get_stream_profiles())
        sensor.start(queue)
    start_ms = time.time() * 1e3
    for number in range(frames):
        camera.push(start_ms + number * 1e3 / FPS)
    while len(taken) < 2 * frames:
        taken.append(queue.wait_for_frame(2000).get_frame_number())
    for sensor in sensors:
        sensor.stop()
        sensor.close()
