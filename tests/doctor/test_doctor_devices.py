"""Checks of what is plugged in: a camera that loses frames, one that is slow, a G1 on the wire and none."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from retake.cameras.choice import read_cameras
from retake.cameras.codec import Intrinsics
from retake.cameras.station import CameraGone, Frame
from retake.doctor import devices as doctor_devices
from retake.doctor.finding import Level
from retake.errors import UserError
from retake.unitree.dds import LOOPBACK, Bus
from retake.unitree.idl import LowCmd_
from retake.unitree.wire import command_encoder


@dataclass
class Strip:
    """A camera device with frames of these numbers, `period_s` apart; gone after the last."""

    numbers: list[int]
    period_s: float
    is_open: bool = field(default=False, init=False)

    def open(self) -> Intrinsics:
        self.is_open = True
        return Intrinsics(64, 48, 60, 60, 32, 24)

    def read(self) -> Frame:
        time.sleep(self.period_s)
        if not self.numbers:
            raise CameraGone("the cable was pulled")
        return Frame(self.numbers.pop(0), 0.0, False, jpeg=b"")

    def close(self) -> None:
        self.is_open = False


@pytest.mark.parametrize(("device", "level", "said"), [
    (Strip(list(range(100)), 0.005), Level.GOOD, "0 of"),
    (Strip([n for n in range(200) if n % 7], 0.005), Level.BAD, "frames lost"),
    (Strip(list(range(100)), 0.08), Level.BAD, "it should be 30 Hz"),
    (Strip([1, 2], 0.001), Level.BAD, "the cable was pulled"),
])  # fmt: skip
def test_rate_and_losses(device: Strip, level: Level, said: str) -> None:
    found = doctor_devices.stream("head", device, 0.3)
    assert found.level is level and said in found.line() and not device.is_open


def test_cameras_that_are_not_there() -> None:
    found = doctor_devices.cameras(read_cameras("v4l2 head=/dev/video77", ("head",)), 0.1)
    assert [finding.level for finding in found] == [Level.BAD] and "no camera at /dev/video77" in found[0].seen
    assert doctor_devices.cameras([], 0.1)[0].level is Level.GOOD


def test_a_realsense_that_is_not_there() -> None:
    pytest.importorskip("pyrealsense2")
    (found,) = doctor_devices.cameras(read_cameras("realsense head=123", ("head",)), 0.1)
    assert found.level is Level.BAD and "no RealSense with serial 123" in found.seen


def test_no_robot_and_no_interface() -> None:
    (found,) = doctor_devices.g1("lo", 77, patience_s=0.2)
    assert found.level is Level.BAD and "nothing on rt/lowstate" in found.seen
    (found,) = doctor_devices.g1("enp99s0", 78)
    assert found.level is Level.BAD and "no network interface 'enp99s0'" in found.seen


def test_user_errors_bring_their_remedy() -> None:
    class Busy(Strip):
        def open(self) -> Intrinsics:
            raise UserError("the camera is used by another program; end it")

    assert doctor_devices.stream("head", Busy([], 0.0), 0.1).line().endswith("another program; end it")


def test_a_robot_on_the_wire_tells_its_rate_and_its_hottest_joint(make_robot: Callable, domain: int) -> None:
    make_robot()
    found = doctor_devices.g1("lo", domain, seconds=0.5)
    assert [finding.name for finding in found] == ["robot"] and "hottest" in found[0].seen


def test_another_model_a_damaged_message_and_a_rival_are_bad(make_robot: Callable, domain: int) -> None:
    robot = make_robot(mode_machine=1)
    rival = Bus(domain, LOOPBACK)
    writer, encoder = rival.writer("rt/lowcmd", LowCmd_), command_encoder()
    is_over = threading.Event()

    def command() -> None:
        while not is_over.wait(0.01):
            writer.write(encoder.encode())

    thread = threading.Thread(target=command)
    thread.start()
    found = {finding.name: finding for finding in doctor_devices.g1("lo", domain, seconds=1.0)}
    is_over.set()
    thread.join()
    assert "mode_machine is 1 (g1_23dof)" in found["joints"].seen and found["joints"].level is Level.BAD
    assert found["rival"].seen == "another program writes rt/lowcmd"
    robot.is_damaged = True
    (damaged,) = doctor_devices.g1("lo", domain, patience_s=2.0)
    assert damaged.level is Level.BAD and "CRC" in damaged.seen
