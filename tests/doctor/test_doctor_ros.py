"""Checks of ROS: settings as given, real processes, a real rival."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from retake.doctor import ros as doctor_ros
from retake.doctor.finding import Level

RIVAL = """
import rclpy, sys
from sensor_msgs.msg import JointState
rclpy.init()
node = rclpy.create_node("my_script", namespace="doctor_test")
publisher = node.create_publisher(JointState, "joint_command", 10)
print("up", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(("environment", "level", "said"), [
    ({}, Level.GOOD, "this machine only"),
    ({"ROS_DOMAIN_ID": "300"}, Level.BAD, "ROS_DOMAIN_ID is '300'"),
    ({"ROS_DOMAIN_ID": "one"}, Level.BAD, "ROS_DOMAIN_ID is 'one'"),
    ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}, Level.NOTE, "whoever is on this network"),
    ({"RMW_IMPLEMENTATION": "rmw_zenoh_cpp"}, Level.NOTE, "rmw_zenoh_cpp"),
    ({"FASTRTPS_DEFAULT_PROFILES_FILE": "/missing.xml"}, Level.BAD, "no Fast DDS profile /missing.xml"),
])  # fmt: skip
def test_settings(environment: dict[str, str], level: Level, said: str) -> None:
    worst = max(doctor_ros.settings(environment), key=lambda found: list(Level).index(found.level))
    assert worst.level is level and said in worst.line()


def test_too_little_shared_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor_ros, "SHARED_MEMORY_MIN_MB", 1 << 40)
    found = doctor_ros.settings({}, tmp_path)[-1]
    assert found.level is Level.BAD and "--shm-size" in found.remedy


def test_another_process_is_heard() -> None:
    found = doctor_ros.two_processes(30.0)
    assert found.level is Level.GOOD and "ms old" in found.seen


def test_nobody_is_heard_when_nobody_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_ros, "SPEAKER", "import sys; sys.stdin.read()")
    found = doctor_ros.two_processes(0.5)
    assert found.level is Level.BAD and "0 of 10" in found.seen


def test_a_rival_is_named() -> None:
    assert doctor_ros.rivals("/doctor_test")[0].level is Level.GOOD
    rival = subprocess.Popen([sys.executable, "-c", RIVAL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert rival.stdin is not None and rival.stdout is not None and rival.stdout.readline() == "up\n"
    (found,) = doctor_ros.rivals("/doctor_test")
    rival.stdin.close()
    rival.wait(timeout=20)
    assert found.level is Level.BAD and found.seen == "my_script writes /doctor_test/joint_command"
