"""The robot at the end of the cable, spoken to as a program of Unitree's SDK does: cyclonedds types, its CRC, its RPC.

The program is in this process and steps the world itself, so that nothing depends on the wall clock.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from cyclonedds.domain import DomainParticipant
from cyclonedds.pub import DataWriter
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic

from controllers import g1
from retake.unitree.dds import LOOPBACK, Bus
from retake.unitree.idl import (
    Request_,
    RequestHeader_,
    RequestIdentity_,
    RequestLease_,
    RequestPolicy_,
    Response_,
)
from retake.unitree.remote import Remote
from sim.g1_wire_robot import Build, WireRobot
from sim.g1_wire_walk import WALK
from sim.g1_wire_world import HANGING_M, WireWorld

from . import sdk

STEP_NS = 2_000_000


class Program:
    """A program of the SDK, and the robot it talks to, step by step."""

    def __init__(self, domain: int, world: WireWorld, **build: object) -> None:
        world.reset(0)
        self.world = world
        self.robot = WireRobot(Bus(domain, LOOPBACK), world, Build(**build))  # type: ignore[arg-type]
        self.participant = DomainParticipant(domain)
        self.command = sdk.command()
        self.command.mode_machine = 5
        self._low = self._writer("rt/lowcmd", sdk.LowCmd_)
        self._arm = self._writer("rt/arm_sdk", sdk.LowCmd_)
        self._states = DataReader(self.participant, Topic(self.participant, "rt/lowstate", sdk.LowState_))
        self._now = 10**12
        self.until(lambda: self._states.get_subscription_matched_status().current_count)

    def _writer(self, topic: str, kind: type) -> DataWriter:
        writer = DataWriter(self.participant, Topic(self.participant, topic, kind))
        self.until(lambda: writer.get_publication_matched_status().current_count)
        return writer

    @staticmethod
    def until(condition: Callable[[], object]) -> None:
        end = time.monotonic() + 10.0
        while not condition():
            assert time.monotonic() < end, "it did not happen in time"
            time.sleep(0.005)

    def send(self, topic: str = "rt/lowcmd", crc: int | None = None) -> None:
        """Write the command, and wait until the robot's socket has it."""
        self.command.crc = sdk.plain_crc(self.command) if crc is None else crc
        writer, reader = (self._low, self.robot._low) if topic == "rt/lowcmd" else (self._arm, self.robot._arm)
        writer.write(self.command)
        self.until(lambda: reader._entity.read(1))

    def step(self, count: int = 1) -> sdk.LowState_:
        """So many control periods; the state after them."""
        for _ in range(count):
            self._now += STEP_NS
            self.world.step_motors(self.robot.update(self.world.sensors(), self._now))
        tick = self._now // 1_000_000 % 2**32
        found: list[sdk.LowState_] = []

        def has_come() -> bool:
            self.robot.publish(self.world.sensors(), self._now)  # again when it was lost: readers are best effort
            found.extend(state for state in self._states.take(8) if state.tick == tick)
            return bool(found)

        self.until(has_come)
        return found[-1]

    def hold(self, seconds: float, **gains: float) -> sdk.LowState_:
        """Command every motor to the newest `q` for so long, a new command every 20 steps."""
        state = None
        for _ in range(round(seconds / 0.04)):
            self.send()
            state = self.step(20)
        assert state is not None
        return state

    def call(self, service: str, api: int, **parameter: object) -> tuple[int, object]:
        """Code and data of a service call."""
        requests = self._writer(f"rt/api/{service}/request", Request_)
        responses = DataReader(self.participant, Topic(self.participant, f"rt/api/{service}/response", Response_))
        self.until(lambda: responses.get_subscription_matched_status().current_count)
        header = RequestHeader_(RequestIdentity_(api, api), RequestLease_(0), RequestPolicy_(0, False))
        requests.write(Request_(header, json.dumps(parameter), []))
        answers: list[Response_] = []
        self.until(lambda: self.step(5) and answers.extend(responses.take(4)) or answers)
        data = answers[-1].data
        return answers[-1].header.status.code, json.loads(data) if data else None


@pytest.fixture
def make(domain: int, world: WireWorld) -> Iterator[Callable[..., Program]]:
    yield lambda **build: Program(domain, world, **build)


def test_a_state_is_whole_and_its_crc_is_right(make):
    program = make()
    program.robot.remote = Remote(frozenset({"A", "L2"}), lx=0.5)
    state = program.step()
    assert state.crc == sdk.plain_crc(state) and state.mode_machine == 5
    sensors = program.world.sensors()
    np.testing.assert_allclose([motor.q for motor in state.motor_state[:29]], sensors.q, atol=1e-6)
    w, x, y, z = state.imu_state.quaternion
    np.testing.assert_allclose([x, y, z, w], sensors.quat_xyzw, atol=1e-6)
    assert all(20 < motor.temperature[0] < 60 for motor in state.motor_state[:29])
    keys = bytes(state.wireless_remote[2:4])
    assert keys == bytes([0x20, 0x01])  # L2 is bit 5, A is bit 8


def test_the_motor_law_of_each_motor_has_the_commands_gains(make):
    program = make(motion_service="")
    program.world.hang_up()
    q = np.zeros(29)
    q[g1.JOINT_NAMES.index("left_elbow_joint")] = 1.2
    for i, motor in enumerate(program.command.motor_cmd[:29]):
        motor.mode, motor.q, motor.kp, motor.kd, motor.tau = 1, float(q[i]), 60.0, 2.0, 0.01
    state = program.hold(2.0)
    assert state.motor_state[18].q == pytest.approx(1.2, abs=0.15)  # gravity pulls at a soft joint
    assert program.robot.held_s(program._now) > 1.0
    for motor in program.command.motor_cmd:
        motor.mode = 0
    program.send()
    elbow = program.step(1).motor_state[18]
    assert abs(elbow.tau_est) < 1e-3  # disabled is limp, whatever the gains say


def test_commands_that_a_robot_would_not_take(make):
    program = make(motion_service="")
    for motor in program.command.motor_cmd:
        motor.mode, motor.kp, motor.q = 1, 100.0, 1.0
    program.send(crc=12345)
    program.step(2)
    assert "LowCmd with CRC 0x00003039" in program.robot.refused.pop()
    program.command.mode_machine = 4
    program.send()
    program.step(2)
    assert "mode_machine 4, mine is 5" in program.robot.refused.pop()
    assert not program.robot._newest.motors.kp.any()


def test_a_motor_that_hears_nothing_brakes(make):
    program = make(motion_service="")
    for motor in program.command.motor_cmd:
        motor.mode, motor.kp, motor.kd = 1, 50.0, 1.0
    program.send()
    program.step(1)
    assert np.all(program.robot.update(program.world.sensors(), program._now).kp[:29] == 50.0)
    program.step(60)
    motors = program.robot.update(program.world.sensors(), program._now)
    assert not motors.kp.any() and np.all(motors.kd > 0)


def test_the_motion_switcher_names_releases_and_selects(make):
    program = make()
    assert program.call("motion_switcher", 1001) == (0, {"form": "0", "name": "ai"})
    assert program.call("motion_switcher", 1003) == (0, None)
    assert program.call("motion_switcher", 1001) == (0, {"form": "0", "name": ""})
    assert program.call("sport", 7001)[0] != 0  # the locomotion service went with it
    assert program.call("motion_switcher", 1002, name="ai") == (0, None)
    assert program.call("motion_switcher", 1002, name="jazz")[0] == 7004
    assert program.call("motion_switcher", 9999)[0] == 3203
    assert program.call("sport", 7001) == (0, {"data": 1})


def test_the_locomotion_service_stands_and_changes_height(make):
    program = make()
    program.robot.walk.enter(WALK)
    program.step(300)
    before = program.world.data.qpos[2]
    assert program.call("sport", 7101, data=500) == (0, None)
    assert program.call("sport", 7101, data=12345)[0] == 7302
    assert program.call("sport", 7104, data=0.62) == (0, None)
    assert program.call("sport", 7105, velocity=[0.3, 0.0, 0.1], duration=0.5) == (0, None)
    np.testing.assert_allclose(program.robot.walk.velocity, [0.3, 0.0, 0.1])
    program.step(600)
    assert program.call("sport", 7005) == (0, {"data": 0.62})
    assert program.world.data.qpos[2] == pytest.approx(0.62, abs=0.03) and before > 0.7
    np.testing.assert_array_equal(program.robot.walk.velocity, 0.0)  # its duration is over
    program.robot.remote = Remote(frozenset({"L2", "B"}))
    program.step(2)
    assert program.call("sport", 7001) == (0, {"data": 1})  # the firmware's own damping


def test_arm_sdk_has_its_share_of_the_arms_and_of_nothing_else(make):
    program = make()
    program.robot.walk.enter(WALK)
    program.step(300)
    elbow, knee = g1.JOINT_NAMES.index("left_elbow_joint"), g1.JOINT_NAMES.index("left_knee_joint")
    start = program.world.sensors().q
    for i in range(29):
        motor = program.command.motor_cmd[i]
        motor.q, motor.kp, motor.kd = float(start[i]), 60.0, 1.5
    program.command.motor_cmd[elbow].q = float(start[elbow]) + 0.5
    program.command.motor_cmd[knee].q = 2.0  # a leg: not its business
    for weight in np.linspace(0.0, 1.0, 25):
        program.command.motor_cmd[29].q = float(weight)
        program.send("rt/arm_sdk")
        state = program.step(20)
    assert program.robot.arm_weight == 1.0
    assert state.motor_state[elbow].q > start[elbow] + 0.3
    assert abs(state.motor_state[knee].q - start[knee]) < 0.15 and program.robot.walk.is_balancing
    program.step(60)
    assert program.robot.arm_weight == 0.0  # silent for 100 ms: its share is gone


def test_the_gantry_carries_lowers_and_lets_go(make):
    program = make(motion_service="")
    world = program.world
    world.hang_up()
    program.step(500)
    assert world.data.qpos[2] == pytest.approx(world.standing_height + HANGING_M, abs=0.03)
    assert np.abs(world.data.qvel[:6]).max() < 0.3
    soles = [world.data.geom(f"{side}_foot4_collision").xpos[2] for side in ("left", "right")]
    assert min(soles) > 0.02
    height = world.data.qpos[2]
    world.gantry.lower()
    program.step(500)
    assert height - world.data.qpos[2] == pytest.approx(0.10, abs=0.05)  # 1 s at 0.1 m/s
    world.gantry.remove()
    program.step(500)
    assert world.data.qpos[2] < height - 0.15  # limp motors: it sinks


def test_the_motion_service_stands_a_robot_up_from_its_gantry(make):
    """Start holds the standing posture in the air; lowered, the robot stands on its feet and balances."""
    program = make()
    robot, world = program.robot, program.world
    world.hang_up()
    robot.walk.enter(WALK)

    def step(count: int) -> None:
        for _ in range(count):
            program._now += STEP_NS
            world.step_motors(robot.update(world.sensors(), program._now))

    step(900)
    np.testing.assert_allclose(world.sensors().q, g1.Q_HOME, atol=0.15)
    assert not robot.walk.is_balancing
    world.gantry.lower()
    step(1100)
    assert robot.walk.is_balancing and world.gantry.pull_n == 0.0
    world.gantry.remove()
    step(500)
    assert robot.walk.is_balancing and world.data.qpos[2] > 0.7
