"""What the launched graph has recorded is what its residual saw and did; what cannot be learnt from is said by name."""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from residual_graph import LAYOUT, RATES, STEP, TICK, graph, write, write_base

from controllers.rigs import YAM
from policies.checkpoint import load_checkpoint
from policies.episode_file import EpisodeWriter, read_messages
from policies.residual import Residual
from policies.rl.config import residual
from policies.rl.episode import About, EpisodeError, load_episode
from policies.rl.observation import Rates
from policies.rl.recorded import rl_episode
from policies.rl.recordings import Recordings
from policies.rl.run import LearnerRun, RunFolder
from policies.rl.weights import load_weights
from policies.timeline import SEGMENTS
from retake.ros.topics import recorded_topics
from sim import learn


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return write_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def made(base, tmp_path_factory):
    """A recording of 1.4 s with a residual that acts, what that saw and proposed, and what the run is about."""
    root, run = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("runs") / "run"
    write(run, base, True)
    asked: list[tuple[int, np.ndarray, np.ndarray]] = []
    displacement = Residual.displacement

    def spied(self, observation, proposal):
        seen = self.observe(observation, proposal)
        asked.append((observation.stamp_ns, seen, self.rates.action(proposal.before, proposal.point)))
        return displacement(self, observation, proposal)

    with pytest.MonkeyPatch.context() as patch, graph(base, run) as running:
        patch.setattr(Residual, "displacement", spied)
        writer = running.record(root / "20260101-000000-3")
        references = running.run(100)
        writer.close("success", "operator")
    return root / "20260101-000000-3", references, asked, load_weights(run).about


def converted(folder: Path, about: About, base: Path):
    return rl_episode(folder, about, load_checkpoint(base).policy, LAYOUT, TICK)


def test_it_holds_what_the_residual_saw_and_what_was_executed(made, base):
    folder, references, asked, about = made
    episode = converted(folder, about, base)
    assert episode.end == "success" and episode.seed == 3 and not episode.is_demo
    assert episode.weights_version == 5_000 and episode.about == about
    steps = len(episode)
    assert 8 <= steps <= len(asked) and (episode.segment == SEGMENTS.index("policy")).all()
    for k, (_, seen, proposed) in enumerate(asked[: steps + 1]):
        np.testing.assert_array_equal(episode.observation[k], seen)
        np.testing.assert_array_equal(episode.base[k], proposed)
    first = (asked[0][0] - 3_600_000_000) // TICK - 1  # the reference before the first observation
    at = references[first :: STEP // TICK][: steps + 1]
    rates = Rates.named(LAYOUT, RATES, about.action_range)
    np.testing.assert_array_equal(episode.action, [rates.action(a, b) for a, b in zip(at, at[1:], strict=False)])
    assert np.abs(episode.action - episode.base[:-1]).max() > 0.02, "the residual has done something"
    assert episode.reward.tolist() == [0.0] * (steps - 1) + [1.0]


def test_a_person_in_between_is_an_intervention_beside_what_the_base_proposed(base, tmp_path):
    write(tmp_path / "run", base, False)
    with graph(base, tmp_path / "run") as running:
        writer = running.record(tmp_path / "20260101-000000-4")
        running.run(50)
        running.drive(40)
        running.run(40)
        writer.close("failure", "operator")
    episode = converted(tmp_path / "20260101-000000-4", load_weights(tmp_path / "run").about, base)
    names = [SEGMENTS[k] for k in episode.segment]
    assert names[0] == names[-1] == "policy" and names.count("recovery") >= 4
    driven = episode.intervention
    assert driven.tolist() == [name == "recovery" for name in names]
    y = RATES.index("left_ee.position[1]")
    assert episode.action[driven][1:-1, y].mean() > 0.2 and np.abs(episode.base[:-1][driven][1:-1, y]).min() > 0.0
    assert episode.end == "failure" and not episode.is_demo and episode.weights_version == 0


def changed(folder: Path, to: Path, **meta) -> Path:
    """A copy whose episode.json says something else."""
    shutil.copytree(folder, to)
    told = json.loads((to / "episode.json").read_text())
    (to / "episode.json").write_text(json.dumps({**told, **meta}))
    return to


def rewritten(folder: Path, to: Path, topic: str, text: bytes, by: bytes) -> Path:
    """A copy in which the messages of a topic have one text in place of another, of equal length."""
    meta = json.loads((folder / "episode.json").read_text())
    kinds = recorded_topics(YAM.cameras)
    told = {key: meta[key] for key in ("robot", "task", "seed", "action_channels", "lockstep")}
    with EpisodeWriter(to, told) as writer:
        for message in read_messages(folder / "episode.mcap"):
            name = message.topic.removeprefix("/yam/")
            kind = f"{kinds[name].__module__.split('.')[0]}/msg/{kinds[name].__name__}"
            data = message.data.replace(text, by) if name == topic else message.data
            writer.write_raw(message.topic, kind, data, message.publish_ns, message.log_ns)
        writer.close("success", "operator")
    return to


@pytest.mark.parametrize(("topic", "text", "by", "says"), [
    ("provenance", b"policy\0", b"polish\0", "segment 'polish' is unknown at .*; allowed"),
    ("measured_action", np.float64(YAM.home_action[0]).tobytes(), np.float64(np.nan).tobytes(), "NaN or infinity"),
])  # fmt: skip
def test_damaged_content_is_refused(made, base, tmp_path, topic, text, by, says):
    with pytest.raises(ValueError, match=says):
        converted(rewritten(made[0], tmp_path / "damaged", topic, text, by), made[3], base)


def test_another_base_or_run_is_refused(made, base):
    folder, _, _, about = made
    with pytest.raises(EpisodeError, match="the policy was .*; allowed: 0000"):
        converted(folder, replace(about, base="0" * 64), base)
    with pytest.raises(EpisodeError, match="the residual was of run 'run'; allowed: 'other'"):
        converted(folder, replace(about, run="other"), base)


def test_a_failure_that_was_only_out_of_time_is_truncated(made, base, tmp_path):
    meta = {"outcome": "failure", "end": "truncated"}
    late = converted(changed(made[0], tmp_path / "late", **meta), made[3], base)
    assert late.end == "truncated" and not late.reward.any()
    failed = converted(changed(made[0], tmp_path / "failed", outcome="failure"), made[3], base)
    assert failed.end == "failure"


def test_a_learner_takes_each_recording_once(made, base, tmp_path, capsys):
    folder, _, _, about = made
    run = RunFolder(tmp_path / "run")
    quick = {"warmup_steps": 4, "critic_only_updates": 1, "batch_size": 8, "hidden_dim": 16}
    run.start(replace(residual(16 + 8 + 7, len(RATES)), **quick), about)
    root = tmp_path / "data"
    shutil.copytree(folder, root / "20260101-000000-3")
    changed(folder, root / "20260101-000001-3", outcome="aborted")
    recordings = Recordings(root, run, load_checkpoint(base).policy, LAYOUT, TICK)
    learning = LearnerRun(run)
    assert recordings.poll() == 1 and learning.poll() == 1 and recordings.poll() == 0
    assert capsys.readouterr().out.count("has no outcome") == 1
    assert run.next_number() == 0 and learning.learner.n_updates > 0
    (root / "20260101-000001-3" / "episode.json").write_text((folder / "episode.json").read_text())
    assert recordings.poll() == 1 and learning.poll() == 1  # somebody has judged it
    assert len(load_episode(run.episodes / "20260101-000000-3.episode.safetensors")) >= 8
    again = LearnerRun(run)
    assert again.learner.n_updates == learning.learner.n_updates
    assert torch.equal(again.learner.actor.net.weights[0], learning.learner.actor.net.weights[0])


def test_a_base_that_the_graph_cannot_run_has_no_recordings(tmp_path):
    parser = argparse.ArgumentParser()
    learn.add_arguments(parser)
    words = ["--base", "scripted:3", "--out", str(tmp_path / "run"), "--recordings", str(tmp_path)]
    with pytest.raises(ValueError, match="--recordings with --base scripted:3; allowed: a checkpoint's folder"):
        learn.run(parser.parse_args(words))
