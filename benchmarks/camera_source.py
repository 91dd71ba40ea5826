"""Three cameras of software behind the real camera_realsense, for `benchmarks.cameras`: python -m ... SECONDS [raw].

`raw` publishes the same pictures as sensor_msgs/Image instead, with ROS's default QoS: what cameras do out of the box.
Prints one line of JSON when all frames have been taken: how many of each camera since when (ns). Frames before that
warm up what is behind the cameras, and count for nothing.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time

import cv2
import numpy as np
import rclpy
from rclpy.duration import Duration
from rclpy.experimental import EventsExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.task import Future
from sensor_msgs.msg import Image

from benchmarks.cameras import NAMES
from retake.cameras.realsense import CameraRealsense
from retake.ros import realtime
from retake.ros.conversions import time_message
from tests.cameras.software_camera import FPS, SoftwareCamera, SoftwareContext

SIZE = (640, 480)
PICTURES = 8  # different ones, in turn
ACKNOWLEDGE_S = 30.0
SETTLE_S = 2.0  # of frames between the subscriptions being known here and the first that counts


def pictures() -> list[np.ndarray]:
    """(480, 640, 3) uint8 RGB with as much detail as a room has: about 90 kB each as JPEG."""
    rng, made = np.random.default_rng(0), []
    width, height = SIZE
    for shift in range(PICTURES):
        coarse = cv2.resize(rng.integers(0, 256, (30, 40, 3)).astype(np.uint8), SIZE, interpolation=cv2.INTER_CUBIC)
        fine = rng.normal(0, 6, (height, width, 3))
        made.append(np.clip(np.roll(coarse, 20 * shift, axis=1) + fine, 0, 255).astype(np.uint8))
    return made


def main() -> int:
    """Take frames for so many seconds once everybody listens."""
    seconds, is_raw = float(sys.argv[1]), "raw" in sys.argv[2:]
    rclpy.init()
    cameras = {name: SoftwareCamera(f"00{index}", SIZE, has_depth=False) for index, name in enumerate(NAMES)}
    node, send = _raw(cameras) if is_raw else _compressed(cameras)
    realtime.prefer(node, realtime.CAMERA)  # as the real node's process has
    executor = EventsExecutor()
    executor.add_node(node)
    spinning = threading.Thread(target=_spin, args=(executor,), daemon=True)
    spinning.start()
    while any(p.get_subscription_count() == 0 for p in node.publishers if p.topic_name.endswith(("raw", "compressed"))):
        time.sleep(0.05)
    drawn, begin, counted = pictures(), time.monotonic(), round(seconds * FPS)
    for count in range(round(SETTLE_S * FPS) + counted):
        time.sleep(max(0.0, begin + count / FPS - time.monotonic()))
        if count == round(SETTLE_S * FPS):
            since_ns = time.time_ns()
        for index, camera in enumerate(cameras.values()):
            send(camera, drawn[(count + index) % PICTURES])
    time.sleep(1.0)  # the last ones are being encoded
    for publisher in node.publishers:  # what is late is late, not lost
        publisher.wait_for_all_acked(Duration(seconds=ACKNOWLEDGE_S))
    print(json.dumps({"frames": counted, "since_ns": since_ns}), flush=True)
    os._exit(0)  # threads of rclpy and librealsense are in the middle of their work


def _spin(executor: EventsExecutor) -> None:
    while True:
        executor.spin_until_future_complete(Future(), 0.5)


def _compressed(cameras: dict[str, SoftwareCamera]):
    devices = " ".join(f"{name}=00{index}" for index, name in enumerate(NAMES))
    parameters = [Parameter("devices", value=devices)]
    node = CameraRealsense(SoftwareContext(*cameras.values()), namespace="bench", parameter_overrides=parameters)
    return node, lambda camera, picture: camera.push(picture=picture)


def _raw(cameras: dict[str, SoftwareCamera]):
    node = Node("raw_cameras", namespace="bench")
    publishers = {id(c): node.create_publisher(Image, f"camera/{n}/color/image_raw", 10) for n, c in cameras.items()}

    def send(camera: SoftwareCamera, picture: np.ndarray) -> None:
        message = Image(height=SIZE[1], width=SIZE[0], encoding="rgb8", step=3 * SIZE[0], data=picture.tobytes())
        message.header.stamp = time_message(time.time_ns())
        publishers[id(camera)].publish(message)

    return node, send


if __name__ == "__main__":
    sys.exit(main())
