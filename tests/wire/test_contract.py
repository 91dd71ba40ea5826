"""g1_driver and g1_sim are one robot to everybody else: found by running both, not by comparing constants."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Imu, JointState

from controllers import g1
from retake.ros import conversions, qos
from retake.ros.wire import JointStateCodec
from retake.unitree.dds import LOOPBACK
from tests.nodes.conftest import Probe

from .conftest import ordinary_priority

pytestmark = pytest.mark.heavy  # against the clock, with leases of 100 ms: not beside other work

CODEC = JointStateCodec(g1.JOINT_NAMES)
OF_THE_SIMULATION = ("/clock", "/g1/render_state", "/g1/rendered", "/g1/ground_truth/task", "/g1/sim/reset",
                     "/g1/sim/run")
OF_ROS = ("/parameter_events", "/rosout")
WRIST = g1.JOINT_NAMES.index("left_wrist_pitch_joint")
Q_DES, TAU_FF = g1.Q_HOME.copy(), np.full(29, 0.125)
Q_DES[WRIST], TAU_FF[WRIST] = 9.0, 500.0  # beyond what the joint can


@dataclass
class Seen:
    """What one robot looks like from outside."""

    topics: dict[str, Any] = field(default_factory=dict)  # name -> (role, type, QoS)
    services: dict[str, Any] = field(default_factory=dict)
    states: list[Any] = field(default_factory=list)  # serialised while watching, messages afterwards
    imus: list[Any] = field(default_factory=list)
    applied: list[Any] = field(default_factory=list)

    def read(self) -> Seen:
        """With messages instead of bytes: 1500 a second are too many to be read as they come."""
        kinds = {"states": JointState, "imus": Imu, "applied": JointState}
        for name, kind in kinds.items():
            setattr(self, name, [deserialize_message(data, kind) for data in getattr(self, name)])
        return self


def look_at(probe: Probe, name: str) -> tuple[dict, dict]:
    """A node's endpoints, with type and QoS as discovery tells them to others."""
    namespace = probe.get_namespace()
    topics = {}
    for role, by_node, infos in (
        ("out", probe.get_publisher_names_and_types_by_node, probe.get_publishers_info_by_topic),
        ("in", probe.get_subscriber_names_and_types_by_node, probe.get_subscriptions_info_by_topic),
    ):
        for topic, kinds in by_node(name, namespace):
            if topic in OF_THE_SIMULATION + OF_ROS:
                continue
            [info] = [info for info in infos(topic) if info.node_name == name]
            profile = info.qos_profile
            topics[topic] = role, tuple(kinds), profile.reliability, profile.durability
    services = {service: tuple(kinds) for service, kinds in probe.get_service_names_and_types_by_node(name, namespace)
                if service not in OF_THE_SIMULATION and name not in service}  # every node's own parameter services
    return topics, services


@contextmanager
def running(module: str, **parameters: object) -> Iterator[None]:
    """The node as a process, as in the graph."""
    words = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    command = [sys.executable, "-m", module, "--ros-args", "-r", "__ns:=/g1", *words]
    process = subprocess.Popen(command, preexec_fn=ordinary_priority)
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


class Watcher:
    """A controller that answers every state with Q_DES, and keeps what it hears."""

    def __init__(self, probe: Probe) -> None:
        self._probe, self._seen = probe, Seen()
        self._commands = probe.create_publisher(JointState, "joint_command", qos.STREAM)
        probe.create_subscription(JointState, "joint_states", self._on_state, qos.NEWEST, raw=True)
        probe.create_subscription(Imu, "imu", lambda data: self._seen.imus.append(data), qos.RECORD, raw=True)
        probe.create_subscription(JointState, "applied_joint_command", lambda data: self._seen.applied.append(data),
                                  qos.RECORD, raw=True)

    def _on_state(self, data: bytes) -> None:
        self._seen.states.append(data)
        stamp, *_ = CODEC.decode(data)
        self._commands.publish(CODEC.encode(stamp, Q_DES, np.full(29, 0.25), TAU_FF))

    def watch(self, name: str) -> Seen:
        """What is seen of a robot that obeys."""
        self._seen = Seen()
        # every ramp has ended when what is applied is what was commanded, clamped
        self._probe.until(lambda: self._seen.applied
                          and CODEC.decode(self._seen.applied[-1])[3][WRIST] == g1.TAU_MAX[WRIST], 60.0)
        seen = self._seen = Seen()
        self._probe.until(lambda: len(seen.applied) > 100 and len(seen.states) > 100)
        self._seen = Seen()
        seen.topics, seen.services = look_at(self._probe, name)
        return seen.read()


@pytest.fixture
def both(probe: Probe, domain: int) -> tuple[Seen, Seen]:
    watcher = Watcher(probe)
    with running("sim.g1_wire", dds_domain=domain, crew=True):
        with running("retake.g1.driver", interface=LOOPBACK, dds_domain=domain, release=True, ramp_s=0.5,
                     patience_s=60.0):
            driver = watcher.watch("g1_driver")
    with running("sim.g1_sim"):
        return driver, watcher.watch("g1_sim")


def stamps(messages: list[Any]) -> np.ndarray:
    return np.array([conversions.stamp_ns(message.header.stamp) for message in messages])


def test_driver_and_simulation_are_one_robot(both):
    driver, simulated = both
    assert driver.topics == simulated.topics and len(driver.topics) == 5
    assert driver.services == simulated.services
    for seen in both:
        check_stamps_and_rates(seen)
    ours, theirs = driver.states[-1], simulated.states[0]
    assert tuple(ours.name) == tuple(theirs.name) == g1.JOINT_NAMES
    assert ours.header.frame_id == theirs.header.frame_id
    # the same standing robot, as far as the commands have let it be: same units, same order, same signs
    legs = g1.LEG_JOINTS
    np.testing.assert_allclose(ours.position[legs], g1.Q_HOME[legs], atol=0.1)
    np.testing.assert_allclose(theirs.position[legs], g1.Q_HOME[legs], atol=0.1)
    check_imus(driver.imus, simulated.imus)
    check_applied(driver.applied[-1], simulated.applied[-1])


def check_stamps_and_rates(seen: Seen) -> None:
    measured, imu, applied = stamps(seen.states), stamps(seen.imus), stamps(seen.applied)
    assert np.all(np.diff(measured) > 0) and np.all(np.diff(imu) > 0) and np.all(np.diff(applied) >= 0)
    for times in (imu, applied):  # 500 Hz; a busy machine may lose some
        assert (times[-1] - times[0]) / (len(times) - 1) == pytest.approx(2e6, rel=0.25)
    assert np.isin(measured[:-1], imu).all()  # an imu message belongs to each state
    assert np.isin(applied[applied >= imu[0]], imu).all()  # every command answers a state


def check_imus(ours: list[Imu], theirs: list[Imu]) -> None:
    assert ours[0].header.frame_id == theirs[0].header.frame_id
    for imus in (ours, theirs):  # upright, and the ground pushes up
        up = np.median([imu.linear_acceleration.z for imu in imus])
        assert up == pytest.approx(9.81, abs=3.0)
        assert np.median([imu.orientation.w for imu in imus]) > 0.98
        assert np.abs(np.median([imu.angular_velocity.y for imu in imus])) < 2.0
    for name in ("orientation", "angular_velocity", "linear_acceleration"):
        covariance = f"{name}_covariance"
        np.testing.assert_array_equal(getattr(ours[0], covariance), getattr(theirs[0], covariance))


def check_applied(ours: JointState, theirs: JointState) -> None:
    assert tuple(ours.name) == tuple(theirs.name) and ours.header.frame_id == theirs.header.frame_id
    np.testing.assert_allclose(ours.position, np.minimum(Q_DES, g1.Q_UPPER))
    np.testing.assert_allclose(ours.effort, np.minimum(TAU_FF, g1.TAU_MAX))
    np.testing.assert_array_equal(ours.position, theirs.position)
    np.testing.assert_array_equal(ours.velocity, theirs.velocity)
    np.testing.assert_array_equal(ours.effort, theirs.effort)
