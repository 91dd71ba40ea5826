"""`retake learn` as a person runs it, on a base that succeeds quickly."""

from __future__ import annotations

import argparse
import json

import pytest
import torch

from policies.rl.run import RunFolder
from policies.rl.weights import load_weights
from sim import learn
from sim.learn import _Run

QUICK = ("hidden_dim=16", "batch_size=16", "n_critics=2", "warmup_steps=30", "critic_only_updates=4",
         "updates_per_step=1", "actor_every=1", "actor_learning_rate=0.01")  # fmt: skip


def learned(out, *words: str) -> int:
    parser = argparse.ArgumentParser()
    learn.add_arguments(parser)
    plain = ["--base", "scripted:0", "--out", str(out), "--steps", "80", "--demos", "1", "--episodes", "1",
             "--evaluate-every", "1000", "--set", *QUICK]  # fmt: skip
    return learn.run(parser.parse_args([*plain, *words]))


@pytest.mark.heavy
def test_a_run_that_was_killed_ends_as_if_it_had_not_been(tmp_path, monkeypatch, capsys):
    assert learned(tmp_path / "a" / "run") == 0
    assert "base 1/1" in capsys.readouterr().out
    whole = tmp_path / "a" / "run"
    assert (whole / "curve.svg").read_text().startswith("<svg") and json.loads((whole / "curve.json").read_text())

    cut, episode, calls = tmp_path / "b" / "run", _Run._episode, []

    def killed(self) -> int:
        steps = episode(self)
        calls.append(steps)
        if len(calls) == 2:
            raise ConnectionAbortedError("killed")  # the episode is written, nobody has learnt from it
        return steps

    with monkeypatch.context() as patch, pytest.raises(ConnectionAbortedError):
        patch.setattr(_Run, "_episode", killed)
        learned(cut)
    assert learned(cut) == 0
    assert RunFolder(cut).log() == RunFolder(whole).log()
    ours, theirs = (load_weights(folder).actor.state_dict() for folder in (cut, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours) and load_weights(cut).version > 4


def test_actor_and_learner_apart_do_what_they_do_together(tmp_path):
    run = tmp_path / "run"
    with pytest.raises(ValueError, match="start the learner first"):
        learned(run, "--role", "actor")
    assert learned(run, "--steps", "1", "--evaluate-every", "0", "--episodes", "1") == 0
    assert learned(run, "--role", "actor", "--steps", "50") == 0
    assert learned(run, "--role", "learner", "--steps", "50", "--evaluate-every", "0") == 0
    assert sum(line["steps"] for line in RunFolder(run).log()) >= 50


@pytest.mark.parametrize(("words", "says"), [
    (("--base", "scripted:x"), "allowed: scripted:MILLIMETRES"),
    (("--base", "scripted:4,0"), "a pace above 0 up to 1"),
    (("--base", "scripted:3", "--task", "arm_pick"), "scripted is for arm_insert"),
    (("--base", "nowhere"), "is no checkpoint"),
    (("--demos", "5000"), "--demos 5000"),
    (("--set", "gama=0.9"), "--set gama=0.9; allowed: NAME=VALUE"),
    (("--set", "n_step=x"), "--set n_step=x; allowed: n_step=3, another int"),
])  # fmt: skip
def test_impossible_arguments_are_refused(tmp_path, words, says):
    with pytest.raises(ValueError, match=says):
        learned(tmp_path / "run", *words)
