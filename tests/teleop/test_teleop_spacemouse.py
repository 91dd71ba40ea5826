"""The SpaceMouse: HID reports as the device sends them, decoded by pyspacemouse itself, real node, real authority."""

from __future__ import annotations

import struct
from collections import deque

import numpy as np
import pytest

from controllers.rigs import BIMANUAL_YAM, YAM
from retake.ros.spin import STEADY
from retake.teleop.device import DeviceParameters, TeleopDevice
from retake.teleop.spacemouse_driver import GRASP_S, NAME, SILENCE_S, SpaceMouse
from tests.teleop.conftest import Bench, said

pyspacemouse = pytest.importorskip("pyspacemouse", reason="pip install -e .[hardware]")
from pyspacemouse.config_helpers import apply_axis_convention  # noqa: E402
from pyspacemouse.device import SpaceMouseDevice  # noqa: E402
from pyspacemouse.loader import get_device_specs  # noqa: E402

MODEL = "SpaceMouseCompact"


class Cap:
    """The device at the end of its cable: reports of one axis set each, as a SpaceMouse Compact queues them."""

    def __init__(self) -> None:
        self.reports: deque[bytes] = deque()
        self.is_plugged_in = True

    def read(self, size: int) -> bytes:
        if not self.is_plugged_in:
            raise OSError("device disconnected")
        return self.reports.popleft() if self.reports else b""

    def close(self) -> None:
        """Nothing to close."""

    def push(self, right: int = 0, towards: int = 0, down: int = 0, rx: int = 0, ry: int = 0, rz: int = 0) -> None:
        """One pair of reports in the device's own axes, -350 to 350."""
        self.reports.append(struct.pack("<Bhhh", 1, right, towards, down) + bytes(6))
        self.reports.append(struct.pack("<Bhhh", 2, rx, ry, rz) + bytes(6))

    def press(self, *buttons: int) -> None:
        self.reports.append(bytes([3, sum(1 << b for b in buttons), 0]) + bytes(10))

    def open(self) -> SpaceMouseDevice:
        if not self.is_plugged_in:
            raise OSError("No connected or supported devices found.")
        spec = apply_axis_convention(get_device_specs()[MODEL], pyspacemouse.AxisConvention.HID_Z_UP)
        return SpaceMouseDevice(spec, self)


def make(cap: Cap):
    return lambda **options: TeleopDevice("teleop_spacemouse", NAME, DeviceParameters,
                                          lambda _, rig, __: SpaceMouse(rig, cap.open), **options)


class Person:
    """Holds the cap: reports 60 times a second until it is let go."""

    def __init__(self, bench: Bench, cap: Cap) -> None:
        self._bench, self._cap, self._timer = bench, cap, None

    def hold(self, **values: int) -> None:
        self.fall_silent()
        self._timer = self._bench.probe.create_timer(1 / 60, lambda: self._cap.push(**values), clock=STEADY)

    def fall_silent(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def let_go(self) -> None:
        self.fall_silent()
        self._cap.push()

    def take_over(self, device: TeleopDevice) -> None:
        self.let_go()
        self._bench.probe.serve(0.05)
        self._cap.press(0, 1)
        self._bench.probe.until(lambda: device._grant.operator == NAME)
        self._cap.press()
        self._bench.says("teleop")


@pytest.mark.parametrize("rig", [pytest.param("g1", marks=pytest.mark.heavy), "yam"])
def test_pushes_a_hand_and_lets_go(bench, rig):
    robot, cap = bench(rig), Cap()
    device, person = robot.add(make(cap)), Person(robot, cap)
    person.take_over(device)
    start = robot.pose.copy()
    person.hold(towards=-350)  # away from the person
    robot.goes("left_ee.x", above=start[0] + 0.05)
    assert robot.actions[0].header.frame_id == NAME
    person.let_go()
    robot.is_silent()
    person.hold(right=-350)
    robot.goes("left_ee.y", above=start[1] + 0.04)
    person.hold(down=-350)
    robot.goes("left_ee.z", above=start[2] + 0.04)
    person.fall_silent()  # the receiver went out of reach: the last report still says pushed
    robot.is_silent()
    person.let_go()
    robot.probe.serve(0.1)
    cap.press(0, 1)
    robot.says("policy")


def test_unplugged_while_it_moves(bench):
    robot, cap = bench("yam"), Cap()
    device, person = robot.add(make(cap)), Person(robot, cap)
    person.take_over(device)
    person.hold(towards=-350)
    robot.goes("left_ee.x", above=YAM.home_action[0] + 0.03)
    cap.is_plugged_in = False
    robot.probe.until(lambda: "plug it in" in said(device))
    robot.is_silent()
    cap.is_plugged_in = True  # and somebody leans on it
    robot.probe.until(lambda: not said(device))
    robot.is_silent()
    person.let_go()
    robot.probe.serve(0.1)
    person.hold(towards=-350)
    count = len(robot.actions)
    robot.until(lambda: len(robot.actions) > count + 3)


def test_turns_and_hands_and_the_grasp():
    cap = Cap()
    mouse = SpaceMouse(BIMANUAL_YAM, cap.open)
    cap.push()
    assert mouse.read(0.0).hands is None
    cap.push(rx=350, ry=350, rz=350)  # about right, towards, down
    twist = mouse.read(0.01).hands.twists["left"]
    np.testing.assert_allclose(twist, [0, 0, 0, -1, -1, -1])
    cap.push()
    for side in ("right", "both", "left"):
        cap.press(0)
        mouse.read(0.02)
        cap.press()
        mouse.read(0.03)
        assert mouse.side == side
    for now, closing in ((1.0, 1.0), (2.0, -1.0), (3.0, 1.0)):
        cap.press(1)
        assert mouse.read(now).hands.closing == {"left": closing}
        cap.press(1)
        cap.press()
        assert mouse.read(now + 0.1).hands is None
    cap.press(1)
    assert mouse.read(4.0).hands and mouse.read(4.0 + GRASP_S).hands is None


def test_all_reports_that_wait_are_read():
    cap = Cap()
    mouse = SpaceMouse(YAM, cap.open)
    cap.push()
    mouse.read(0.0)
    for _ in range(20):
        cap.push(towards=-350)
    cap.push(towards=-175)
    x = mouse.read(0.01).hands.twists["left"][0]
    assert 0.0 < x < 0.5 and not cap.reports
    assert mouse.read(0.01 + SILENCE_S + 0.01).hands is None
