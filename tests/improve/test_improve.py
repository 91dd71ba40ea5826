"""`retake improve` from end to end on small recordings: what a round is, what a kill leaves, what the gate decides."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import helped_episodes as made
import pytest
import torch

from policies import train
from policies.checkpoint import load_checkpoint
from policies.rl.ledger import Deployed
from sim import improve, improve_methods, promote
from sim.improve_methods import METHODS

FRAMES = made.HELPED[1][1] + made.HELPED[2][1]  # in a person's hands per episode


def parsed(command, *words):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Demonstrations, and the base policy that comes from them."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("start")
    for seed in range(2):
        made.write(root / "demos", seed, made.DEMONSTRATED, "success", cut=False)
    words = "--data", root / "demos", "--out", root / "base", "--steps", 2, "--size", "32x24", "--validation", 0
    assert train.run(parsed(train, *words, "--threads", 1)) == 0
    return root


@pytest.fixture
def world(monkeypatch):
    """A robot whose policy always needs help: (policy, seed) of every episode, in their order."""
    seen: list[tuple[str, int]] = []

    def recorder(self, policy: Path, task: str):
        def record(seed: int, root: Path) -> dict:
            seen.append((policy.name, seed))
            return made.write(root, seed)

        return record

    monkeypatch.setattr(improve_methods.Method, "recorder", recorder)
    return seen


def ask(start: Path, out: Path, *words) -> int:
    common = "--base", start / "base", "--data", start / "demos", "--out", out, "--steps", 2, "--threads", 1
    return improve.run(parsed(improve, *common, "--frames", 2 * FRAMES, "--gate", 0, *words))


def test_a_round_is_help_then_training_on_all_of_it(start, world, tmp_path, capsys):
    assert ask(start, tmp_path, "--rounds", 2) == 0
    assert [name for name, _ in world] == ["base"] * 2 + ["policy"] * 2
    assert len({seed for _, seed in world}) == 4, "each round sees worlds of its own"
    result = json.loads((tmp_path / "round-2/round.json").read_text())
    assert result["effort"]["taught"] == 2 * FRAMES and result["effort"]["episodes"] == 2
    assert result["effort"]["supervised_minutes"] > result["effort"]["operator_minutes"] > 0.0
    told = load_checkpoint(tmp_path / "round-2/policy").train
    assert told["episodes"] == 2 + 4 and told["start"] == load_checkpoint(start / "base").sha256
    assert "rewind" not in told["segments"] and told["freeze_encoders"]
    assert "round 2: 2 episodes" in capsys.readouterr().out
    before = len(world)
    assert ask(start, tmp_path, "--rounds", 2) == 0 and len(world) == before, "nothing is done twice"


def test_a_killed_run_goes_on_and_comes_to_the_same_policy(start, world, tmp_path, monkeypatch, capsys):
    assert ask(start, tmp_path / "whole", "--rounds", 1) == 0
    write = made.write

    def killed(root: Path, seed: int) -> dict:
        if len(world) == 4:
            made.EpisodeWriter(root / "torn", {"seed": seed, "robot": "yam"})
            raise KeyboardInterrupt
        return write(root, seed)

    monkeypatch.setattr(made, "write", killed)
    assert ask(start, tmp_path / "torn", "--rounds", 1) == 130
    assert "the same command goes on" in capsys.readouterr().out
    assert ask(start, tmp_path / "torn", "--rounds", 1) == 0
    assert [seed for _, seed in world] == [30_000, 30_001, 30_000, 30_001, 30_001]
    whole, torn = (load_checkpoint(tmp_path / name / "round-1/policy").sha256 for name in ("whole", "torn"))
    assert whole == torn


def test_what_people_have_recorded_is_one_round(start, world, tmp_path, capsys):
    for seed in range(3):
        made.write(tmp_path / "people", seed)
    made.write(tmp_path / "people", 3, outcome="aborted")
    made.write(tmp_path / "people", 4, (("policy", 10), ("rewind", 10)), "discarded")
    assert ask(start, tmp_path / "run", "--recorded", tmp_path / "people") == 0
    said = capsys.readouterr().out
    assert "1 episodes have no outcome and are left out" in said and not world
    effort = json.loads((tmp_path / "run/round-1/round.json").read_text())["effort"]
    assert effort["episodes"] == 4 and effort["taught"] == 3 * FRAMES
    assert load_checkpoint(tmp_path / "run/round-1/policy").train["episodes"] == 2 + 3
    with pytest.raises(ValueError, match="another recorded"):
        ask(start, tmp_path / "run")


def test_a_person_has_seen_enough_after_a_while(start, world, tmp_path):
    assert ask(start, tmp_path, "--rounds", 1, "--watch", 1) == 0
    assert json.loads((tmp_path / "round-1/round.json").read_text())["effort"]["taught"] == FRAMES


def test_the_gate_decides_which_policy_goes_on(start, world, tmp_path, monkeypatch):
    wins = iter([0.9, 0.5, 0.9, 0.95])  # deployed and candidate, round by round

    def made_up(settings, seeds, folder, workers):
        rate = next(wins)
        return {seed: seed % 100 < 100 * rate for seed in seeds}

    monkeypatch.setattr(promote, "_wins", made_up)
    root = tmp_path / "deployed"
    assert ask(start, tmp_path / "run", "--rounds", 2, "--gate", 100, "--root", root) == 0
    assert [name for name, _ in world] == ["base"] * 4, "a refused policy is not watched"
    entries = Deployed(root / "arm_pick").entries()
    assert [entry["kind"] for entry in entries] == ["promoted", "refused", "promoted"]
    frames = entries[-1]["effort"]["frames"]
    assert frames["rewind"] == 4 * made.HELPED[1][1], "what it took since the deployed policy, both rounds"
    assert entries[-1]["points_per_operator_minute"] > 0.0
    assert ask(start, tmp_path / "run", "--rounds", 2, "--gate", 100, "--root", root) == 0


def test_equal_budgets_count_what_is_learnt_from():
    def episode(*names, outcome="success"):
        stamps = [[k * 3_000_000_000, name] for k, name in enumerate(names)]
        return {"outcome": outcome, "authority": stamps, "segments": stamps, "started_ns": 0,
                "ended_ns": len(names) * 3_000_000_000}  # fmt: skip

    helped, given_up = episode("policy", "rewind", "correction"), episode("policy", "rewind", outcome="discarded")
    spent = METHODS["rac"].spent([helped, given_up], "arm_pick")
    assert spent["taught"] == 100 and spent["operator_minutes"] == pytest.approx(0.15)
    assert spent["supervised_minutes"] == pytest.approx(0.25)
    assert METHODS["hg-dagger"].spent([helped], "arm_pick")["taught"] == 50
    assert METHODS["demos"].spent([episode("teleop")], "arm_pick")["taught"] == 50


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--frames", "0"), "--frames 0; allowed: 1 and more"),
        (("--seed", "40"), "worlds below 100000"),
        (("--segments", "policy,dance"), "no segment with a weight"),
    ],
)
def test_what_makes_no_sense_is_refused(start, world, tmp_path, words, says):
    with pytest.raises(ValueError, match=says):
        ask(start, tmp_path, *words)
    assert not world and not list(tmp_path.iterdir())


def test_other_tasks_and_changed_bases_are_refused_and_nothing_is_lost(start, world, tmp_path):
    made.write(tmp_path / "other", 5, made.DEMONSTRATED, "success", task="arm_insert", cut=False)
    with pytest.raises(ValueError, match="holds arm_insert of yam; allowed: arm_pick of yam"):
        ask(start, tmp_path / "run", "--data", tmp_path / "other")
    with pytest.raises(ValueError, match="mixes robots or tasks"):
        ask(start, tmp_path / "run", "--data", start / "demos", tmp_path / "other")
    meta = made.write(tmp_path / "fewer", 5, made.DEMONSTRATED, "success", cut=False)
    path = tmp_path / "fewer" / meta["id"] / "episode.json"
    path.write_text(json.dumps({**meta, "action_channels": meta["action_channels"][:-1]}))
    with pytest.raises(ValueError, match="has the channels .*left_ee.qw; allowed: those of .*left_gripper"):
        ask(start, tmp_path / "run", "--data", tmp_path / "fewer")
    assert ask(start, tmp_path / "run", "--rounds", 1) == 0
    recorded = sorted((tmp_path / "run/round-1/episodes").iterdir())
    changed = replace(load_checkpoint(start / "base"), sha256="0" * 64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(improve, "load_checkpoint", lambda folder: changed)
        with pytest.raises(ValueError, match="holds a run with another base.*allowed: as at its start"):
            ask(start, tmp_path / "run", "--rounds", 2)
    with pytest.raises(ValueError, match="another frames"):
        ask(start, tmp_path / "run", "--frames", 7)
    assert sorted((tmp_path / "run/round-1/episodes").iterdir()) == recorded
