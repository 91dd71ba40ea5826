"""g1_driver against a robot on its own wire: what it refuses, when it moves, and everything that makes it brake."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from controllers import g1
from retake.control.whole_body_controller import RESTART_GAP_NS
from retake.errors import UserError
from retake.g1.body import OURS, WEIGHT_SLOT
from retake.g1.driver import G1Driver
from retake.g1.gate import KP_POSTURE, LEASE_NS
from retake.ros import qos
from retake.ros.wire import JointStateCodec
from retake.unitree.dds import LOOPBACK, Bus
from retake.unitree.idl import LowCmd_
from retake.unitree.wire import command_encoder
from sim.g1_wire_walk import WALK
from tests.nodes.conftest import Probe, options

from .conftest import ordinary_priority

pytestmark = pytest.mark.heavy  # against the clock, with leases of 100 ms: not beside other work

CODEC = JointStateCodec(g1.JOINT_NAMES)
DEBUG = {"motion_service": ""}  # a robot whose own motion service is off


class Bench:
    """The node under test, a robot, and a controller that holds the home posture while `answers`."""

    def __init__(self, probe: Probe, robot, **parameters: object) -> None:
        self.probe, self.robot, self.answers = probe, robot, True
        self._ours = OURS if parameters.get("body") == "stock" else slice(0, 29)
        self.commands = probe.create_publisher(JointState, "joint_command", qos.STREAM)
        self.stamps: list[int] = []  # of joint_states
        self.applied: list[bytes] = []
        probe.create_subscription(JointState, "applied_joint_command", self.applied.append, qos.NEWEST, raw=True)
        probe.create_subscription(JointState, "joint_states", self._on_state, qos.NEWEST, raw=True)
        given = {"interface": LOOPBACK, "dds_domain": robot.domain, "ramp_s": 0.5, **parameters}
        self.node = G1Driver(**options(probe, **given))
        probe.add(self.node)
        probe.until(lambda: self.commands.get_subscription_count() and self.stamps)

    def _on_state(self, data: bytes) -> None:
        stamp, *_ = CODEC.decode(data)
        self.stamps.append(stamp)
        if self.answers:
            self.commands.publish(CODEC.encode(stamp, g1.Q_HOME, np.zeros(29), np.full(29, 2.0)))

    @property
    def phase(self) -> str:
        return self.node._gate.phase.value

    def start(self) -> None:
        """Press START, then A, until the motors have the controller's gains."""
        self.to_posture()
        self.probe.until(lambda: self.robot.keeps_pressing("A") and self._has_gains(g1.KP), 20.0)
        self.robot.press()

    def to_posture(self) -> None:
        """Press START until the standing posture is held."""
        self.probe.until(lambda: self.robot.keeps_pressing("start") and self._has_gains(KP_POSTURE), 20.0)
        self.robot.press()

    def _has_gains(self, kp: np.ndarray) -> bool:
        return bool(self.robot.commands) and np.allclose(self.robot.newest()["kp"][self._ours], kp[self._ours])

    def until_damped(self) -> None:
        self.probe.until(lambda: self.phase == "damped" and self.robot.is_damped)


@pytest.fixture
def bench(probe: Probe, make_robot) -> Iterator[Callable[..., Bench]]:
    benches: list[Bench] = []

    def make(parameters: dict | None = None, **build: object) -> Bench:
        robot = make_robot(**{**DEBUG, **build})
        if build.get("motion_service") == "ai":
            robot.robot.walk.enter(WALK)  # somebody has stood it up
        benches.append(Bench(probe, robot, **(parameters or {})))
        return benches[-1]

    yield make
    for made in benches:
        made.node.close()


def refusal(probe: Probe, robot, **parameters: object) -> str:
    """What the driver says when it does not start."""
    given = {"interface": LOOPBACK, "dds_domain": robot.domain, "patience_s": 1.0, **parameters}
    with pytest.raises(UserError) as refused:
        G1Driver(**options(probe, **given))
    return str(refused.value)


# What it refuses


def test_a_wrong_interface_is_named_with_those_that_are_there(probe: Probe, make_robot):
    robot = make_robot()
    assert "no network interface 'eth77'; here are: lo" in refusal(probe, robot, interface="eth77")
    with pytest.raises(UserError, match="g1_driver needs the parameter interface"):
        G1Driver(**options(probe))


def test_no_robot_and_a_damaged_one(probe: Probe, make_robot):
    robot = make_robot()
    robot.is_silent = True
    said = refusal(probe, robot)
    assert "no robot: nothing came on rt/lowstate in 1 s (interface lo, DDS domain" in said
    assert "interface:=NAME" in said
    robot.is_silent, robot.is_damaged = False, True
    assert "no state of the robot can be read: LowState with CRC" in refusal(probe, robot)


@pytest.mark.parametrize("build, said", [
    ({"mode_machine": 4}, "mode_machine is 4 (g1_23dof_rev_1_0), allowed is 5"),
    ({"battery_percent": 11}, "battery at 11 %, allowed from 20 %"),
    ({"motion_service": "ai"}, "the robot's own motion service 'ai' is on and writes rt/lowcmd too; hang the robot"),
])
def test_a_robot_that_must_not_be_moved_is_refused(probe: Probe, make_robot, build: dict, said: str):
    robot = make_robot(**{**DEBUG, **build})
    assert said in refusal(probe, robot)
    assert not robot.commands


def test_a_hot_joint_is_refused(probe: Probe, make_robot, world):
    robot = make_robot(**DEBUG)
    world.casing_c[3] = 91.0
    assert "too hot: left_knee_joint 96 °C; allowed are 85 °C" in refusal(probe, robot)


def test_another_program_on_rt_lowcmd_is_refused(probe: Probe, make_robot, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("retake.g1.checks.RIVAL_PATIENCE_S", 0.3)
    robot = make_robot(**DEBUG)
    with Rival(robot.domain):
        said = refusal(probe, robot)
    assert "another program writes rt/lowcmd (DDS participants " in said and "end it" in said


class Rival:
    """Another program that commands the robot, in a thread."""

    def __init__(self, domain: int) -> None:
        import threading

        self._writer = Bus(domain, LOOPBACK).writer("rt/lowcmd", LowCmd_)
        self._encoder, self._is_ended = command_encoder(), False
        self._encoder.record["mode_machine"] = 5
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Rival:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_ended = True
        self._thread.join()

    def _run(self) -> None:
        while not self._is_ended:
            self._writer.write(self._encoder.encode())
            time.sleep(0.01)


def test_body_stock_needs_the_motion_service(probe: Probe, make_robot):
    robot = make_robot(**DEBUG)
    assert "motion service is off, body:=stock needs it" in refusal(probe, robot, body="stock")
    robot.robot.service = "ai"  # on, but the robot is not standing
    assert "locomotion is in state {'data': 1}, body:=stock needs one of (500" in refusal(probe, robot, body="stock")


# When it moves


def test_it_releases_the_motion_service_when_told_to(bench):
    made = bench({"release": True}, motion_service="ai")
    assert made.robot.robot.service == ""
    assert made.phase == "ready"


def test_before_start_it_brakes_then_it_goes_to_its_posture_and_passes_commands_on(bench):
    made = bench()
    made.probe.until(lambda: len(made.robot.commands) > 20)
    assert made.phase == "ready" and made.robot.is_damped
    begin = len(made.robot.commands)
    made.to_posture()
    ramp = [record["motor"]["kp"][0] / KP_POSTURE[0] for _, record in made.robot.commands[begin:]]
    assert np.all(np.diff(ramp) > -1e-6) and max(np.diff(ramp)) < 0.25  # 2 ms of 0.5 s each, more on a busy machine
    np.testing.assert_allclose(made.robot.newest()["q"], g1.Q_HOME, atol=1e-6)
    assert not made.robot.newest()["tau"].any()
    made.start()
    motors, record = made.robot.newest(), made.robot.commands[-1][1]
    assert (record["mode_pr"], record["mode_machine"]) == (0, 5)
    np.testing.assert_allclose(motors["q"], g1.Q_HOME, atol=1e-6)
    np.testing.assert_allclose(motors["tau"], 2.0)
    np.testing.assert_allclose(motors["kd"], g1.KD, rtol=1e-6)
    assert np.all(record["motor"]["kp"][29:] == 0)
    stamp, position, _, effort, _ = CODEC.decode(made.applied[-1])
    np.testing.assert_allclose(position, g1.Q_HOME)
    np.testing.assert_allclose(effort, 2.0)
    assert 0 <= made.stamps[-1] - stamp < LEASE_NS


def test_everybody_starts_anew_when_the_controller_takes_the_robot(bench):
    made = bench()
    made.start()
    assert np.sum(np.diff(made.stamps) > RESTART_GAP_NS) == 1  # to controller, authority and policy: a new world
    kp = [record["motor"]["kp"][0] for _, record in made.robot.commands]
    first = next(i for i, value in enumerate(kp) if np.isclose(value, KP_POSTURE[0]))
    assert min(kp[first:]) >= g1.KP[0] - 1e-6  # the motors hold all the while


def test_only_answers_to_its_own_states_are_commands(bench):
    made = bench()
    made.answers = False
    made.probe.serve(0.2)
    refused = made.node._diagnostics.refused.get("joint_command", 0)
    newest = made.stamps[-1]
    for k, stamp in enumerate((newest + 10**9, newest - 10**9, newest - 1)):
        made.commands.publish(CODEC.encode(stamp, g1.Q_HOME, np.zeros(29), np.zeros(29)))
        made.probe.until(lambda k=k: made.node._diagnostics.refused.get("joint_command", 0) == refused + k + 1)
    made.commands.publish(CODEC.encode(newest, g1.Q_HOME * np.nan, np.zeros(29), np.zeros(29)))
    made.probe.until(lambda: made.node._diagnostics.refused["joint_command"] == refused + 4)


# What makes it brake


def test_no_joint_command_for_100_ms_damps_until_start(bench):
    made = bench()
    made.start()
    made.answers = False
    made.until_damped()
    last = next(at for at, record in reversed(made.robot.commands) if record["motor"]["kp"][0] > 0)
    first = next(at for at, record in made.robot.commands if at > last)
    assert first - last < 0.1 + 0.15  # the lease, and what a busy machine adds
    made.answers = True
    made.probe.serve(0.3)
    assert made.phase == "damped" and made.robot.is_damped  # commands alone do not bring it back
    made.start()


def test_l2_and_b_on_the_remote_damp(bench):
    made = bench()
    made.start()
    made.robot.press("L2", "B")
    made.until_damped()
    assert "L2+B" in made.node._gate.reason
    made.robot.press()
    made.probe.serve(0.1)
    assert made.robot.is_damped


def test_a_rival_that_appears_damps(bench):
    made = bench()
    made.start()
    with Rival(made.robot.domain):
        made.probe.until(lambda: made.phase == "damped")
        assert "another program writes rt/lowcmd" in made.node._gate.reason
        made.robot.press("start")
        made.probe.until(lambda: "remote" in made.node._diagnostics.refused)
        made.robot.press()
    made.probe.until(lambda: not made.node._gate.blocked)
    made.start()


def test_a_pulled_cable_damps_and_the_robot_is_checked_again(bench):
    made = bench()
    made.start()
    made.robot.is_silent = True
    made.until_damped()  # what we send may still arrive
    made.probe.until(lambda: made.phase == "checking")
    made.probe.serve(0.1)
    count = len(made.stamps)
    made.robot.robot.build = type(made.robot.robot.build)(mode_machine=6, motion_service="")
    made.robot.is_silent = False
    made.probe.until(lambda: len(made.stamps) > count)
    made.probe.until(lambda: "mode_machine is 6" in made.node._diagnostics._trouble.get("check", ""))
    made.robot.robot.build = type(made.robot.robot.build)(motion_service="")
    made.probe.until(lambda: made.phase == "ready")
    made.start()


def test_damaged_states_are_refused_and_then_count_as_silence(bench):
    made = bench()
    made.start()
    made.robot.is_damaged = True
    made.until_damped()
    made.probe.until(lambda: made.node._diagnostics.refused.get("rt/lowstate", 0) > 3)
    count = len(made.stamps)
    made.probe.serve(0.1)
    assert len(made.stamps) == count


@pytest.mark.heavy
def test_a_killed_guard_damps_and_is_replaced(bench):
    made = bench()
    made.start()
    old = made.node._link._guard._process
    old.kill()
    made.probe.until(lambda: made.phase != "active" and not made.robot.newest()["kp"].any() or made.phase == "checking")
    made.probe.until(lambda: made.phase == "ready")
    assert made.node._link._guard._process.pid != old.pid
    made.start()


def test_closing_the_driver_brakes(bench):
    made = bench()
    made.start()
    made.node.close()
    assert made.robot.is_damped


@pytest.mark.heavy
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_driver_that_dies_leaves_a_braked_robot(probe: Probe, make_robot, number: int):
    robot = make_robot(**DEBUG)
    command = [sys.executable, "-m", "retake.g1.driver", "--ros-args", "-r", "__ns:=/g1", "-p", "interface:=lo", "-p",
               f"dds_domain:={robot.domain}", "-p", "ramp_s:=0.5"]
    process = subprocess.Popen(command, preexec_fn=ordinary_priority)
    try:
        commands = probe.create_publisher(JointState, "joint_command", qos.STREAM)
        probe.create_subscription(JointState, "joint_states", lambda data: commands.publish(CODEC.encode(
            CODEC.decode(data)[0], g1.Q_HOME, np.zeros(29), np.zeros(29))), qos.NEWEST, raw=True)
        probe.until(lambda: robot.commands and robot.is_damped, 30.0)
        for buttons, gains in ((("start",), KP_POSTURE), (("A",), g1.KP)):
            probe.until(lambda buttons=buttons, gains=gains: robot.keeps_pressing(*buttons)
                        and np.allclose(robot.newest()["kp"], gains), 20.0)
        process.send_signal(number)
        process.wait(10)
        gone = time.monotonic()
        probe.until(lambda: robot.is_damped, 5.0)
        first = next(at for at, record in robot.commands if at > gone - 1.0 and not record["motor"]["kp"].any())
        assert first - gone < 0.25
    finally:
        process.kill()


# body:=stock


def test_the_firmware_keeps_the_legs_and_gets_height_and_velocity(bench, probe: Probe):
    made = bench({"body": "stock"}, motion_service="ai", topic="rt/arm_sdk")
    robot = made.robot
    references = probe.create_publisher(JointTrajectory, "reference", qos.STREAM)
    reference = JointTrajectory(joint_names=["base.height", "base.vx"],
                                points=[JointTrajectoryPoint(positions=[0.66, 0.2])])
    made.start()
    record = robot.commands[-1][1]
    assert record["motor"]["q"][WEIGHT_SLOT] == 1.0
    for name in ("q", "kp", "kd", "tau"):
        assert not record["motor"][name][g1.LEG_JOINTS].any()
    np.testing.assert_allclose(record["motor"]["q"][OURS], g1.Q_HOME[OURS], atol=1e-6)
    weights = [record["motor"]["q"][WEIGHT_SLOT] for _, record in robot.commands]
    assert max(np.diff(weights)) < 0.25 and min(np.diff(weights)) >= 0.0  # up over the ramp, no step
    probe.until(lambda: references.get_subscription_count())
    probe.until(lambda: references.publish(reference) or abs(robot.robot.walk.height - 0.66) < 1e-6
                and robot.robot.walk.velocity[0] == 0.2)
    _, position, _, effort, _ = CODEC.decode(made.applied[-1])
    assert not effort[g1.LEG_JOINTS].any() and effort[OURS].any()  # what was not ours is reported as it was found
    probe.until(lambda: not robot.robot.walk.velocity.any())  # nobody repeats the reference: it stands still
    robot.press("L2", "B")
    probe.until(lambda: robot.commands[-1][1]["motor"]["q"][WEIGHT_SLOT] == 0.0)
    fall = [record["motor"]["q"][WEIGHT_SLOT] for _, record in robot.commands[-400:]]
    assert min(np.diff(fall)) > -0.1  # the arms go back to the firmware bit by bit
