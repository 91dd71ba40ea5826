"""`retake promote` and `retake rollback` from end to end, with evaluations that are made up."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import pytest

from policies.rl import rollback
from policies.rl.ledger import Deployed
from sim import promote


@dataclass(frozen=True)
class MadeUp:
    """A policy that succeeds on a fixed share of seeds."""

    policy: str
    task: str
    sha256: str
    wins: int  # of 10


def settings(folder: str, task: str) -> MadeUp:
    wins = int((Path(folder) / "model.safetensors").read_text())
    return MadeUp(folder, "arm_insert", f"{wins:064d}"[::-1], wins)


@pytest.fixture
def made_up(monkeypatch):
    used = []

    def wins(evaluated: MadeUp, seeds, folder, workers) -> dict[int, bool]:
        used.append(seeds)
        return {seed: seed % 10 < evaluated.wins for seed in seeds}

    monkeypatch.setattr(promote, "settings_of", settings)
    monkeypatch.setattr(promote, "_wins", wins)
    return used


def ask(root: Path, wins: int, *words: str) -> int:
    folder = root.parent / f"policy{wins}"
    folder.mkdir(exist_ok=True)
    (folder / "model.safetensors").write_text(str(wins))
    parser = argparse.ArgumentParser()
    promote.add_arguments(parser)
    return promote.run(parser.parse_args([str(folder), "--root", str(root), "--episodes", "100", *words]))


def take_back(root: Path, *words: str) -> int:
    parser = argparse.ArgumentParser()
    rollback.add_arguments(parser)
    return rollback.run(parser.parse_args(["arm_insert", "--root", str(root), *words]))


def test_promotion_refusal_rollback(tmp_path, made_up, capsys):
    root = tmp_path / "deployed"
    with pytest.raises(ValueError, match="arm_insert has no deployed policy"):
        take_back(root)
    assert ask(root, 5) == 0 and "first policy" in capsys.readouterr().out
    assert ask(root, 9) == 0 and "promoted: not worse: +40.0 points" in capsys.readouterr().out
    assert ask(root, 9) == 0 and "is deployed already" in capsys.readouterr().out
    assert ask(root, 7) == 1 and "refused: not shown to be as good" in capsys.readouterr().out
    with pytest.raises(ValueError, match="was refused beside"):
        ask(root, 7)
    assert {seeds.start for seeds in made_up} == {100_000, 100_100}, "every verdict has seeds of its own"
    current = Deployed(root / "arm_insert")
    assert (current.current / "model.safetensors").read_text() == "9"
    assert take_back(root) == 0 and (current.current / "model.safetensors").read_text() == "5"
    assert take_back(root, "--ledger") == 0 and "rollback" in capsys.readouterr().out
    with pytest.raises(ValueError, match="decide nothing"):
        ask(root, 8, "--episodes", "10")
