"""The scripted person over the topics and services that people use: the launched graph, in real time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from controllers.rigs import YAM
from policies.episode_meta import read_meta
from policies.timeline import segments
from sim.arm_experts import CLOSED, OPEN, PickExpert
from sim.progress import eye_of
from sim.teleoperator import RAC, Phase, Sight, Teleoperator

DOMAIN = "66"
CHUNK_S, POINTS, EVERY_S = 0.066, 16, 0.4
BESIDE_M = 0.05  # so far beside the cube the policy closes its hand


def missing(start: np.ndarray, cube: np.ndarray, bin_xy: np.ndarray) -> np.ndarray:
    """Actions (n, 8), CHUNK_S apart: down beside the cube, close, up, over the bin."""
    beside = cube[:2] + np.array([-BESIDE_M, 0.0])
    places = [start[:3], [*beside, 0.09], [*beside, 0.03], [*beside, 0.03], [*beside, 0.12], [*bin_xy, 0.12]]
    grips = [OPEN, OPEN, OPEN, CLOSED, CLOSED, CLOSED]
    rows = []
    for a, b, before, after in zip(places[:-1], places[1:], grips[:-1], grips[1:], strict=True):
        steps = max(8, round(np.linalg.norm(np.subtract(b, a)) / 0.15 / CHUNK_S))
        for s in np.linspace(0.0, 1.0, steps, endpoint=False):
            rows.append([*(np.array(a) + s * np.subtract(b, a)), *start[3:7], before + s * (after - before)])
    return np.array(rows)


@pytest.fixture
def graph(tmp_path, monkeypatch):
    """`retake up` with an arm and nobody's policy."""
    monkeypatch.setenv("ROS_DOMAIN_ID", DOMAIN)
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    root = tmp_path / "episodes"
    words = ["up", "rig:=yam", "headless:=true", f"root:={root}", "rac:=true"]
    process = subprocess.Popen([sys.executable, "-m", "retake.cli", *words], env=os.environ | {"OMP_NUM_THREADS": "1"})
    yield root
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0


@pytest.mark.heavy
def test_a_person_goes_back_and_corrects_over_topics(graph):
    import rclpy
    from diagnostic_msgs.msg import DiagnosticStatus
    from trajectory_msgs.msg import JointTrajectory

    from benchmarks.person import DEVICE, Person
    from retake.ros import conversions, qos

    rclpy.init()
    person = Person(YAM)
    said = SimpleNamespace(reference=None, reason="")
    person.create_subscription(
        JointTrajectory, "reference", lambda m: setattr(said, "reference", conversions.action_from(m, YAM)), qos.STREAM)
    person.create_subscription(DiagnosticStatus, "provenance", lambda m: setattr(said, "reason", m.message), qos.STREAM)

    class Desk:
        """The services and streams."""

        def ask(self, service: str) -> bool:
            try:
                person.call(f"{DEVICE}/take_over" if service == "take_over" else service)
            except RuntimeError:
                return False
            return True

        def stream(self, action: np.ndarray) -> None:
            person.stream(action)

        def hold(self, speed: float) -> None:
            person.hold_rewind(0.02, speed)

    seen = SimpleNamespace(truth=None, off=None)
    alive = SimpleNamespace()  # the demonstrator keeps it and looks at it again

    def scene() -> SimpleNamespace:
        """The truth comes ten times a second; in between, a cube between the fingers moves with the hand."""
        truth = person.truth
        position = np.array(truth["cube_position"])
        if truth is not seen.truth:
            then = np.searchsorted(person.stamps, truth["time"] * 1e9, side="right") - 1
            seen.truth, seen.off = truth, position - person.poses[then][:3]
        if person.pose[7] < 0.6 and np.linalg.norm(seen.off) < 0.03:
            position = person.pose[:3] + seen.off
        alive.cube = SimpleNamespace(position=position, quat_xyzw=np.array(truth["cube_quat_xyzw"]))
        alive.scene = SimpleNamespace(half=truth["cube_half"], bin_position=np.array(truth["bin_position"]))
        return alive

    try:
        person.new_world()
        person.until(lambda: person.truth and said.reference is not None, "the scene and a reference")
        person.call("hand_back")
        world = scene()
        plan = missing(person.pose, world.cube.position, world.scene.bin_position)
        helper = Teleoperator(RAC, YAM, replace(eye_of("arm_pick"), back_m=0.05, rewinds=True), PickExpert)
        helper.begin(0)
        start_s, thought_s = person.get_clock().now().nanoseconds * 1e-9, -1.0
        while not helper.has_ended:
            now_s = person.get_clock().now().nanoseconds * 1e-9
            if now_s - thought_s > EVERY_S:
                thought_s, first = now_s, round((now_s - start_s) / CHUNK_S)
                chunk = plan[np.minimum(first + 1 + np.arange(POINTS), len(plan) - 1)]
                person.offer_chunk([round(CHUNK_S * 1e9 * (k + 1)) for k in range(POINTS)], chunk)
            helper.act(Desk(), Sight(now_s, person.pose, said.reference, said.reason), scene())
            person.spin(YAM.reference_dt)
            assert now_s - start_s < 60.0, f"the person is still in {helper.phase}"
        assert helper.phase is Phase.DONE and helper.interventions == 1
        person.call("episode/timeout")
        person.spin(0.5)
    finally:
        rclpy.try_shutdown()
    (folder,) = list(graph.iterdir())
    meta = read_meta(folder)
    names = [span.name for span in segments(meta)]
    assert (meta["outcome"], meta["end"]) == ("failure", "truncated")
    assert names.index("policy") < names.index("rewind") < names.index("correction") == len(names) - 1
    assert json.loads((folder / "episode.json").read_text())["messages"]["/yam/policy_action"] > 0
