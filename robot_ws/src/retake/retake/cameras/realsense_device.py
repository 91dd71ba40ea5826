"""One RealSense as a camera thread reads it, and the list of those that are attached.

librealsense tells of devices that come and go in a thread of its own; `Attached` keeps them by serial. Sensors are
driven directly, as realsense2_camera does: `rs.pipeline` would choose a device by itself.
"""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pyrealsense2 as rs

from retake.cameras.codec import Intrinsics
from retake.cameras.station import CameraGone, Frame
from retake.errors import UserError

WAIT_MS = 1000  # a camera at the slowest rate sends every 200 ms
QUEUE = 15  # frames that wait while this machine is busy; librealsense holds no more than 16 by itself
RECORDINGS = (".db3", ".bag")
HOST_TIME = (rs.timestamp_domain.system_time, rs.timestamp_domain.global_time)
# ROS has one name for all of Brown and Conrady's; the coefficients' order is the same (k1 k2 p1 p2 k3)
MODELS = {rs.distortion.kannala_brandt4: "equidistant"}
MM = 1000.0


class Attached:
    """The devices of a librealsense context by serial number. Its lock guards what librealsense's thread writes."""

    def __init__(self, context: rs.context | None = None) -> None:
        context = rs.context() if context is None else context
        self._context = context
        self._lock = threading.Lock()
        self._devices: dict[str, rs.device] = {}
        context.set_devices_changed_callback(self._on_change)
        self._add(context.query_devices())

    def _add(self, devices: rs.device_list) -> None:
        with self._lock:
            for device in devices:
                if device.supports(rs.camera_info.serial_number):
                    self._devices[device.get_info(rs.camera_info.serial_number)] = device

    def _on_change(self, event: rs.event_information) -> None:
        with self._lock:
            for serial in [s for s, device in self._devices.items() if event.was_removed(device)]:
                del self._devices[serial]
        self._add(event.get_new_devices())

    @property
    def serials(self) -> list[str]:
        """Those of all devices, in order."""
        with self._lock:
            return sorted(self._devices)

    def device(self, name: str) -> rs.device:
        """The device of that serial number, or the recording in that file.

        Raises:
            UserError: it is not attached, or there is no such recording.
        """
        if _is_recording(name):
            return self._recording(name)
        with self._lock:
            found = self._devices.get(name)
        if found is None:
            others = ", ".join(self.serials) or "none"
            raise UserError(f"no RealSense with serial {name}; attached: {others}; check its USB 3 cable and port "
                            "(`retake doctor` lists what is there), or name another one in devices:=")
        return found

    def _recording(self, name: str) -> rs.device:
        if not Path(name).is_file():
            raise UserError(f"no recording {name}; name a file that librealsense wrote, or a serial number")
        try:
            return self._context.load_device(name)
        except RuntimeError as error:
            raise UserError(f"{name} is no recording of librealsense ({error}); name another one") from error

    def unload(self, name: str) -> None:
        """Let go of a recording, so that it can be played from its beginning again."""
        self._context.unload_device(name)


def _is_recording(name: str) -> bool:
    return Path(name).suffix in RECORDINGS


class RealSenseDevice:
    """Streams colour, and depth aligned to it, from the device `serial` at `mode` (width, height, Hz)."""

    def __init__(self, attached: Attached, serial: str, mode: tuple[int, int, int], depth: bool) -> None:
        self._attached, self._serial, self._mode, self._has_depth = attached, serial, mode, depth
        self._device: rs.device | None = None  # held: librealsense forgets a recording that nobody holds
        self._sensors: list[rs.sensor] = []
        self._align = rs.align(rs.stream.color) if depth else None
        self._frames: rs.syncer | rs.frame_queue = rs.frame_queue(QUEUE)
        self._depth_mm = 1.0  # of one unit of depth

    def open(self) -> Intrinsics:
        """Start the sensors; UserError when the device is not there, busy, or has no such mode."""
        self._device = self._attached.device(self._serial)
        profiles = self._choose(self._device)
        self._frames = rs.syncer() if self._has_depth else rs.frame_queue(QUEUE)
        try:
            for sensor, chosen in profiles:
                sensor.open(chosen)
                self._sensors.append(sensor)
                sensor.start(self._frames)
                if sensor.is_depth_sensor():
                    self._depth_mm = sensor.as_depth_sensor().get_depth_scale() * MM
        except RuntimeError as error:
            self.close()
            raise UserError(f"RealSense {self._serial} does not start ({error}); end the program that uses it, "
                            "or plug it in anew") from error
        color = next(p for _, chosen in profiles for p in chosen if p.stream_type() == rs.stream.color)
        return _intrinsics(color.as_video_stream_profile().get_intrinsics())

    def _choose(self, device: rs.device) -> list[tuple[rs.sensor, list[rs.stream_profile]]]:
        """The sensors with the profiles to open on each; colour and depth may come from one sensor."""
        wanted = {rs.stream.color: rs.format.rgb8} | ({rs.stream.depth: rs.format.z16} if self._has_depth else {})
        chosen, offered = [], set()
        for sensor in device.query_sensors():
            own = []
            for profile in sensor.get_stream_profiles():
                if wanted.get(profile.stream_type()) != profile.format():
                    continue
                video = profile.as_video_stream_profile()
                mode = video.width(), video.height(), profile.fps()
                offered.add((profile.stream_name(), mode))
                if mode == self._mode:
                    own.append(profile)
                    del wanted[profile.stream_type()]
            if own:
                chosen.append((sensor, own))
        if wanted:
            missing = " and ".join(str(stream).rpartition(".")[2] for stream in wanted)
            modes = ", ".join(f"{name} {w}x{h} at {fps}" for name, (w, h, fps) in sorted(offered)) or "no such stream"
            width, height, fps = self._mode
            raise UserError(f"RealSense {self._serial} has no {missing} of {width}x{height} at {fps} Hz; it offers: "
                            f"{modes}; set width, height and fps to one of these")
        return chosen

    def read(self) -> Frame:
        """The next frame."""
        while True:
            try:
                color, depth = self._wait()
            except RuntimeError as error:
                raise CameraGone(f"RealSense {self._serial} sends nothing ({error})") from error
            if color:
                break
        return Frame(color.get_frame_number(), color.get_timestamp(), color.get_frame_timestamp_domain() in HOST_TIME,
                     np.asanyarray(color.get_data()), depth=None if not depth else self._millimetres(depth))

    def _wait(self) -> tuple[rs.video_frame, rs.depth_frame | None]:
        if self._align is None:
            return self._frames.wait_for_frame(WAIT_MS).as_video_frame(), None
        frames = self._frames.wait_for_frames(WAIT_MS)
        if frames.size() == 2:
            frames = self._align.process(frames)
        return frames.get_color_frame(), frames.get_depth_frame()

    def _millimetres(self, depth: rs.depth_frame) -> np.ndarray:
        units = np.asanyarray(depth.get_data())
        return units if abs(self._depth_mm - 1.0) < 1e-6 else (units * self._depth_mm).round().astype(np.uint16)

    def close(self) -> None:
        """Stop the sensors; those of a device that is gone complain, which changes nothing."""
        sensors, self._sensors = self._sensors, []
        for sensor in sensors:
            for end in (sensor.stop, sensor.close):
                try:
                    end()
                except RuntimeError:
                    continue
        if self._device is not None and _is_recording(self._serial):
            self._attached.unload(self._serial)
        self._device = None


def _intrinsics(given: rs.intrinsics) -> Intrinsics:
    return Intrinsics(given.width, given.height, given.fx, given.fy, given.ppx, given.ppy, tuple(given.coeffs),
                      MODELS.get(given.model, "plumb_bob"))  # fmt: skip
