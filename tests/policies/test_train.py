"""Training as the command runs it: it learns, resumes exactly, and refuses what it cannot do."""

import argparse
import json
import os
import signal

import box_toy
import numpy as np
import pytest

from policies import train
from policies.checkpoint import load_checkpoint
from policies.dataset import find_episodes, load_samples
from policies.train_evaluation import EvaluationError
from policies.trainer import EXECUTED, TrainConfig, Trainer, position_errors


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    return parser.parse_args([*words, "--threads", "1", "--batch-size", "8", "--size", "32x24"])


def losses(out) -> dict[int, float]:
    entries = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return {entry["step"]: entry["loss"] for entry in entries if "loss" in entry}


@pytest.mark.parametrize(("policy", "n_steps", "left"), [("act", 120, 0.2), ("flow", 40, 0.5), ("diffusion", 40, 0.5)])
def test_overfits_one_episode(recordings, policy, n_steps, left):
    samples = load_samples(find_episodes(recordings)[:1], recordings / ".cache", ("chest", "head"), 32, 24)
    trainer = Trainer(TrainConfig(policy, batch_size=12, warmup_steps=10), samples, samples, ("chest", "head"))
    trainer.total_steps = n_steps
    trainer.step()
    before = trainer.validate()
    for _ in range(n_steps - 1):
        trainer.step()
    after = trainer.validate()
    assert after["loss"] < left * before["loss"]
    if policy == "act":
        said = trainer.average.predict(samples.images(np.array([5]))[0], samples.states[5], seed=1)
        still = np.repeat(samples.states[5][None], 24, axis=0)
        errors = [position_errors(chunk, samples.chunks[5], box_toy.CHANNELS) for chunk in (said, still)]
        missed, moved = (error[EXECUTED].mean() for error in errors)
        assert after["hands_cm"] < 2.0 and missed < 0.3 * moved


def test_run_that_was_killed_continues_as_if_it_had_not_been(recordings, tmp_path, monkeypatch):
    data = ("--data", str(recordings), "--validation", "0.25", "--steps", "6", "--outcomes", "success", "failure",
            "--weighting", "return", "--micro-batches", "2")  # fmt: skip
    assert train.run(arguments(*data, "--out", str(tmp_path / "whole"))) == 0

    step, done = Trainer.step, []

    def killed_at_four(self) -> float:
        if len(done) == 4:
            raise ConnectionAbortedError("killed")
        done.append(1)
        return step(self)

    cut = (*data, "--out", str(tmp_path / "cut"), "--save-every", "1e-9")
    with monkeypatch.context() as patch, pytest.raises(ConnectionAbortedError):
        patch.setattr(Trainer, "step", killed_at_four)
        train.run(arguments(*cut))
    with open(tmp_path / "cut" / "log.jsonl", "a") as log:
        log.write('{"step": 5, "loss": 123.0}\n{"step": 6, "lo')  # what a kill may leave after the last saved state
    assert train.run(arguments(*cut, "--resume")) == 0
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole") and len(losses(tmp_path / "whole")) == 6
    assert load_checkpoint(tmp_path / "cut").sha256 == load_checkpoint(tmp_path / "whole").sha256


def test_ctrl_c_finishes_the_step_saves_and_says_how_to_go_on(recordings, tmp_path, monkeypatch, capsys):
    step = Trainer.step

    def interrupted(self) -> float:
        os.kill(os.getpid(), signal.SIGINT)
        return step(self)

    words = ("--data", str(recordings), "--out", str(tmp_path), "--steps", "4")
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", interrupted)
        assert train.run(arguments(*words)) == 130
    assert "stopped after step 1" in capsys.readouterr().out
    assert train.run(arguments(*words, "--resume")) == 0 and len(losses(tmp_path)) == 4


def test_success_is_measured_on_the_way_and_a_failing_evaluation_ends_no_training(
    recordings, tmp_path, monkeypatch, capsys
):
    def measured(checkpoint, episodes: int, step: int) -> dict:
        assert load_checkpoint(checkpoint).train["steps"] == step and episodes == 7
        if step == 4:
            raise EvaluationError("no world")
        return {"success": 0.5}

    monkeypatch.setattr(train, "evaluation", measured)
    words = ("--data", str(recordings), "--out", str(tmp_path), "--steps", "6", "--validation", "0")
    assert train.run(arguments(*words, "--evaluate-every", "2", "--evaluate-episodes", "7")) == 0
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [e for e in entries if "evaluation" in e] == [{"step": 2, "evaluation": {"success": 0.5}}]
    said = capsys.readouterr().out
    assert "step 2: success 0.5" in said and "step 4: not evaluated, no world" in said


def test_minutes_become_steps_during_warm_up(recordings, tmp_path):
    assert train.run(arguments("--data", str(recordings), "--out", str(tmp_path), "--minutes", "0.01")) == 0
    about = load_checkpoint(tmp_path, "g1").train
    assert about["total_steps"] == about["steps"] >= 1 and about["episodes"] + about["held_out_episodes"] == 4


def test_impossible_arguments_are_refused(recordings, tmp_path):
    for words, says in (
        (("--minutes", "0"), "--minutes 0.0; allowed: above 0"),
        (("--size", "96"), "allowed: WIDTHxHEIGHT"),
        (("--validation", "1"), "--validation 1.0; allowed"),
        (("--resume",), "leave --resume out"),
        (("--segments", "nonsense"), "no segment with a weight; allowed"),
        (("--segments", "recovery"), "has no segment of --segments recovery; there are: teleop"),
        (("--micro-batches", "3"), "allowed: a batch size that is a multiple"),
        (("--cameras", "wrist"), "camera wrist was not recorded"),
    ):
        args = arguments("--data", str(recordings), "--out", str(tmp_path))
        args = argparse.Namespace(**{**vars(args), **vars(_only(words))})
        with pytest.raises(ValueError, match=says):
            train.run(args)
    assert train.run(arguments("--data", str(recordings), "--out", str(tmp_path / "run"), "--steps", "2")) == 0
    with pytest.raises(ValueError, match="holds a run already; allowed: --resume"):
        train.run(arguments("--data", str(recordings), "--out", str(tmp_path / "run"), "--steps", "2"))
    other = arguments(
        "--data", str(recordings), "--out", str(tmp_path / "run"), "--steps", "2", "--resume", "--seed", "1"
    )
    with pytest.raises(ValueError, match="--resume with another seed: 1; allowed: 0"):
        train.run(other)


def _only(words: tuple[str, ...]) -> argparse.Namespace:
    """Just the arguments that `words` set."""
    parser = argparse.ArgumentParser(argument_default=argparse.SUPPRESS)
    train.add_arguments(parser)
    given = parser.parse_args(list(words))
    names = {word[2:].replace("-", "_") for word in words if word.startswith("--")}
    return argparse.Namespace(**{name: getattr(given, name) for name in names})
