"""Cameras of one node: a thread each reads, encodes and publishes, and looks for its device again when that is gone.

The threads own everything of their camera but one record of counts, which the node's timer takes; publishers of rclpy
may be called from any thread. A device that is not as asked for when the node starts keeps it from starting.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from rclpy.node import Node

from retake.cameras.clock import CameraClock
from retake.cameras.codec import Intrinsics, to_compressed_depth, to_jpeg
from retake.cameras.outputs import CameraOutputs
from retake.errors import UserError
from retake.ros.diagnostics import Diagnostics
from retake.ros.spin import STEADY

REPORT_S = 0.5
SEARCH_S = 0.5  # between two looks for a device that is gone


class CameraGone(Exception):
    """The device does not answer any more; the text says what was seen."""


@dataclass(frozen=True)
class Frame:
    """One frame: a picture (height, width, 3) uint8 RGB, or its JPEG where the device makes it; depth (height, width)
    uint16 mm. `number` counts on the device, so that a gap is a loss."""

    number: int
    taken_ms: float  # the device's clock
    is_host_time: bool
    picture: np.ndarray | None = None
    jpeg: bytes | None = None
    depth: np.ndarray | None = None


class Device(Protocol):
    """What a camera thread reads. `read` waits for a frame, at most about a second."""

    def open(self) -> Intrinsics:
        """Begin to stream; UserError when the device is not there or not as asked for."""

    def read(self) -> Frame:
        """The next frame; CameraGone when none comes."""

    def close(self) -> None:
        """Let go of the device; may be called twice."""


def read_devices(text: str, what: str) -> dict[str, str]:
    """`"head=123 chest=456"` as {"head": "123", "chest": "456"}; `what` stands after the = in errors.

    Raises:
        UserError: nothing named, a name or a device named twice, or another form.
    """
    pairs = [word.partition("=") for word in text.split()]
    example = f"write devices:='head={what} chest={what}'"
    if not pairs:
        raise UserError(f"no camera is named; {example}")
    bad = [name + equals + device for name, equals, device in pairs if not (name.isidentifier() and device)]
    if bad:
        raise UserError(f"cannot read {' '.join(bad)!r}; {example}")
    devices = {name: device for name, _, device in pairs}
    if len(devices) < len(pairs) or len(set(devices.values())) < len(pairs):
        raise UserError(f"{text!r} has a name or a device twice; every camera has one of each: {example}")
    return devices


class CameraThread(threading.Thread):
    """Reads one device until `stop`; `take` hands over what happened since the last call."""

    def __init__(self, node: Node, name: str, device: Device, outputs: CameraOutputs) -> None:
        super().__init__(name=f"camera_{name}", daemon=True)
        self._now = node.get_clock().now
        self._device, self._outputs = device, outputs
        self._clock = CameraClock()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._frames = self._lost = 0
        self._trouble: str | None = None
        self._outputs.calibrate(device.open())

    def take(self) -> tuple[int, int, str | None]:
        """Frames published and frames lost on the device's side since the last call, and what is wrong now."""
        with self._lock:
            taken = self._frames, self._lost, self._trouble
            self._frames = self._lost = 0
        return taken

    def stop(self) -> None:
        """End the thread and let go of the device."""
        self._ended.set()
        self.join(timeout=3.0)
        self._device.close()

    def run(self) -> None:
        """Publish every frame; after a loss, search."""
        number: int | None = None
        while not self._ended.is_set():
            try:
                frame = self._device.read()
            except CameraGone as error:
                self._search(str(error))
                number = None
                continue
            self._publish(frame)
            lost = 0 if number is None else max(frame.number - number - 1, 0)
            number = frame.number
            with self._lock:
                self._frames, self._lost, self._trouble = self._frames + 1, self._lost + lost, None

    def _publish(self, frame: Frame) -> None:
        stamp_ns = self._clock.stamp_ns(frame.taken_ms, self._now().nanoseconds, frame.is_host_time)
        jpeg = frame.jpeg
        if jpeg is None:
            assert frame.picture is not None
            jpeg = to_jpeg(frame.picture)
        self._outputs.publish(stamp_ns, jpeg, None if frame.depth is None else to_compressed_depth(frame.depth))

    def _search(self, why: str) -> None:
        self._device.close()
        while not self._ended.is_set():
            with self._lock:
                self._trouble = f"{why}; looking for it"
            try:
                return self._outputs.calibrate(self._device.open())
            except (UserError, CameraGone) as error:
                why = str(error)
            self._ended.wait(SEARCH_S)


class CameraStation:
    """All cameras of `node`; ends with the node's context."""

    def __init__(self, node: Node, devices: Mapping[str, Device], depth: bool) -> None:
        """`devices`: camera name to device; raises UserError when one cannot be opened, after closing the others."""
        self._diagnostics = Diagnostics(node)
        self._threads: dict[str, CameraThread] = {}
        try:
            for name, device in devices.items():
                self._threads[name] = CameraThread(node, name, device, CameraOutputs(node, name, depth))
        except UserError:
            for device in devices.values():
                device.close()
            raise
        self._lost = dict.fromkeys(self._threads, 0)
        for thread in self._threads.values():
            thread.start()
        node.create_timer(REPORT_S, self._report, clock=STEADY)
        node.context.on_shutdown(self.close)

    def close(self) -> None:
        """Stop all cameras."""
        for thread in self._threads.values():
            thread.stop()

    def _report(self) -> None:
        for name, thread in self._threads.items():
            frames, lost, trouble = thread.take()
            self._diagnostics.count(name, frames)
            self._lost[name] += lost
            self._diagnostics.set(f"{name}.lost", self._lost[name])
            self._diagnostics.trouble(name, None if trouble is None else f"camera {name}: {trouble}")
