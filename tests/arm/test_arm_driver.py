"""arm_driver against motors emulated on a python-can bus, whose joints MuJoCo moves."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import can
import numpy as np
import pytest
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from controllers import arm
from controllers.rigs import YAM
from retake.arms import dm_motor
from retake.arms.dm_bus import ERROR_BUS_OFF, BusError
from retake.arms.driver import ArmDriver
from retake.control.arm_controller import ArmControllerNode
from retake.control.authority import AuthorityNode
from retake.errors import UserError
from retake.ros import conversions, qos
from retake.ros.wire import JointStateCodec
from sim import arm_table
from sim.arm_world import ArmWorld
from sim.dm_emulator import EmulatedArms
from tests.nodes.conftest import Probe, options

# homes and moves against the clock: on a machine that is busy with other things the emulated motors come too late
real_time = pytest.mark.heavy

channels = (f"arm{k}" for k in itertools.count())
CODEC = JointStateCodec(YAM.joint_names)


class Cable:
    """An emulated arm, and what it takes to drive it."""

    def __init__(self) -> None:
        self.channel = next(channels)
        self.arms = EmulatedArms(ArmWorld(YAM, arm_table.add_scene), "virtual", [self.channel])
        self.motors = self.arms.chains[0].motors
        self.arms.start()

    def driver(self, probe: Probe, **parameters: object) -> ArmDriver:
        return probe.add(ArmDriver(**options(probe, interface="virtual", can=self.channel, **parameters)))


@pytest.fixture
def cable() -> Iterator[Cable]:
    cable = Cable()
    yield cable
    cable.arms.stop.set()
    cable.arms.join(5)


def start(probe: Probe, cable: Cable) -> tuple[ArmDriver, list[JointState]]:
    """A driver that has homed and publishes."""
    states = probe.listen(JointState, "joint_states")
    driver = cable.driver(probe)
    probe.until(lambda: len(states) > 5 or driver._loop.refusal, 30)
    assert driver._loop.refusal is None
    return driver, states


def refusal(probe: Probe, cable: Cable, **parameters: object) -> str:
    """Why the driver does not start."""
    driver = cable.driver(probe, **parameters)
    end = time.monotonic() + 20
    while driver._loop.refusal is None and time.monotonic() < end:
        time.sleep(0.01)
    assert isinstance(driver._loop.refusal, BusError)
    with pytest.raises(UserError):
        probe.serve(1.0)  # the node ends with it
    return str(driver._loop.refusal)


@real_time
def test_homes_holds_and_follows(yam_probe, cable):
    commands = yam_probe.create_publisher(JointState, "joint_command", qos.STREAM)
    driver, states = start(yam_probe, cable)
    assert tuple(states[-1].name) == YAM.joint_names
    link = driver._links[0]
    assert link._stroke == pytest.approx(arm.GRIPPER_TURN, abs=0.1)  # homed against the fingers' stops
    yam_probe.serve(0.5)
    np.testing.assert_allclose(states[-1].position[:6], arm.YAM.q_home, atol=0.03)  # held against gravity meanwhile
    goal = np.append(arm.YAM.q_home + [0.15, -0.1, 0.1, 0.1, 0.1, 0.2], 0.3)
    applied = yam_probe.listen(JointState, "applied_joint_command")
    gravity = driver._loop._model.inverse_dynamics(goal[:6], np.zeros(6), np.zeros(6))

    def drive() -> bool:
        stamp = conversions.stamp_ns(states[-1].header.stamp)
        q = np.array(states[-1].position)
        step = q + np.clip(goal - q, -0.1, 0.1)
        commands.publish(CODEC.encode(stamp, step, np.zeros(7), np.append(gravity, 0.0)))
        return bool(np.abs(q - goal).max() < 0.03)

    yam_probe.until(drive, 15)
    assert len(applied) > 20 and np.abs(np.array(applied[-1].position) - goal).max() < 0.1
    yam_probe.until(lambda: driver._loop.is_holding, 5)  # nobody commands any more
    yam_probe.serve(0.3)
    np.testing.assert_allclose(states[-1].position, goal, atol=0.05)


@real_time
def test_temperatures_and_errors_stop_the_arm_until_a_person_clears_them(yam_probe, cable):
    driver, states = start(yam_probe, cable)
    cable.motors[2].rotor_c = 95
    yam_probe.until(lambda: "95 °C" in driver._loop.problem, 5)
    cable.motors[2].rotor_c = 50
    yam_probe.serve(0.2)
    assert driver._loop.problem  # it does not end by itself
    assert yam_probe.call(Trigger, "clear_errors").success
    yam_probe.until(lambda: not driver._loop.problem, 5)
    cable.motors[4].code = 0xA
    yam_probe.until(lambda: "motor 4 (joint4)" in driver._loop.problem and "over current" in driver._loop.problem, 5)
    assert yam_probe.call(Trigger, "clear_errors").success
    yam_probe.until(lambda: not driver._loop.problem and cable.motors[4].code == dm_motor.ENABLED, 5)
    cable.motors[6].is_mute = True
    yam_probe.until(lambda: "motor 6 (joint6)" in driver._loop.problem, 5)
    before, cycles = len(states), driver._loop.cycles
    yam_probe.serve(0.2)
    assert driver._loop.cycles > cycles + 10  # the others are still held
    assert len(states) <= before + 1  # but a state without one joint is none


@real_time
def test_bus_off_ends_the_driver_by_name(yam_probe, cable):
    driver, _ = start(yam_probe, cable)
    saboteur = can.Bus(interface="virtual", channel=cable.channel)
    saboteur.send(can.Message(arbitration_id=ERROR_BUS_OFF, is_error_frame=True, data=bytes(8)))
    with pytest.raises(BusError, match="off after too many errors; .*ip link set"):
        yam_probe.serve(3.0)
    saboteur.shutdown()
    time.sleep(1.2 * arm.MOTOR_TIMEOUT_S)
    assert {motor.code for motor in cable.motors.values()} == {dm_motor.LOST_COMMUNICATION}  # the motors damp alone


def test_the_wrong_motor_is_refused_by_name(yam_probe, cable):
    cable.motors[3].is_mute = True
    said = refusal(yam_probe, cable)
    assert "motor 3 (joint3)" in said and "[1, 2, 4, 5, 6, 7]" in said


@pytest.mark.parametrize(("register", "value", "says"), [
    (dm_motor.CTRL_MODE, 2, "control mode 2, allowed is 1"),
    (dm_motor.TMAX, 10.0, "another motor"),
    (dm_motor.TIMEOUT, 0, "for ever when this driver dies"),
])  # fmt: skip
def test_motors_that_are_set_up_wrong_are_refused(yam_probe, cable, register, value, says):
    cable.motors[1].registers[register] = value
    assert says in refusal(yam_probe, cable)


def test_errors_at_start_and_lost_zeros_are_refused(yam_probe, cable):
    cable.motors[5].code = 0xC
    assert "winding too hot; let it cool, then start with clear_errors:=true" in refusal(yam_probe, cable)


def test_a_joint_beyond_its_limits_is_refused(yam_probe, cable):
    cable.motors[2].lost_zero = -2.2
    assert "its zero is lost" in refusal(yam_probe, cable)


def test_no_bus_and_wrong_counts_are_refused(yam_probe):
    with pytest.raises(UserError, match="ip link set can99 up"):
        ArmDriver(**options(yam_probe, interface="socketcan", can="can99"))
    with pytest.raises((UserError, ValueError), match="name one per arm"):
        ArmDriver(**options(yam_probe, interface="virtual", can="a,b"))


@real_time
def test_controller_and_authority_drive_it_as_they_drive_the_simulation(yam_probe, cable):
    driver, _ = start(yam_probe, cable)
    yam_probe.add(ArmControllerNode(**options(yam_probe)))
    yam_probe.add(AuthorityNode(**options(yam_probe, robot="yam")))
    ticks = yam_probe.listen(JointTrajectory, "measured_action")
    teleop = yam_probe.create_publisher(JointTrajectory, "teleop_action", qos.STREAM)
    yam_probe.until(lambda: len(ticks) > 5, 60)
    assert yam_probe.call(Trigger, "take_over").success
    start_pose = conversions.action_from(ticks[-1], YAM)
    goal, seen = start_pose.copy(), len(ticks)
    first = True

    def drive() -> bool:
        nonlocal seen, first
        if len(ticks) > seen:
            seen = len(ticks)
            stamp = conversions.stamp_ns(ticks[-1].header.stamp)
            teleop.publish(conversions.action_message(start_pose if first else goal, stamp, YAM))
            first = False
            goal[2] = start_pose[2] + 0.05
        return abs(conversions.action_from(ticks[-1], YAM)[2] - start_pose[2] - 0.05) < 0.01

    yam_probe.until(drive, 20)
    assert driver._loop.problem == ""
