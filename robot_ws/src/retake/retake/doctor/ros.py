"""`retake doctor`'s checks of ROS and DDS: settings, processes that hear each other, rivals on the robot's topics."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import rclpy
from rclpy.node import Node
from std_msgs.msg import String

from retake.doctor.finding import Finding, bad, good, note

DOMAIN_MAX = 101  # above, DDS's ports meet those that Linux gives to anybody
SHARED_MEMORY = Path("/dev/shm")
SHARED_MEMORY_MIN_MB = 256
HEAR_S = 10.0  # another Python with rclpy takes seconds to start on a busy machine
LISTEN_S = 1.0  # discovery on one machine takes 0.3 s
ONE_WRITER = ("joint_command", "reference")
SPEAKER = """
import rclpy, select, sys, time
from std_msgs.msg import String
rclpy.init()
node = rclpy.create_node("doctor_speaker")
publisher = node.create_publisher(String, "doctor", 10)
while not select.select([sys.stdin], [], [], 0.02)[0]:  # until the other end is closed
    publisher.publish(String(data=str(time.time_ns())))
rclpy.shutdown()
"""


def settings(environment: Mapping[str, str] = os.environ, shared_memory: Path = SHARED_MEMORY) -> list[Finding]:
    """What the environment tells ROS, and the memory through which processes exchange messages."""
    found = []
    domain = environment.get("ROS_DOMAIN_ID", "0")
    if not (domain.isdigit() and int(domain) <= DOMAIN_MAX):
        found.append(bad("domain", f"ROS_DOMAIN_ID is {domain!r}", f"set it to a number from 0 to {DOMAIN_MAX}"))
    reach = environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")  # `retake up` says so when nobody else does
    if reach == "LOCALHOST":
        found.append(good("discovery", "this machine only"))
    else:
        found.append(note("discovery", f"ROS_AUTOMATIC_DISCOVERY_RANGE is {reach}",
                          "whoever is on this network may command the robot; LOCALHOST keeps them out"))
    rmw = environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")
    if rmw != "rmw_fastrtps_cpp":
        found.append(note("rmw", f"RMW_IMPLEMENTATION is {rmw}", "only rmw_fastrtps_cpp has been tried; unset it"))
    profile = environment.get("FASTRTPS_DEFAULT_PROFILES_FILE") or environment.get("FASTDDS_DEFAULT_PROFILES_FILE")
    if profile and not Path(profile).is_file():
        found.append(bad("rmw", f"no Fast DDS profile {profile}", "unset FASTRTPS_DEFAULT_PROFILES_FILE or correct it"))
    free = shutil.disk_usage(shared_memory).free / 2**20
    if free < SHARED_MEMORY_MIN_MB:
        found.append(bad("memory", f"{free:.0f} MB are free in {shared_memory}", "with no node running: "
                         f"rm {shared_memory}/fastrtps_*; a container wants --shm-size=1g"))
    return found


def two_processes(seconds: float = HEAR_S) -> Finding:
    """Whether a message of another process arrives here, and how old it is then."""
    context = rclpy.Context()
    rclpy.init(args=[], context=context)
    node = Node("doctor", context=context, enable_rosout=False)
    ages: list[float] = []

    def on_text(message: String) -> None:
        ages.append((time.time_ns() - int(message.data)) / 1e6)

    node.create_subscription(String, "doctor", on_text, 10)
    executor = rclpy.executors.SingleThreadedExecutor(context=context)
    executor.add_node(node)
    speaker = subprocess.Popen([sys.executable, "-c", SPEAKER], stdin=subprocess.PIPE)
    end = time.monotonic() + seconds
    while len(ages) < 10 and time.monotonic() < end:
        executor.spin_once(timeout_sec=0.05)
    speaker.communicate()
    executor.shutdown()
    node.destroy_node()
    context.try_shutdown()
    if len(ages) < 10:
        return bad("messages", f"{len(ages)} of 10 from another process arrived in {seconds:.0f} s",
                   "is a firewall on loopback? is /dev/shm writable? with no node running: rm /dev/shm/fastrtps_*")
    return good("messages", f"from another process {sorted(ages)[5]:.1f} ms old")


def rivals(namespace: str) -> list[Finding]:
    """Who already writes what only one may write."""
    context = rclpy.Context()
    rclpy.init(args=[], context=context)
    node = Node("doctor", namespace=namespace, context=context, enable_rosout=False)
    end = time.monotonic() + LISTEN_S
    writers: dict[str, set[str]] = {}
    while time.monotonic() < end:
        for topic in ONE_WRITER:
            infos = node.get_publishers_info_by_topic(node.resolve_topic_name(topic))
            writers[topic] = {info.node_name for info in infos}
        time.sleep(0.05)
    node.destroy_node()
    context.try_shutdown()
    found = [bad("writers", f"{', '.join(sorted(names))} writes {namespace}/{topic}",
                 "end it first: one graph per ROS_DOMAIN_ID (a killed program stays listed for 20 s)")
             for topic, names in writers.items() if names]
    return found or [good("writers", f"nobody writes {namespace}/{', '.join(ONE_WRITER)}")]
