"""Velocities of actions, spans of time, hand-overs, losses and latencies: the numbers behind the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from policies import handover, latency, losses, recorded
from policies.episode_meta import read_meta
from policies.motion import velocities
from policies.recorded import Track
from policies.timeline import Span, authorities, name_at, ratio_text, seconds_of, segments

from .recordings import CHUNK, FRAME, MS, START, TELEOP_FROM, TELEOP_UNTIL, TICK, Scripted, write_episode

HAND = tuple(f"left_ee.{axis}" for axis in ("x", "y", "z", "qx", "qy", "qz", "qw"))


@pytest.fixture(scope="module")
def episode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_episode(tmp_path_factory.mktemp("numbers") / "e")


def test_velocities_of_a_hand() -> None:
    """0.3 m/s along y; 1.5 rad/s about z, whichever of its two quaternions a rotation is written as."""
    stamps = np.arange(4) * TICK
    angle = 1.5 * stamps / 1e9
    zero = np.zeros(4)
    values = np.stack([zero, 0.3 * stamps / 1e9, zero, zero, zero, np.sin(angle / 2), np.cos(angle / 2)], axis=1)
    values[2, 3:] *= -1
    found = velocities(stamps, values, HAND)
    np.testing.assert_allclose(found["left_ee.position"], np.tile([0, 0.3, 0], (3, 1)), atol=1e-12)
    np.testing.assert_allclose(found["left_ee.orientation"], np.tile([0, 0, 1.5], (3, 1)), atol=1e-9)


def test_segments(episode: Path) -> None:
    meta = read_meta(episode)
    spans = segments(meta)
    assert [span.name for span in spans] == ["pause", "policy", "recovery", "correction", "policy"]
    assert seconds_of(spans)["recovery"] == pytest.approx(0.5)
    assert spans[-1].end_ns == meta["ended_ns"]
    assert name_at(spans, START + TELEOP_FROM) == "recovery" and name_at(spans, START + TELEOP_FROM - 1) == "policy"
    assert ratio_text({"recovery": 3.0, "correction": 2.0}) == "1.5 : 1"
    assert ratio_text({"policy": 3.0}) == "none"


def test_segments_of_old_recordings_follow_from_authority(episode: Path) -> None:
    meta = {key: value for key, value in read_meta(episode).items() if key != "segments"}
    assert [span.name for span in segments(meta)] == ["pause", "policy", "teleop", "policy"]
    stopped = {**meta, "authority": [[START, "policy"], [START + 10, "stopped"], [START + 20, "none"]]}
    assert [span.name for span in segments(stopped)] == ["policy", "pause"], "neighbours of one name are one"
    assert [span.name for span in authorities(stopped)] == ["policy", "stopped", "none"]
    assert segments({**meta, "ended_ns": None}) == []


def stages_of(folder: Path) -> dict[str, latency.Stage]:
    meta = read_meta(folder)
    tracks = recorded.read_tracks(folder, meta["robot"], {"provenance": recorded.tick})
    is_timed, _ = latency.clock_of(meta, tracks)
    return {stage.key: stage for stage in latency.stages(tracks, is_timed)}


def test_every_stage_of_the_latency(episode: Path) -> None:
    found = stages_of(episode)
    assert sorted(set(found["camera"].ms.tolist())) == pytest.approx([5, 9])
    chunks = np.arange(CHUNK, 4000 * MS, CHUNK)
    assert found["inference"].ms == pytest.approx(np.full(len(chunks), 80 - 9)), "from the later of two pictures"
    first_tick = -(-(chunks + 80 * MS) // TICK) * TICK
    is_played = (first_tick < TELEOP_FROM) | (first_tick >= TELEOP_UNTIL) & (first_tick < 4000 * MS)
    # a chunk that came while the person drove is played from the hand-back on, if it is the newest by then
    direct = first_tick[is_played] + 2 * MS - (chunks[is_played] + 80 * MS)
    assert set(np.round(direct / MS, 6)) <= set(np.round(found["command"].ms, 6))
    assert found["controller"].ms == pytest.approx(np.full(200, 2.0)), "logged 3 and 1 ms after one stamp"
    motor = np.full(400, 1.0)
    motor[100] = 11.0  # the answer to that command is missing: the next one counts
    assert found["motor"].ms == pytest.approx(motor)
    total = (first_tick[is_played] + 4 * MS - chunks[is_played]) / MS
    assert set(np.round(total, 6)) <= set(np.round(found["total"].ms, 6))
    assert found["hand"].ms == pytest.approx(np.full(50, 12.0))


def test_what_cannot_be_known_is_said(tmp_path: Path) -> None:
    scripted = Scripted(tmp_path / "e")
    for stamp in range(0, 1000 * MS, FRAME):
        scripted.picture("head", 9, stamp)
    folder = scripted.close()
    meta = read_meta(folder)
    tracks = recorded.read_tracks(folder, "g1", {"provenance": recorded.tick})
    is_timed, why = latency.clock_of(meta, tracks)
    assert not is_timed and "one process" in why
    assert all(stage.unknown for stage in latency.stages(tracks, is_timed))
    assert "lockstep" in latency.clock_of({**meta, "lockstep": True}, {"a": Track(np.array([1]), np.array([2]))})[1]
    assert "10 ms" in latency.clock_of(meta, {"a": Track(np.array([1]), np.array([2]))})[1]


def test_hand_overs(episode: Path) -> None:
    meta = read_meta(episode)
    tracks = recorded.read_tracks(episode, "g1", {"reference": recorded.vector, "joint_command": recorded.joint_speed})
    commands = tracks["joint_command"]
    speeds = handover.reference_speeds(*recorded.stacked(tracks["reference"], "reference"), commands.stamps_ns,
                                       np.array(commands.rows))
    none_to_policy, take_over, hand_back = handover.handovers(authorities(meta), speeds)
    ticks = recorded.read_tracks(episode, "g1", {"provenance": recorded.tick})["provenance"].rows
    late = [Span(span.name, span.start_ns + 700 * MS, span.end_ns + 700 * MS) for span in authorities(meta)]
    assert handover.handovers(late, speeds, ticks)[1] == take_over, "whenever the recorder heard of it"
    assert (take_over.before, take_over.after, take_over.at_ns) == ("policy", "teleop", START + TELEOP_FROM)
    assert take_over.part == "left_ee.position" and take_over.peak == pytest.approx(0.3)
    assert take_over.ratio == pytest.approx(1.0), "the person moves as fast in the rest of the run"
    assert take_over.joint_ratio == pytest.approx(3.0) and take_over.joint_peak == pytest.approx(0.9)
    assert none_to_policy.ratio == pytest.approx(1 / 3) and hand_back.joint_ratio == pytest.approx(1.0)


def test_nothing_to_compare_a_hand_over_with() -> None:
    stamps = np.arange(10) * TICK
    speeds = handover.reference_speeds(stamps, np.zeros((10, 7)) + [0, 0, 0, 0, 0, 0, 1], HAND, stamps, np.zeros(10))
    [found] = handover.handovers([Span("policy", 0, 100), Span("teleop", 100, 200)], speeds)
    assert found.ratio is None and found.joint_ratio is None


def test_losses(tmp_path: Path) -> None:
    scripted = Scripted(tmp_path / "e", {"lost": {"/g1/imu": 4}})
    for k in range(100):
        if k not in (40, 41, 70):
            scripted.joints("joint_states", [0.0], [0.0], k * 2 * MS, MS)
    scripted.text("authority", "none", 0)
    folder = scripted.close()
    meta = read_meta(folder)
    tracks = recorded.read_tracks(folder, "g1", {})
    by_topic = {loss.topic: loss for loss in losses.losses({**meta, "lost": {"/g1/joint_states": 2}}, tracks)}
    states = by_topic["joint_states"]
    assert (states.messages, states.lost, states.gaps, states.missing) == (97, 2, 2, 3)
    assert states.period_ms == pytest.approx(2.0) and states.longest_gap_ms == pytest.approx(6.0)
    assert by_topic["authority"].period_ms is None and by_topic["authority"].gaps == 0
    assert states.quiet_ms == pytest.approx(1.0), "the last was received 1 ms after its stamp, and nothing after it"
    repaired = losses.losses({"robot": "g1", "ended_ns": 0}, tracks)
    assert repaired[0].lost is None, "a recorder that was killed counted nothing"
    both = losses.added([list(by_topic.values()), list(by_topic.values())])
    assert next(loss for loss in both if loss.topic == "joint_states").missing == 6
