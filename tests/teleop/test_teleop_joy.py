"""The gamepad: recorded messages of an Xbox pad, through the real node and the real authority."""

from __future__ import annotations

import subprocess
import sys

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import Joy
from std_srvs.srv import Trigger

from controllers import g1
from controllers.rigs import BIMANUAL_YAM, G1, YAM
from retake.errors import UserError
from retake.ros.spin import STEADY
from retake.teleop.joy import CONTROLS, SILENCE_S, Gamepad, TeleopJoy
from tests.teleop.conftest import Bench, refused, said

AT_REST = [0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]  # joy_node, an Xbox pad whose triggers have been touched
A, B, X, Y, LB, RB, BACK, START, GUIDE, L3, R3 = range(11)
LX, LY, LT, RX, RY, RT, CROSS_X, CROSS_Y = range(8)


class Pad:
    """A person with a pad: what is held is said 50 times a second, as joy_node does."""

    def __init__(self, bench: Bench) -> None:
        self.axes, self.buttons, self.is_plugged_in = list(AT_REST), [0] * 11, True
        self._bench, self._joy = bench, bench.probe.create_publisher(Joy, "/joy", 10)
        self._timer = bench.probe.create_timer(0.02, self._say, clock=STEADY)
        bench.again = self._again

    def _again(self) -> None:
        axes, buttons = self.axes, self.buttons
        self.hold()
        self._bench.probe.serve(0.1)
        self.axes, self.buttons = axes, buttons
        self._bench.probe.serve(0.1)

    def _say(self) -> None:
        if self.is_plugged_in:
            self._joy.publish(Joy(axes=self.axes, buttons=self.buttons))

    def hold(self, *buttons: int, **axes: float) -> None:
        """These and nothing else."""
        self.buttons = [int(k in buttons) for k in range(11)]
        self.axes = list(AT_REST)
        for name, value in axes.items():
            self.axes[globals()[name]] = value

    def tap(self, button: int) -> None:
        """Press and let go."""
        self.hold(button)
        self._bench.probe.serve(0.1)
        self.hold()
        self._bench.probe.serve(0.1)

    def take_over(self, device: TeleopJoy) -> None:
        self._bench.probe.until(lambda: self._joy.get_subscription_count() > 0)
        self._bench.probe.serve(0.2)

        def has_taken() -> bool:
            self.tap(A)
            return self._bench.authority[-1].data == "teleop"

        self._bench.probe.until(has_taken)
        self._bench.probe.until(lambda: device._grant.operator == "joy")


@pytest.mark.parametrize("rig", ["g1", "yam"])
def test_drives_a_hand_and_lets_go(bench, rig):
    robot = bench(rig)
    device, pad = robot.add(TeleopJoy), Pad(robot)
    pad.take_over(device)
    start = robot.pose.copy()
    pad.hold(LY=1.0)  # without the dead man
    robot.is_silent()
    assert not robot.actions
    pad.hold(LB, LY=1.0, RT=-1.0)
    robot.goes("left_ee.x", above=start[0] + 0.05)
    assert {message.header.frame_id for message in robot.actions} == {"joy"}
    assert robot.channel("left_ee.y") == pytest.approx(start[1])
    if rig == "g1":
        robot.goes("hands.squeeze", above=20.0)
        pad.hold(LB, CROSS_Y=-1.0)
        robot.goes("base.height", below=g1.HOME_ACTION[g1.BASE_HEIGHT] - 0.02)
    else:
        robot.goes("left_gripper", below=0.5)
    pad.hold(LY=1.0)
    robot.is_silent()
    assert not said(device)
    pad.hold(LB, LY=-1.0)
    robot.goes("left_ee.x", below=start[0] + 0.04)
    pad.tap(Y)
    robot.says("policy")
    pad.hold(LB, LY=1.0)
    robot.is_silent()


def test_unplugged_while_it_moves(bench):
    robot = bench("yam")
    device, pad = robot.add(TeleopJoy), Pad(robot)
    pad.take_over(device)
    pad.hold(LB, LY=1.0)
    robot.goes("left_ee.x", above=YAM.home_action[0] + 0.03)
    pad.is_plugged_in = False
    robot.is_silent()
    assert "silent" in said(device) and robot.authority[-1].data == "teleop"
    pad.is_plugged_in = True  # with LB still held
    robot.probe.until(lambda: not said(device))
    robot.is_silent()
    pad.hold(LY=1.0)
    robot.probe.serve(0.1)
    pad.hold(LB, LY=1.0)
    before = len(robot.actions)
    robot.until(lambda: len(robot.actions) > before + 3)


def test_stop_and_release_and_the_way_back(bench):
    robot = bench("yam")
    device, pad = robot.add(TeleopJoy), Pad(robot)
    pad.take_over(device)
    pad.hold(LB, LY=1.0)
    robot.goes("left_ee.x", above=YAM.home_action[0] + 0.06)
    pad.hold()
    robot.is_silent()
    pad.hold(CROSS_X=1.0)
    robot.says("rewind")
    robot.goes("left_ee.x", below=YAM.home_action[0] + 0.04)
    assert {message.header.frame_id for message in robot.rewinds} == {"joy"}
    assert robot.rewinds[-1].joint_names == ["path.speed"] and robot.rewinds[-1].points[0].positions[0] == -1.0
    pad.hold()
    robot.is_silent()
    back = robot.channel("left_ee.x")
    pad.hold(CROSS_X=-1.0)
    robot.goes("left_ee.x", above=back + 0.005)
    pad.hold(LB, LY=1.0)  # hands do not count on the way back
    robot.is_silent()
    pad.tap(A)
    robot.says("teleop")
    pad.hold(LB, B)
    robot.says("stopped")
    robot.is_silent()
    pad.tap(L3)
    robot.says("none")


def test_another_device_has_it(bench):
    robot = bench("yam")
    device, pad = robot.add(TeleopJoy), Pad(robot)
    robot.probe.until(lambda: pad._joy.get_subscription_count() > 0)
    assert robot.probe.call(Trigger, "panel/take_over").success
    robot.says("teleop")
    pad.hold()
    robot.probe.serve(0.2)
    pad.tap(A)
    robot.probe.until(lambda: "panel has" in device._text)
    pad.hold(LB, LY=1.0)
    robot.is_silent()
    assert not robot.actions
    pad.tap(Y)
    robot.probe.serve(0.2)
    assert robot.authority[-1].data == "teleop"  # only who drives hands back
    pad.tap(B)
    robot.says("stopped")  # stop is everybody's


def test_a_second_one_of_the_same_device_is_refused(bench):
    robot = bench("yam")
    heard = robot.probe.listen(DiagnosticArray, "diagnostics")
    first = subprocess.Popen([sys.executable, "-m", "retake.teleop.joy", "--ros-args", "-r", "__ns:=/yam", "-p",
                              "robot:=yam"], stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        robot.probe.until(lambda: any(m.status[0].name == "teleop_joy" for m in heard), 60.0)
        with pytest.raises(UserError, match="runs here already"):
            robot.add(TeleopJoy)
    finally:
        first.terminate()
        assert first.wait(30) == 0


def test_messages_that_are_none(bench):
    robot = bench("g1")
    device = robot.add(TeleopJoy)
    joy = robot.probe.create_publisher(Joy, "/joy", 10)
    robot.probe.until(lambda: joy.get_subscription_count() > 0)
    for axes, buttons in ((AT_REST[:4], [0] * 11), (AT_REST, [0] * 3), ([float("nan"), *AT_REST[1:]], [0] * 11),
                          ([7.0, *AT_REST[1:]], [0] * 11), (AT_REST, [5] * 11)):  # fmt: skip
        before = refused(device, "joy")
        joy.publish(Joy(axes=axes, buttons=buttons))
        robot.probe.until(lambda before=before: refused(device, "joy") > before)
    robot.probe.until(lambda: "no message on /joy" in said(device))


def feed(pad: Gamepad, now: float, buttons: tuple[int, ...] = (), **axes: float) -> None:
    values = list(AT_REST)
    for name, value in axes.items():
        values[globals()[name]] = value
    pad.feed(values, [int(k in buttons) for k in range(11)], now)


def test_untouched_triggers_and_buttons_that_are_down_from_the_start():
    pad = Gamepad(YAM, CONTROLS["xbox"])
    feed(pad, 0.0, (A, LB), LT=0.0, RT=0.0)  # before the first touch joy_node says 0: half way
    assert pad.read(0.01).calls == () and pad.read(0.01).hands is None
    feed(pad, 0.02, LT=0.0, RT=0.0)
    assert pad.read(0.03).hands is None
    feed(pad, 0.04, (LB,), LT=0.0, RT=0.0)
    assert pad.read(0.05).hands.closing == {"left": 0.0}
    assert pad.read(0.05 + SILENCE_S).hands is None


def test_hands_and_turns():
    pad = Gamepad(BIMANUAL_YAM, CONTROLS["xbox"])
    now = 0.0
    feed(pad, now)
    pad.read(now)
    for side in ("left", "right", "both", "left"):
        feed(pad, now + 0.01, (LB,), RY=1.0)
        twists = pad.read(now + 0.01).hands.twists
        assert set(twists) == ({"left", "right"} if side == "both" else {side})
        assert twists[next(iter(twists))].tolist() == [0, 0, 1, 0, 0, 0]
        feed(pad, now + 0.02, (LB, R3))
        now += 0.02
    feed(pad, now + 0.01, (LB, RB), LX=1.0, LY=1.0, RX=1.0)
    assert pad.read(now + 0.01).hands.twists[pad.side].tolist() == [0, 0, 0, -1, 1, 1]


@pytest.mark.parametrize("layout", CONTROLS)
def test_every_layout_has_every_control_once(layout):
    controls = CONTROLS[layout]
    assert set(controls) == set(CONTROLS["xbox"])
    assert len(set(controls.values())) == len(controls)
    Gamepad(G1, controls)
