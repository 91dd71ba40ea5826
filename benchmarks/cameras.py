"""Three cameras of 640x480 at 30 Hz from the camera driver's process to a subscriber's: frames lost, age on arrival.

The cameras are librealsense's software devices behind the real node; the age runs from the moment a device takes a
frame to the subscriber's callback, through the SDK's queue, the JPEG encoder, DDS and Python. The subscriber is as the
recorder, the one that must not lose any; both processes have the cameras' real-time priority where it is permitted, so
that other programs of this machine are not what is measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

import numpy as np
import rclpy
from rclpy.experimental import EventsExecutor
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import CompressedImage, Image

from retake.doctor.machine import stolen_s
from retake.ros import qos, realtime
from retake.ros.conversions import stamp_ns

NAMES = ("head", "left_wrist", "right_wrist")
DOMAIN = 78  # a ROS domain of this bench's own
SECONDS, PEER_SECONDS = 60.0, 10.0
STAMP_GRAIN_NS = 1000  # librealsense tells milliseconds as a double


def streams() -> dict[str, dict[str, Any]]:
    """Lost frames of all three, and the age's 99th percentile; the peer is raw images at ROS's defaults."""
    began, stolen_before = time.monotonic(), stolen_s()
    sent, ages = _receive(SECONDS, is_raw=False)
    stolen = (stolen_s() - stolen_before) / (time.monotonic() - began) / (os.cpu_count() or 1)
    raw_sent, raw_ages = _receive(PEER_SECONDS, is_raw=True)
    shared = {"frames": sent, "seconds": SECONDS, "stolen": round(stolen, 4)}
    raw_lost = (raw_sent - len(raw_ages)) / raw_sent
    return {
        "camera_lost": {"value": sent - len(ages), "peer": f"{raw_lost:.0%} of raw images, default QoS", **shared},
        "camera_age_p99_ms": {"value": float(np.percentile(ages, 99)), "p50_ms": float(np.median(ages)),
                              "worst_ms": float(ages.max()), **shared,
                              "peer": f"{np.percentile(raw_ages, 99):.0f} ms, those raw images that came"},
    }  # fmt: skip


def _receive(seconds: float, is_raw: bool) -> tuple[int, np.ndarray]:
    """Frames sent, and the ages in ms of those that came."""
    environment = {"ROS_DOMAIN_ID": str(DOMAIN), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "OMP_NUM_THREADS": "1"}
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    node = Node("camera_subscriber", namespace="bench", context=context)
    heard: list[tuple[int, int]] = []  # stamp and arrival, ns

    def on_frame(message: Image | CompressedImage) -> None:
        heard.append((stamp_ns(message.header.stamp), time.time_ns()))

    for name in NAMES:
        topic = f"camera/{name}/color/image_raw" + ("" if is_raw else "/compressed")
        node.create_subscription(Image if is_raw else CompressedImage, topic, on_frame, 10 if is_raw else qos.RECORD)
    realtime.prefer(node, realtime.CAMERA)
    executor = EventsExecutor(context=context)
    executor.add_node(node)
    command = [sys.executable, "-m", "benchmarks.camera_source", str(seconds), *(["raw"] if is_raw else [])]
    with subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.PIPE, text=True) as source:
        while source.poll() is None:
            executor.spin_until_future_complete(Future(), 0.2)
        count = -1
        while len(heard) > count:  # what was late is late, not lost
            count = len(heard)
            executor.spin_until_future_complete(Future(), 1.0)
        assert source.stdout is not None
        out = source.stdout.read()
        if source.returncode:
            raise RuntimeError(f"benchmarks.camera_source left with {source.returncode}; see above")
    executor.shutdown()
    node.destroy_node()
    context.try_shutdown()
    sent = json.loads(out.splitlines()[-1])
    ages = [(arrived - taken) / 1e6 for taken, arrived in heard if taken >= sent["since_ns"] - STAMP_GRAIN_NS]
    return int(sent["frames"]) * len(NAMES), np.array(ages)
