"""A learning run as a folder: killed at any moment it goes on exactly, and what does not belong to it is refused."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from made import about, episode, small

from policies.rl import run as run_module
from policies.rl.episode import SUFFIX, EpisodeError, save_episode
from policies.rl.explorer import act
from policies.rl.goals import goals
from policies.rl.learner import Learner
from policies.rl.run import LearnerRun, RunError, RunFolder
from policies.rl.weights import WeightsError, load_weights
from policies.train_state import ResumeError


def same(a: Learner, b: Learner) -> bool:
    pairs = ((a.actor, b.actor), (a.critic, b.critic), (a.target, b.target), (a.gripper, b.gripper))
    equal = [torch.equal(x, y) for m, n in pairs for x, y in zip(m.parameters(), n.parameters(), strict=True)]
    return all(equal) and torch.equal(a.log_temperature, b.log_temperature) and a.n_updates == b.n_updates


class Dying:
    """A function that is killed at its third call."""

    def __init__(self, real) -> None:
        self.real, self.calls = real, 0

    def __call__(self, *args):
        self.calls += 1
        if self.calls == 3:
            raise ConnectionAbortedError("killed")
        return self.real(*args)


def test_actors_in_one_run_make_different_episodes_and_a_killed_one_leaves_its_number(tmp_path):
    folder = RunFolder(tmp_path)
    folder.start(small("residual"), about())
    with folder.claimed() as first, folder.claimed() as second:
        assert (first, second) == (0, 1)
        folder.write(second, episode(5))
    with pytest.raises(ConnectionAbortedError), folder.claimed() as number:
        assert number == 2, "the newest is 1, though 0 was never made"
        raise ConnectionAbortedError("killed")
    with folder.claimed() as number:
        assert number == 2
        folder.write(number, episode(5))
    assert folder.next_number() == 3 and [p.name for p in tmp_path.glob("*.lock")] == []


@pytest.mark.parametrize("kind", ["residual", "hil"])
def test_a_learner_killed_at_any_moment_continues_as_if_it_had_not_been(kind, tmp_path, monkeypatch):
    def run(name: str) -> LearnerRun:
        folder = RunFolder(tmp_path / name)
        folder.start(small(kind, gripper=kind == "hil"), about())
        return LearnerRun(folder)

    whole = run("whole")
    for k in range(6):
        whole.folder.write(k, episode(20, seed=k, end=("truncated", "success")[k % 2]))
    assert whole.poll() == 6

    for when in ("save_learner", "publish"):
        cut = run(when)
        for k in range(4):
            cut.folder.write(k, episode(20, seed=k, end=("truncated", "success")[k % 2]))
        with monkeypatch.context() as patch, pytest.raises(ConnectionAbortedError):
            patch.setattr(run_module, when, Dying(getattr(run_module, when)))
            cut.poll()
        with open(cut.folder.path / "log.jsonl", "a") as log:
            log.write('{"episode": "0000')
        again = run(when)
        for k in (4, 5):
            again.folder.write(k, episode(20, seed=k, end=("truncated", "success")[k % 2]))
        again.poll()
        assert same(again.learner, whole.learner)
        assert again.folder.log() == again.journal == whole.journal == whole.folder.log()


def test_a_run_whose_demonstrations_or_episodes_have_changed_does_not_go_on(tmp_path):
    folder = RunFolder(tmp_path)
    folder.start(small("residual"), about())
    run = LearnerRun(folder)
    folder.write(0, episode(20))
    assert run.poll() == 1
    extra = folder.demos / f"0{SUFFIX}"
    save_episode(extra, episode(5, is_demo=True))
    with pytest.raises(ResumeError, match="was learnt with demos"):
        LearnerRun(folder)
    extra.unlink()
    (folder.episodes / f"000000{SUFFIX}").unlink()
    with pytest.raises(RunError, match="is gone, but the learner has learnt from it"):
        LearnerRun(folder)


@pytest.mark.parametrize("unanimous", [False, True])
def test_published_weights_act_as_the_learners_do(tmp_path, unanimous):
    folder = RunFolder(tmp_path)
    folder.start(small("residual", unanimous=unanimous), about())
    run = LearnerRun(folder)
    assert load_weights(tmp_path, about()).version == 0
    for k in range(3):
        folder.write(folder.next_number(), episode(20, seed=k))
    run.poll()
    published = load_weights(tmp_path, about())
    x = torch.randn(5, 3), torch.randn(5, 2)
    assert published.version == run.learner.n_updates > 0
    assert torch.equal(published.deployed(*x), run.deployed(*x))


def test_bad_episodes_are_set_aside_and_say_why(tmp_path, capsys):
    folder = RunFolder(tmp_path)
    folder.start(small("residual"), about())
    run = LearnerRun(folder)
    good = episode(5)
    for k, (bad, _) in enumerate(refused := [
        (dataclasses.replace(good, about=about(base="another")), "base 'another'; allowed: 'base'"),
        (dataclasses.replace(good, about=about(robot="g1")), "robot 'g1'; allowed: 'yam'"),
        (dataclasses.replace(good, about=about(run="other")), "run 'other'"),
        (dataclasses.replace(good, observation=np.zeros((6, 9), np.float32)), "observations of 9 numbers; allowed: 3"),
    ]):  # fmt: skip
        folder.write(k, bad)
    (folder.episodes / f"000009{SUFFIX}").write_bytes(b"half a file")
    folder.write(10, good)
    assert run.poll() == 1 and folder.next_number() == 11
    reasons = [path.read_text() for path in sorted(folder.refused.glob("*.txt"))]
    assert len(reasons) == 5 and len(list(folder.refused.glob(f"*{SUFFIX}"))) == 5
    said = capsys.readouterr().out
    for (_, says), reason in zip([*refused, (None, "is no episode")], reasons, strict=True):
        assert says in reason and says in said


def test_a_second_learner_in_the_same_run_is_refused_until_the_first_is_gone(tmp_path):
    folder = RunFolder(tmp_path)
    folder.start(small("residual"), about())
    with folder.alone(), pytest.raises(RunError, match="a learner is at work in .*; allowed: one"):
        with RunFolder(tmp_path).alone():
            pass
    with RunFolder(tmp_path).alone():
        pass


def test_a_run_of_another_config_or_base_is_refused(tmp_path):
    folder = RunFolder(tmp_path)
    with pytest.raises(RunError, match="holds no run"):
        folder.read()
    folder.start(small("residual"), about())
    with pytest.raises(RunError, match="another config"):
        folder.start(small("residual", gamma=0.5), about())
    with pytest.raises(EpisodeError, match="base 'changed'; allowed: 'base'|base 'base'; allowed: 'changed'"):
        folder.start(small("residual"), about(base="changed"))
    LearnerRun(folder)
    with pytest.raises(EpisodeError, match="run"):
        load_weights(tmp_path, about(run="another"))
    with pytest.raises(WeightsError, match="start the learner first"):
        load_weights(tmp_path / "empty")


def test_what_pictures_are_made_into_is_shown_by_the_demonstrations(tmp_path):
    """The actor takes observations as they come, also elsewhere; the state is scaled by hand."""
    folder, scaled = RunFolder(tmp_path / "seen"), RunFolder(tmp_path / "state")
    rng = np.random.default_rng(0)
    demo = episode(30, end="success", is_demo=True)
    raw = (7.0 + 0.01 * rng.standard_normal((31, 4))).astype(np.float32)
    for each, observation, dims in ((folder, "f00d", {"pose_dim": 1, "behind_dim": 1}), (scaled, "state", {})):
        told = about(observation=observation)
        each.start(small("residual", 4, **dims), told)
        save_episode(each.demos / f"0{SUFFIX}", dataclasses.replace(demo, about=told, observation=raw))
        failed = dataclasses.replace(demo, about=told, observation=3.0 * raw, end="truncated")  # its end is no goal
        save_episode(each.demos / f"1{SUFFIX}", failed)
    run = LearnerRun(folder)
    rows = run.learner.replay._rows[:31, :4]
    centre, axes = goals([raw], 1, 1)
    assert torch.allclose(rows, (torch.from_numpy(raw) - centre) @ axes) and rows.abs().mean() > 0.01
    folder.write(0, dataclasses.replace(episode(25, seed=1), about=run.about, observation=raw[:26]))
    run.poll()
    published, again = load_weights(folder.path), LearnerRun(folder).learner
    actor = published.actor
    seen = actor.shown(torch.from_numpy(raw))
    assert torch.equal(seen, rows) and torch.equal(again.replay._rows, run.learner.replay._rows)
    wanted = actor(seen[3:4], torch.from_numpy(demo.base[3:4]))[0][0]
    assert np.array_equal(act(published.deployed, raw[3], demo.base[3]), wanted.detach())
    state = LearnerRun(scaled).learner
    assert state.actor.centre is None and torch.equal(state.replay._rows[:31, :4], torch.from_numpy(raw))


def test_a_run_from_before_a_setting_goes_on_as_it_was(tmp_path):
    folder = RunFolder(tmp_path)
    folder.start(small("residual"), about())
    folder.write(folder.next_number(), episode(30))
    before = LearnerRun(folder)
    before.poll()
    stored = json.loads((tmp_path / "run.json").read_text())
    del stored["config"]["unanimous"]
    (tmp_path / "run.json").write_text(json.dumps(stored))
    assert LearnerRun(folder).learner.n_updates == before.learner.n_updates
    stored["config"]["of_tomorrow"] = 1
    (tmp_path / "run.json").write_text(json.dumps(stored))
    with pytest.raises(ValueError, match="of_tomorrow are unknown"):
        LearnerRun(folder)
