"""A policy's episode in one process: the same course of events whatever came before, and the graph's own numbers."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from controllers.rigs import YAM
from policies.episode_file import read_episode
from policies.executed import Executed
from policies.inference import Answer
from policies.observation import Observation
from policies.policy import PolicyConfig
from sim.policy_recording import PolicyRecorder
from sim.rollout import INFERENCE_FRAMES, LATENCY_S, Rollout
from sim.tasks import HELD_OUT_SEED

CHANNELS = YAM.layout.channels
CONFIG = PolicyConfig(CHANNELS, CHANNELS, ("wrist", "front"))


class Downwards:
    """Answers every observation with a way down from the measured pose; keeps what it was told."""

    policy = SimpleNamespace(config=CONFIG)

    def __init__(self) -> None:
        self.seen: list[tuple[Observation, Executed, float]] = []

    def begin(self) -> None:
        self.seen.clear()

    def answer(self, observation: Observation, executed: Executed, latency_s: float) -> Answer:
        self.seen.append((observation, executed, latency_s))
        chunk = np.tile(observation.state, (CONFIG.chunk_size, 1))
        chunk[:, 2] -= 0.002 * np.arange(1, CONFIG.chunk_size + 1)
        return Answer(observation, chunk, 0.0)


def test_an_episode_depends_on_its_seed_alone(rollout):
    first, other, again = (rollout.run(HELD_OUT_SEED + k, Downwards()) for k in (0, 1, 0))
    assert np.array_equal(first.executed.references, again.executed.references)
    assert (first.why, first.time_s) == (again.why, again.time_s) == ("timeout", pytest.approx(1.7))
    assert not np.array_equal(first.executed.references, other.executed.references)


def test_observations_are_on_the_grid_and_chunks_count_after_the_latency(rollout):
    execution = Downwards()
    result = rollout.run(HELD_OUT_SEED, execution)
    stamps = [observation.stamp_ns for observation, _, _ in execution.seen]
    assert set(np.diff(stamps)) == {INFERENCE_FRAMES * 60_000_000}
    played, first = result.executed.chunk_stamps_ns, stamps[0]
    begins = result.executed.stamps_ns[np.flatnonzero(played == first)[0]]
    assert begins == first + round(LATENCY_S * 1e9)
    assert result.refused == result.held_ticks == 0
    observation, executed, latency_s = execution.seen[-1]
    assert executed.stamps_ns[-1] == observation.state_stamp_ns <= observation.stamp_ns
    assert latency_s == LATENCY_S


def test_what_a_policy_cannot_answer_is_counted(rollout):
    class Mute(Downwards):
        def answer(self, observation, executed, latency_s):
            return Answer(observation, None, 0.0, "says nothing")

    result = rollout.run(HELD_OUT_SEED, Mute())
    assert result.refused > 3 and result.refusal == "says nothing"
    assert np.ptp(result.executed.references, axis=0).max() < 1e-6  # the robot rests


@pytest.mark.parametrize(("arguments", "says"), [
    (("arm_pick", ("nose",)), "no camera nose"), (("arm_fly", ()), "unknown task"),
    (("arm_pick", ("wrist",), -0.1), "latency -0.1"),
])  # fmt: skip
def test_what_it_cannot_run_is_refused_by_name(arguments, says):
    with pytest.raises(ValueError, match=says):
        Rollout(*arguments)


def test_the_numbers_are_those_of_the_graph():
    authority = pytest.importorskip("retake.control.authority")
    assert (INFERENCE_FRAMES, LATENCY_S) == (authority.INFERENCE_FRAMES, authority.CHUNK_DELAY_NS * 1e-9)


def test_what_a_policy_does_can_be_recorded(rollout, tmp_path):
    plain = rollout.run(HELD_OUT_SEED, Downwards())
    recorder = PolicyRecorder(rollout, Downwards(), "abc")
    meta = recorder.record(HELD_OUT_SEED, tmp_path)
    recorder.record(HELD_OUT_SEED, tmp_path / "again")
    assert (meta["outcome"], meta["end"], meta["policy_hash"]) == ("failure", "truncated", "abc")
    episode = read_episode(next(path.parent for path in tmp_path.glob("*/episode.json")))
    assert np.array_equal(episode.reference, plain.executed.references)
    assert np.array_equal(episode.reference_stamps_ns, plain.executed.stamps_ns)
    assert len(episode.images["front"]) == len(episode.images["wrist"]) == len(np.arange(0.0, plain.time_s, 0.06))
