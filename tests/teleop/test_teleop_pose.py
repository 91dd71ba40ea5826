"""The pose stream: what a VR bridge publishes, through the real node and the real authority."""

from __future__ import annotations

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import Joy
from std_msgs.msg import Bool, Float32
from std_srvs.srv import Trigger

from controllers import g1
from retake.ros import conversions
from retake.ros.spin import STEADY
from retake.teleop.pose import PoseStream, TeleopPose
from tests.teleop.conftest import Bench, refused, said

ROOM = {"left": np.array([1.0, 2.0, 1.2]), "right": np.array([1.0, 1.6, 1.2])}


class Bridge:
    """A person in a headset, 60 poses a second."""

    def __init__(self, bench: Bench) -> None:
        probe = self._probe = bench.probe
        self.hands = {side: position.copy() for side, position in ROOM.items()}
        self.enable: bool | None = False  # None: the bridge says nothing about it
        self.openings = {"left": 1.0, "right": 1.0}
        self.delay_ns = 0
        self._poses = {side: probe.create_publisher(PoseStamped, f"teleop/{side}_pose", 10) for side in ROOM}
        self._grippers = {side: probe.create_publisher(Float32, f"teleop/{side}_gripper", 10) for side in ROOM}
        self._enable = probe.create_publisher(Bool, "teleop/enable", 10)
        self._timer = probe.create_timer(1 / 60, self._say, clock=STEADY)
        bench.again = self._again

    def _again(self) -> None:
        self.enable = False
        self._probe.serve(0.1)
        self.enable = True
        self._probe.serve(0.1)

    def _say(self) -> None:
        stamp = conversions.time_message(self._probe.get_clock().now().nanoseconds - self.delay_ns)
        for side, position in self.hands.items():
            message = PoseStamped()
            message.header.stamp, message.header.frame_id = stamp, "room"
            p = message.pose.position
            p.x, p.y, p.z = position.tolist()
            self._poses[side].publish(message)
            self._grippers[side].publish(Float32(data=self.openings[side]))
        if self.enable is not None:
            self._enable.publish(Bool(data=self.enable))

    def take_over(self, bench: Bench, device: TeleopPose) -> None:
        assert bench.probe.call(Trigger, "pose_stream/take_over").success
        bench.says("teleop")
        bench.probe.until(lambda: device._grant.operator == "pose_stream" and device._device._samples.get("right"))

    def walk(self, bench: Bench, side: str, way: tuple[float, float, float]) -> None:
        """Move a hand as a person does, in steps."""
        for _ in range(20):
            self.hands[side] = self.hands[side] + np.array(way) / 20
            bench.probe.serve(0.03)


@pytest.mark.parametrize("rig", ["g1", pytest.param("bimanual_yam", marks=pytest.mark.heavy)])
def test_a_hand_moves_relatively(bench, rig):
    robot = bench(rig)
    device, bridge = robot.add(TeleopPose), Bridge(robot)
    bridge.take_over(robot, device)
    start = robot.pose.copy()
    robot.is_silent()
    assert not robot.actions
    bridge.enable = True
    robot.until(lambda: len(robot.actions) > 5)
    np.testing.assert_allclose(robot.pose, start, atol=1e-6)
    assert robot.actions[0].header.frame_id == "pose_stream"
    bridge.walk(robot, "right", (0.06, 0.0, 0.04))
    part = robot.rig.layout.positions[1]
    robot.until(lambda: np.allclose(robot.pose[part], start[part] + [0.06, 0, 0.04], atol=2e-3))
    np.testing.assert_allclose(robot.pose[:3], start[:3], atol=1e-6)
    bridge.openings["right"] = 0.0
    if rig == "g1":
        robot.until(lambda: robot.channel("hands.squeeze") > 40.0)
    else:
        robot.until(lambda: robot.channel("right_gripper") < 0.05)
    bridge.enable = False
    robot.is_silent()
    there = robot.pose.copy()
    bridge.walk(robot, "right", (-0.06, 0.0, -0.04))  # the person comes back without the robot
    bridge.enable = True
    robot.probe.serve(0.4)
    np.testing.assert_allclose(robot.pose[part], there[part], atol=1e-6)


@pytest.mark.parametrize("loss", ["enable", "poses", "jump"])
def test_what_is_lost_needs_a_new_press(bench, loss):
    robot = bench("g1")
    device, bridge = robot.add(TeleopPose), Bridge(robot)
    bridge.take_over(robot, device)
    robot.probe.serve(0.2)
    bridge.enable = True
    robot.until(lambda: len(robot.actions) > 5)
    hands = dict(bridge.hands)
    if loss == "enable":
        bridge.enable = None
    elif loss == "poses":
        bridge.hands = {}
    else:
        bridge.hands["left"] = hands["left"] + 0.5
    robot.probe.until(lambda: "hold it again" in said(device))
    robot.is_silent()
    bridge.enable, bridge.hands = True, hands
    robot.is_silent()
    bridge.enable = False
    robot.probe.until(lambda: not said(device))
    bridge.enable = True
    count = len(robot.actions)
    robot.until(lambda: len(robot.actions) > count + 3)
    np.testing.assert_allclose(robot.pose[g1.LEFT_POSITION], g1.HOME_ACTION[g1.LEFT_POSITION], atol=1e-3)


def test_poses_that_are_late_or_none(bench):
    robot = bench("yam")
    device, bridge = robot.add(TeleopPose), Bridge(robot)
    bridge.take_over(robot, device)
    robot.probe.serve(0.2)
    bridge.enable = True
    robot.until(lambda: len(robot.actions) > 5)
    bridge.delay_ns = 400_000_000
    robot.probe.until(lambda: refused(device, "teleop/left_pose") > 0 and said(device))
    robot.is_silent()
    bridge.hands["left"] = np.full(3, np.nan)
    before = refused(device, "teleop/left_pose")
    robot.probe.until(lambda: refused(device, "teleop/left_pose") > before)
    bridge.openings["left"] = 3.0
    robot.probe.until(lambda: refused(device, "teleop/left_gripper") > 0)


def test_a_joy_button_as_dead_man(bench):
    robot = bench("yam")
    device, bridge = robot.add(TeleopPose, enable_button=2), Bridge(robot)
    joy = robot.probe.create_publisher(Joy, "/joy", 10)
    held = [0]
    timer = robot.probe.create_timer(0.02, lambda: joy.publish(Joy(buttons=[0, 0, *held])), clock=STEADY)
    bridge.enable = True  # counts for nothing
    bridge.take_over(robot, device)
    robot.is_silent()
    held[0] = 1
    robot.until(lambda: len(robot.actions) > 5)
    held[:] = []  # a pad without that button
    robot.probe.until(lambda: refused(device, "joy") > 0)
    robot.is_silent()
    timer.cancel()


def test_a_turned_room():
    stream = PoseStream(np.pi / 2)
    stream.feed_enable(False, 0.0)
    stream.feed_pose("left", [1, 0, 0, 0, 0, 0, 1], "room", 5.0, 0.0)
    assert stream.read(0.0).hands is None
    stream.feed_enable(True, 0.01)
    np.testing.assert_allclose(stream.read(0.02).hands.poses["left"][:3], [0, 1, 0], atol=1e-12)
    with pytest.raises(ValueError, match="stamp"):
        stream.feed_pose("left", [1, 0, 0, 0, 0, 0, 1], "room", 0.0, 0.02)
