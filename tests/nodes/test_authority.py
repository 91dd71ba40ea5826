"""authority on real messages: one reference per tick, services, refusals, lockstep."""

from __future__ import annotations

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from controllers import g1
from controllers.rigs import G1
from retake.control.authority import AuthorityNode
from retake.ros import conversions, qos
from retake.ros.lockstep import PATIENCE_S

from .conftest import Probe, options

MS = 1_000_000
START, TICK, FRAME = 1980 * MS, 20 * MS, 66 * MS


class Bench:
    """The node under test with a robot that is always at HOME_ACTION."""

    def __init__(self, probe: Probe, **parameters: object) -> None:
        self.probe = probe
        self.ticks = probe.create_publisher(JointTrajectory, "measured_action", qos.STREAM)
        self.chunks = probe.create_publisher(JointTrajectory, "action_chunk", qos.STREAM)
        self.policies = probe.create_publisher(String, "policy", qos.LATCHED)
        self.policies.publish(String(data="hash"))
        self.teleop = probe.create_publisher(JointTrajectory, "teleop_action", qos.STREAM)
        self.references = probe.listen(JointTrajectory, "reference")
        self.provenance = probe.listen(DiagnosticStatus, "provenance")
        self.authority = probe.listen(String, "authority", qos.LATCHED)
        self.diagnostics = probe.listen(DiagnosticArray, "diagnostics")
        self.node = probe.add(AuthorityNode(**options(probe, **parameters)))
        probe.until(lambda: all(p.get_subscription_count() for p in (self.ticks, self.chunks, self.teleop))
                    and self.authority and probe.count_publishers("reference"))  # fmt: skip
        probe.serve(0.3)
        self.now = START - TICK

    def send_tick(self, measured: np.ndarray = g1.HOME_ACTION) -> None:
        self.now += TICK
        self.ticks.publish(conversions.action_message(measured, self.now, G1))

    def tick(self, count: int = 1) -> tuple[np.ndarray, dict[str, str]]:
        for _ in range(count):
            self.send_tick()
            self.probe.until(lambda: self.references and self.stamp() == self.now)
        self.probe.until(lambda: self.provenance and conversions_of(self.provenance[-1])["stamp_ns"] == str(self.now))
        return conversions.action_from(self.references[-1], G1), conversions_of(self.provenance[-1])

    def stamp(self) -> int:
        return conversions.stamp_ns(self.references[-1].header.stamp)

    def chunk(self, target: np.ndarray, stamp: int | None = None) -> None:
        message = conversions.chunk_message(FRAME * np.arange(1, 25), np.tile(target, (24, 1)), stamp or self.now, G1)
        self.chunks.publish(message)
        self.probe.serve(0.1)

    def call(self, name: str) -> Trigger.Response:
        return self.probe.call(Trigger, name)

    def refused(self, name: str) -> int:
        return self.node._diagnostics.refused.get(name, 0)


def conversions_of(status: DiagnosticStatus) -> dict[str, str]:
    return {pair.key: pair.value for pair in status.values}


def away(value: float) -> np.ndarray:
    action = g1.HOME_ACTION.copy()
    action[0] = value
    return action


@pytest.fixture
def bench(probe: Probe) -> Bench:
    return Bench(probe)


def test_one_reference_per_tick_with_its_provenance(bench: Bench) -> None:
    reference, provenance = bench.tick(5)
    np.testing.assert_allclose(reference, g1.HOME_ACTION, atol=1e-12)
    assert len(bench.references) == len(bench.provenance) == 5
    assert tuple(bench.references[-1].joint_names) == g1.ACTION_CHANNELS
    assert set(provenance) == {
        "source",
        "policy",
        "chunk_stamp_ns",
        "observation_age_ms",
        "epoch",
        "clamped",
        "stamp_ns",
        "segment",
        "operator",
        "way_back_s",
        "residual",
    }
    assert bench.authority[-1].data == "none"


def test_a_policy_a_person_a_stop(bench: Bench) -> None:
    bench.tick(2)
    assert bench.call("hand_back").success
    bench.tick()
    bench.chunk(away(0.35))
    _, provenance = bench.tick(10)
    assert (provenance["source"], provenance["policy"], provenance["epoch"]) == ("policy", "hash", "1")
    assert float(provenance["observation_age_ms"]) == pytest.approx(
        (bench.now - int(provenance["chunk_stamp_ns"])) / MS
    )
    assert bench.call("take_over").success
    for k in range(20):
        bench.teleop.publish(conversions.action_message(away(0.2 + 0.002 * k), bench.now + 1, G1))
        bench.probe.serve(0.02)
        _, provenance = bench.tick()
    assert provenance["source"] == "teleop"
    assert bench.call("stop").success
    assert not bench.call("take_over").success
    assert bench.call("release_stop").success
    assert not bench.call("rewind").success  # nobody has taken over
    bench.probe.until(lambda: bench.authority[-1].data == "none")
    assert [m.data for m in bench.authority] == ["none", "policy", "teleop", "stopped", "none"]


def test_a_device_takes_over_by_its_name_and_goes_back_along_the_path(bench: Bench) -> None:
    segments = bench.probe.listen(String, "segment", qos.LATCHED)
    wanted = bench.probe.listen(JointTrajectory, "policy_action")
    way = bench.probe.create_publisher(JointTrajectory, "rewind_action", qos.STREAM)
    bench.probe.until(way.get_subscription_count)
    bench.tick(2)
    assert bench.call("hand_back").success
    bench.tick()
    bench.chunk(away(0.35))
    bench.tick(5)
    assert bench.call("joy/take_over").success
    answer = bench.call("webxr/take_over")
    assert not answer.success and "joy has had the robot" in answer.message
    for k in range(10):  # the robot has moved meanwhile
        bench.send_tick(away(0.28 + 0.01 * k))
        bench.probe.until(lambda: bench.references and bench.stamp() == bench.now)
    assert bench.call("rewind").success
    for _ in range(20):
        way.publish(conversions.path_speed_message(-1.0, bench.now + 1, "joy"))
        bench.probe.serve(0.02)
        bench.send_tick(away(0.37))
        bench.probe.until(lambda: bench.references and bench.stamp() == bench.now)
    bench.probe.until(lambda: conversions_of(bench.provenance[-1])["stamp_ns"] == str(bench.now))
    provenance = conversions_of(bench.provenance[-1])
    assert (provenance["source"], provenance["operator"], provenance["segment"]) == ("rewind", "joy", "rewind")
    assert conversions.action_from(bench.references[-1], G1)[0] < 0.36
    way.publish(conversions.path_speed_message(-1.0, bench.now + 2, "webxr"))
    bench.probe.until(lambda: bench.refused("rewind_action"))
    bench.probe.until(lambda: segments and segments[-1].data == "rewind")
    assert [s.data for s in segments] == ["reset", "pause", "policy", "pause", "rewind"]
    np.testing.assert_allclose(conversions.action_from(wanted[-1], G1), away(0.35), atol=1e-9)


def test_an_episode_that_begins_has_no_way_back_into_the_one_before(bench: Bench) -> None:
    events = bench.probe.create_publisher(String, "episode/event", qos.LATCHED)
    assert bench.call("take_over").message  # before the first tick it is refused, and says so
    bench.tick(2)
    for k in range(5):
        bench.send_tick(away(0.28 + 0.02 * k))
        bench.probe.until(lambda: bench.references and bench.stamp() == bench.now)
    assert bench.call("take_over").success
    events.publish(String(data='{"event": "started", "episode": "a"}'))
    bench.probe.serve(0.3)
    assert "no way back" in bench.call("rewind").message
    events.publish(String(data="nonsense"))
    bench.probe.until(lambda: bench.refused("episode/event"))


def test_broken_inputs_are_refused_counted_and_reported(bench: Bench) -> None:
    bench.tick(2)
    bench.call("hand_back")
    bench.tick()
    bench.chunk(np.full(17, np.nan))
    bench.chunk(away(0.3), stamp=bench.now + 3000 * MS)
    wrong = conversions.chunk_message([FRAME], g1.HOME_ACTION[None], bench.now, G1)
    wrong.joint_names = ["left_gripper", *g1.ACTION_CHANNELS[1:]]
    bench.chunks.publish(wrong)
    bench.probe.until(lambda: bench.refused("action_chunk") == 3)
    bench.teleop.publish(conversions.action_message(away(np.inf), bench.now, G1))
    bench.teleop.publish(conversions.action_message(away(0.3), bench.now - 1000 * MS, G1))
    bench.probe.until(lambda: bench.refused("teleop_action") == 2)
    reference, _ = bench.tick(3)
    np.testing.assert_allclose(reference, g1.HOME_ACTION, atol=1e-12)
    bench.send_tick(np.full(17, np.nan))
    bench.probe.until(lambda: bench.refused("measured_action") == 1)
    assert bench.stamp() == bench.now - TICK  # no reference from a pose that is not one

    def reported() -> dict[str, str]:
        return conversions_of(bench.diagnostics[-1].status[0]) if bench.diagnostics else {}

    bench.probe.until(lambda: reported().get("refused.action_chunk") == "3" and "refused.measured_action" in reported())


def test_without_ticks_there_is_no_reference(bench: Bench) -> None:
    bench.call("hand_back")
    bench.probe.serve(0.3)
    assert not bench.references


def test_lockstep_waits_for_the_chunk_that_is_due(probe: Probe) -> None:
    bench = Bench(probe, lockstep=True, policy=True)
    bench.tick()
    bench.call("hand_back")
    bench.tick(4)  # START + 80 ms; at 100 ms the chunk of START is due
    bench.send_tick()
    probe.serve(0.3)
    assert bench.stamp() == bench.now - TICK
    bench.chunk(away(0.3), stamp=START)
    probe.until(lambda: bench.stamp() == bench.now)
    bench.tick(5)


def test_lockstep_goes_on_without_a_policy_that_does_not_answer(probe: Probe) -> None:
    bench = Bench(probe, lockstep=True, policy=True)
    bench.tick(5)
    bench.send_tick()
    probe.until(lambda: bench.stamp() == bench.now, timeout_s=PATIENCE_S + 5.0)
    bench.tick(10)
    assert "lockstep.policy_server" in bench.node._diagnostics._trouble
