"""whole_body_controller on real messages: answers states, obeys only answers to its ticks, keeps quiet when blind."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from nav_msgs.msg import Odometry
from sensor_msgs.msg import Imu, JointState
from trajectory_msgs.msg import JointTrajectory

from controllers import g1
from controllers.rigs import G1
from retake.control.whole_body_controller import WholeBodyController
from retake.errors import UserError
from retake.ros import conversions, qos
from retake.ros.lockstep import PATIENCE_S
from retake.ros.wire import ImuCodec, JointStateCodec

from .conftest import Probe, options

MS = 1_000_000
START = 1980 * MS
STATES, IMUS = JointStateCodec(g1.JOINT_NAMES), ImuCodec(g1.IMU_LINK)
UPRIGHT, GRAVITY, ZERO = np.array([0.0, 0.0, 0.0, 1.0]), np.array([0.0, 0.0, 9.81]), np.zeros(29)


class Robot:
    """Publishes a standing robot's state and hears the node under test."""

    def __init__(self, probe: Probe, **parameters: object) -> None:
        self.probe, known = probe, probe.count_publishers
        self.states = probe.create_publisher(JointState, "joint_states", qos.STREAM)
        self.imu = probe.create_publisher(Imu, "imu", qos.STREAM)
        self.reference = probe.create_publisher(JointTrajectory, "reference", qos.STREAM)
        self.commands = probe.listen(JointState, "joint_command")
        self.ticks = probe.listen(JointTrajectory, "measured_action")
        self.odometry = probe.listen(Odometry, "odometry")
        self.node = probe.add(WholeBodyController(**options(probe, **parameters)))
        probe.until(
            lambda: (
                self.states.get_subscription_count()
                and self.reference.get_subscription_count()
                and known("joint_command")
                and known("measured_action")
            )
        )
        probe.serve(0.3)

    def send(self, stamp: int, q: np.ndarray = g1.Q_HOME, quat: np.ndarray = UPRIGHT) -> None:
        self.imu.publish(IMUS.encode(stamp, quat, np.zeros(3), GRAVITY))
        self.states.publish(STATES.encode(stamp, q, ZERO, ZERO))

    def answer(self, stamp: int, **state: np.ndarray) -> JointState:
        """The command that answers this state."""
        self.send(stamp, **state)
        self.probe.until(lambda: self.commands and conversions.stamp_ns(self.commands[-1].header.stamp) == stamp)
        return self.commands[-1]

    def refused(self, name: str) -> int:
        return self.node._diagnostics.refused.get(name, 0)


@pytest.fixture
def robot(probe: Probe) -> Robot:
    return Robot(probe)


def test_answers_each_state_with_its_stamp(robot: Robot) -> None:
    for k in range(21):
        command = robot.answer(START + 2 * MS * k)
        assert tuple(command.name) == g1.JOINT_NAMES
        assert np.all(np.isfinite(command.position)) and np.all(np.abs(command.effort) <= g1.TAU_MAX + 1e-9)
    robot.probe.serve(0.1)
    assert len(robot.commands) == 21
    assert [conversions.stamp_ns(m.header.stamp) - START for m in robot.ticks] == [0, 20 * MS, 40 * MS]
    assert [conversions.stamp_ns(m.header.stamp) - START for m in robot.odometry] == [10 * MS * k for k in range(5)]
    action = conversions.action_from(robot.ticks[-1], G1)
    assert abs(action[g1.BASE_HEIGHT] - g1.HOME_ACTION[g1.BASE_HEIGHT]) < 0.1
    assert robot.odometry[0].pose.pose.position.z == pytest.approx(conversions.action_from(robot.ticks[0], G1)[14])


def test_publishes_nothing_without_state_or_with_half_of_it(robot: Robot) -> None:
    robot.probe.serve(0.3)
    robot.states.publish(STATES.encode(START, g1.Q_HOME, ZERO, ZERO))
    robot.imu.publish(IMUS.encode(START + 2 * MS, UPRIGHT, np.zeros(3), GRAVITY))
    robot.probe.serve(0.3)
    assert not robot.commands and not robot.ticks


def test_broken_states_are_refused_and_counted(robot: Robot) -> None:
    robot.answer(START)
    robot.send(START + 2 * MS, q=np.where(np.arange(29) == 3, np.nan, g1.Q_HOME))
    robot.probe.serve(0.2)
    robot.send(START + 4 * MS, quat=np.zeros(4))
    short = JointState(name=g1.JOINT_NAMES[:28], position=[0.0] * 28, velocity=[0.0] * 28, effort=[0.0] * 28)
    short.header.stamp = conversions.time_message(START + 6 * MS)
    robot.states.publish(short)
    robot.probe.serve(0.2)
    assert len(robot.commands) == 1
    assert (robot.refused("joint_states"), robot.refused("imu")) == (2, 1)
    robot.answer(START + 8 * MS)  # and picks up again


def test_only_answers_to_its_own_ticks_are_references(robot: Robot) -> None:
    robot.answer(START)
    good = conversions.action_message(g1.HOME_ACTION, START, G1)
    nan = conversions.action_message(np.where(np.arange(17) == 2, np.nan, g1.HOME_ACTION), START, G1)
    foreign = conversions.action_message(g1.HOME_ACTION, START + 7 * MS, G1)
    unnamed = conversions.action_message(g1.HOME_ACTION, START, G1)
    unnamed.joint_names = list(g1.ACTION_CHANNELS[:-1])
    robot.probe.until(lambda: robot.ticks)
    for message, refused in ((foreign, 1), (nan, 2), (unnamed, 3), (good, 3), (good, 4)):
        robot.reference.publish(message)
        robot.probe.serve(0.1)
        assert robot.refused("reference") == refused


def test_a_lost_reference_is_said_and_the_robot_is_still_commanded(robot: Robot) -> None:
    robot.answer(START)
    robot.probe.until(lambda: robot.ticks)
    robot.reference.publish(conversions.action_message(g1.HOME_ACTION, START, G1))
    robot.probe.serve(0.1)
    for k in range(1, 105):
        robot.answer(START + 2 * MS * k)
    assert "reference" in robot.node._diagnostics._trouble
    assert len(robot.commands) == 105


def test_a_restarted_world_starts_the_controller_anew(robot: Robot) -> None:
    first = robot.answer(START)
    for k in range(1, 4):
        robot.answer(START + 2 * MS * k)
    again = robot.answer(START + 1980 * MS)
    assert again.position == first.position and again.effort == first.effort
    robot.probe.until(lambda: len(robot.ticks) == 2)


def test_a_fall_is_damped(robot: Robot) -> None:
    robot.answer(START)
    lying = np.array([0.0, np.sin(0.75), 0.0, np.cos(0.75)])
    for k in range(1, 200):
        command = robot.answer(START + 2 * MS * k, quat=lying)
        if command.header.frame_id == "damp":
            break
    assert command.header.frame_id == "damp"
    assert np.all(np.array(command.effort) == 0) and np.all(np.array(command.velocity) == 0)


def test_lockstep_waits_for_the_reference_of_its_tick(probe: Probe) -> None:
    robot = Robot(probe, lockstep=True)
    robot.answer(START)
    robot.send(START + 2 * MS)
    probe.serve(0.3)
    assert len(robot.commands) == 1
    robot.reference.publish(conversions.action_message(g1.HOME_ACTION, START, G1))
    probe.until(lambda: len(robot.commands) == 2)


def test_lockstep_goes_on_without_an_authority_that_does_not_answer(probe: Probe) -> None:
    robot = Robot(probe, lockstep=True)
    robot.answer(START)
    robot.send(START + 2 * MS)
    probe.until(lambda: len(robot.commands) == 2, timeout_s=PATIENCE_S + 5.0)
    robot.answer(START + 4 * MS)  # at once
    assert "lockstep.authority" in robot.node._diagnostics._trouble
    robot.reference.publish(conversions.action_message(g1.HOME_ACTION, START, G1))
    probe.until(lambda: "lockstep.authority" not in robot.node._diagnostics._trouble)


def test_a_second_controller_does_not_start(probe: Probe) -> None:
    writer = probe.create_publisher(JointState, "joint_command", qos.STREAM)
    ended = threading.Event()

    def write() -> None:  # the constructor listens while nobody serves the probe
        while not ended.wait(0.005):
            writer.publish(STATES.encode(START, g1.Q_HOME, ZERO, ZERO))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        with pytest.raises(UserError, match="/g1/joint_command already has a writer"):
            WholeBodyController(**options(probe))
    finally:
        ended.set()
        thread.join()


def test_a_silent_publisher_is_no_writer(probe: Probe) -> None:
    """A killed controller is listed for 20 s; the one that takes its place must start."""
    probe.create_publisher(JointState, "joint_command", qos.STREAM)
    Robot(probe).answer(START)
