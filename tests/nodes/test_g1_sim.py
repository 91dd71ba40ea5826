"""g1_sim on real messages: publishes as a driver does, obeys only answers to its own states, damps without them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger

from controllers import g1
from retake.errors import UserError
from retake.ros import conversions, qos
from retake.ros.wire import JointStateCodec
from sim.g1_sim import LEASE_NS, START_NS, STEP_NS, G1Sim

from .conftest import Probe, options

CODEC = JointStateCodec(g1.JOINT_NAMES)
ZERO = np.zeros(29)


class Driver:
    """The node under test, and a controller that holds the home posture."""

    def __init__(self, probe: Probe, **parameters: object) -> None:
        self.probe = probe
        self.commands = probe.create_publisher(JointState, "joint_command", qos.STREAM)
        self.rendered = probe.create_publisher(Time, "rendered", qos.STREAM)
        self.states = probe.listen(JointState, "joint_states")
        self.imus = probe.listen(Imu, "imu")
        self.applied = probe.listen(JointState, "applied_joint_command")
        self.clock = probe.listen(Clock, "/clock")
        self.renders = probe.listen(Float64MultiArray, "render_state")
        self.truth = probe.listen(String, "ground_truth/task")
        self.node = probe.add(G1Sim(**options(probe, **parameters)))
        probe.until(lambda: self.commands.get_subscription_count() and self.rendered.get_subscription_count()
                    and self.states and self.imus)  # fmt: skip

    @property
    def now(self) -> int:
        return conversions.stamp_ns(self.states[-1].header.stamp)

    def command(self, stamp: int, q_des: np.ndarray = g1.Q_HOME, tau_ff: np.ndarray = ZERO) -> None:
        self.commands.publish(CODEC.encode(stamp, q_des, ZERO, tau_ff))

    def step(self, count: int = 1, **command: np.ndarray) -> None:
        """Lockstep: answer the newest state and wait for the next."""
        for _ in range(count):
            now = self.now
            self.command(now, **command)
            self.probe.until(lambda now=now: self.now > now)

    def refused(self) -> int:
        return self.node._diagnostics.refused.get("joint_command", 0)


@pytest.fixture
def driver(probe: Probe) -> Driver:
    return Driver(probe, lockstep=True, cameras=False, seed=5)


def test_lockstep_steps_once_for_each_answer(driver: Driver) -> None:
    driver.probe.serve(0.2)
    assert driver.now == START_NS
    driver.step(50)
    driver.probe.serve(0.2)
    assert driver.now == START_NS + 50 * STEP_NS
    stamps = sorted({conversions.stamp_ns(m.header.stamp) for m in driver.states})
    assert stamps == list(range(START_NS, driver.now + 1, STEP_NS))
    assert {conversions.stamp_ns(m.header.stamp) for m in driver.imus} == set(stamps)
    assert sorted({conversions.stamp_ns(m.clock) for m in driver.clock}) == stamps[::5]
    assert sorted({m.layout.dim[0].label for m in driver.renders}) == [str(START_NS), str(START_NS + 66_000_000)]
    assert {json.loads(m.data)["seed"] for m in driver.truth} == {5}
    assert tuple(driver.states[-1].name) == g1.JOINT_NAMES
    imu = driver.imus[-1]
    assert imu.orientation.w > 0.99 and 5 < imu.linear_acceleration.z < 15


def test_reports_what_was_applied_after_clamping(driver: Driver) -> None:
    driver.step(1, q_des=np.full(29, 10.0), tau_ff=np.full(29, -1000.0))
    driver.probe.until(lambda: driver.applied)
    applied = driver.applied[-1]
    assert conversions.stamp_ns(applied.header.stamp) == START_NS  # of the state that the command answered
    np.testing.assert_allclose(applied.position, g1.Q_UPPER)
    np.testing.assert_allclose(applied.effort, -g1.TAU_MAX)


def test_only_answers_to_its_own_states_are_commands(driver: Driver) -> None:
    driver.step(60)
    for stamp in (driver.now + STEP_NS, driver.now - 1, driver.now - STEP_NS, START_NS - STEP_NS):
        before = driver.refused()
        driver.command(stamp)
        driver.probe.until(lambda before=before: driver.refused() == before + 1)
    driver.command(driver.now, q_des=np.where(np.arange(29) == 1, np.nan, g1.Q_HOME))
    driver.probe.until(lambda: driver.refused() == 5)
    assert driver.now == START_NS + 60 * STEP_NS
    driver.step()


def test_without_answers_the_motors_damp_within_the_lease(probe: Probe) -> None:
    driver = Driver(probe)  # real time
    driver.command(driver.now)
    probe.until(lambda: driver.applied)
    first = conversions.stamp_ns(driver.applied[0].header.stamp)
    probe.until(lambda: driver.now > first + 2 * LEASE_NS)

    def is_damped(message: JointState) -> bool:  # reported as the posture it has, with no torque
        return not np.any(message.effort) and not np.allclose(message.position, g1.Q_HOME)

    damped = [conversions.stamp_ns(m.header.stamp) for m in driver.applied if is_damped(m)]
    assert damped and damped[0] <= first + LEASE_NS + 4 * STEP_NS
    assert "lease" in driver.node._diagnostics._trouble


def test_until_the_first_command_the_robot_hangs_in_its_gantry(probe: Probe) -> None:
    driver = Driver(probe)
    probe.until(lambda: driver.now > START_NS + 300_000_000)
    first, last = driver.states[0], driver.states[-1]
    assert first.position == last.position and not np.any(last.velocity)


def test_reset_takes_the_seeds_in_turn_and_jumps_the_clock(driver: Driver) -> None:
    driver.step(3)
    for seed in (5, 6, 7):
        answer = driver.probe.call(Trigger, "sim/reset")
        start = json.loads(answer.message)
        assert answer.success and start["seed"] == seed
        driver.probe.until(lambda start=start: driver.now == start["stamp_ns"])
        assert start["stamp_ns"] % START_NS == 0
        driver.command(driver.now)
        driver.probe.serve(0.1)
        assert driver.now == start["stamp_ns"]  # held until sim/run
        assert driver.probe.call(Trigger, "sim/run").success
        driver.probe.until(lambda start=start: driver.now == start["stamp_ns"] + STEP_NS)


def test_lockstep_waits_for_the_pictures_of_the_frame_before(probe: Probe) -> None:
    driver = Driver(probe, lockstep=True)
    frame = 66_000_000
    driver.step(33)
    assert driver.now == START_NS + frame
    driver.command(driver.now)
    probe.serve(0.3)
    assert driver.now == START_NS + frame
    driver.rendered.publish(conversions.time_message(START_NS))
    probe.until(lambda: driver.now == START_NS + frame + STEP_NS)


def test_wrong_parameters_stop_the_node(probe: Probe) -> None:
    with pytest.raises(UserError, match="has no parameter sped; it has: seed, lockstep"):
        G1Sim(**options(probe, sped=1))
    with pytest.raises(UserError, match="seed -1 must be 0 or more"):
        G1Sim(**options(probe, seed=-1))
    with pytest.raises(UserError, match="parameter lockstep is 3, allowed is a bool"):
        G1Sim(**options(probe, lockstep=3))


def test_a_state_that_is_repeated_is_the_same_measurement(probe: Probe) -> None:
    """Noise that was drawn anew for each repetition made runs of one seed differ when the first answer was slow."""
    driver = Driver(probe, lockstep=True, cameras=False, seed=5, noise=True)
    probe.until(lambda: len(driver.states) >= 3 and len(driver.imus) >= 3)
    for heard in (driver.states, driver.imus):
        assert all(message == heard[0] for message in heard)
    driver.step()
    assert driver.states[-1].position != driver.states[0].position
