"""ros2_arm_driver with a Panda whose own driver speaks ros2_control's topics; and arms from any URDF."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from controllers import arm
from controllers.arm_any import any_arm_rig
from controllers.arm_controller import ArmController, ArmSensors
from controllers.arm_model import model_path
from controllers.rigs import PANDA, YAM
from retake.arms.ros2_driver import Ros2ArmDriver
from retake.control.arm_controller import ArmControllerNode
from retake.control.authority import AuthorityNode
from retake.errors import UserError
from retake.ros import conversions, qos
from retake.ros.spin import STEADY
from tests.nodes.conftest import Probe, options

try:
    URDF = model_path("panda")
except FileNotFoundError as missing:
    pytest.skip(str(missing), allow_module_level=True)
FINGERS = ("panda_finger_joint1", "panda_finger_joint2")


class Vendor(Node):
    """The Panda's own driver: states at 250 Hz in an order of its own, set-points followed with a lag."""

    def __init__(self, probe: Probe, kind: type) -> None:
        super().__init__("vendor", namespace="panda", context=probe.context)
        self.q, self.goal = np.array(arm.PANDA.q_home), np.array(arm.PANDA.q_home)
        self.heard: list[np.ndarray] = []
        self.states = self.create_publisher(JointState, "/joint_states", 10)
        topic = "/arm_commands"
        self.create_subscription(kind, topic, self._on_command, 10)
        self.create_timer(arm.CONTROL_DT, self._tick, clock=STEADY)
        self.is_silent = False

    def _on_command(self, message: JointTrajectory | Float64MultiArray) -> None:
        if isinstance(message, JointTrajectory):
            assert tuple(message.joint_names) == PANDA.joint_names and len(message.points) == 1
            assert message.points[0].time_from_start.nanosec > 0
            self.goal = np.array(message.points[0].positions)
        else:
            self.goal = np.array(message.data)
        self.heard.append(self.goal)

    def _tick(self) -> None:
        if self.is_silent:
            return
        before = self.q
        self.q = self.q + 0.3 * (self.goal - self.q)
        names = [*FINGERS, *reversed(PANDA.joint_names)]
        state = JointState(name=names, position=[0.02, 0.02, *self.q[::-1].tolist()],
                           velocity=[0.0, 0.0, *((self.q - before) / arm.CONTROL_DT)[::-1].tolist()])
        state.header.stamp = self.get_clock().now().to_msg()
        self.states.publish(state)


@pytest.mark.parametrize(("commands_as", "kind"), [("trajectory", JointTrajectory), ("positions", Float64MultiArray)])
def test_a_panda_follows_a_persons_hand(probes, commands_as, kind):
    probe = probes("panda")
    vendor = probe.add(Vendor(probe, kind))
    given = {"commands": "/arm_commands", "commands_as": commands_as}
    driver = probe.add(Ros2ArmDriver(**options(probe, **given)))
    states = probe.listen(JointState, "joint_states")
    probe.until(lambda: len(states) > 10, 20)
    assert tuple(states[-1].name) == PANDA.joint_names and not vendor.heard  # nobody commands: nothing is sent
    probe.add(ArmControllerNode(**options(probe, robot="panda")))
    probe.add(AuthorityNode(**options(probe, robot="panda")))
    ticks = probe.listen(JointTrajectory, "measured_action")
    teleop = probe.create_publisher(JointTrajectory, "teleop_action", qos.STREAM)
    probe.until(lambda: len(ticks) > 5, 60)
    assert probe.call(Trigger, "take_over").success
    start = conversions.action_from(ticks[-1], PANDA)
    goal, seen = start.copy(), len(ticks)

    def drive() -> bool:
        nonlocal seen
        if len(ticks) > seen:
            teleop.publish(conversions.action_message(goal, conversions.stamp_ns(ticks[-1].header.stamp), PANDA))
            goal[2], seen = start[2] - 0.06, len(ticks)
        return abs(conversions.action_from(ticks[-1], PANDA)[2] - start[2] + 0.06) < 0.01

    probe.until(drive, 20)
    steps = np.abs(np.diff(np.array(vendor.heard), axis=0)).max(axis=0)
    assert (steps <= arm.PANDA.dq_max * 0.05 + 1e-9).all()
    assert driver._diagnostics.refused.get("joint_command", 0) < 50


def test_states_that_lack_something_are_refused(probes):
    probe = probes("panda")
    states = probe.create_publisher(JointState, "/joint_states", 10)
    driver = probe.add(Ros2ArmDriver(**options(probe, commands="/arm_commands")))
    probe.until(lambda: states.get_subscription_count())
    bad = JointState(name=PANDA.joint_names, position=[0.0] * 7)
    states.publish(bad)  # no stamp
    probe.until(lambda: driver._diagnostics.refused.get("/joint_states") == 1)
    bad.header.stamp.sec = 5
    bad.name = [*PANDA.joint_names[:-1], "elsewhere"]
    states.publish(bad)
    probe.until(lambda: driver._diagnostics.refused.get("/joint_states") == 2)


def test_a_first_set_point_far_away_is_refused(probes):
    probe = probes("panda")
    vendor = probe.add(Vendor(probe, JointTrajectory))
    driver = probe.add(Ros2ArmDriver(**options(probe, commands="/arm_commands")))
    ours = probe.listen(JointState, "joint_states")
    commands = probe.create_publisher(JointState, "joint_command", 10)
    probe.until(lambda: len(ours) > 5 and commands.get_subscription_count(), 20)

    def send() -> int:
        far = JointState(header=ours[-1].header, name=PANDA.joint_names, position=(vendor.q + 0.5).tolist(),
                         velocity=[0.0] * 7, effort=[0.0] * 7)
        commands.publish(far)
        return driver._diagnostics.refused.get("joint_command", 0) > 3

    probe.until(send, 10)
    assert not vendor.heard


def test_wrong_parameters_are_refused(probes):
    probe = probes("panda")
    with pytest.raises(UserError, match="trajectory, positions"):
        Ros2ArmDriver(**options(probe, commands_as="torques"))
    with pytest.raises((UserError, ValueError), match="without grippers"):
        Ros2ArmDriver(**options(probe, robot=YAM.name))


@pytest.mark.parametrize("path", ["ur_description/urdf/ur5_joint_limited_robot.urdf", "z1_description/urdf/z1.urdf"])
def test_any_urdf_makes_a_rig(path):
    urdf = URDF.parents[2] / path
    if not urdf.is_file():
        pytest.skip(f"{path} is not in this wheel")
    link = {"ur": "tool0", "z1": "link06"}[path[:2]]
    rig = any_arm_rig("some_arm", Path(urdf), link, joints=() if path.startswith("ur") else tuple(
        f"joint{k}" for k in range(1, 7)))
    controller = ArmController(rig)
    q = np.array([0.1, -1.2, 1.5, -1.8, -1.5, 0.2]) if path.startswith("ur") else np.array(
        [0.1, 1.0, -0.8, -0.3, 0.1, 0.2])
    command = controller.step(ArmSensors(q, 0 * q, 0 * q), None)
    goal = controller.measured_action
    goal[:3] += 0.05 * np.array([-1.0, 0.5, 0.5])
    for _ in range(500):
        command = controller.step(ArmSensors(q, command.dq_des, 0 * q), goal)
        q = command.q_des.copy()
    np.testing.assert_allclose(controller.measured_action[:3], goal[:3], atol=2e-3)


def test_files_without_what_is_needed_are_refused():
    with pytest.raises(ValueError, match="has no joint elbow"):
        any_arm_rig("x", URDF, "panda_hand_tcp", joints=("elbow",))
    with pytest.raises(ValueError, match="no link"):
        any_arm_rig("x", URDF, "toe", joints=arm.PANDA.joints)
