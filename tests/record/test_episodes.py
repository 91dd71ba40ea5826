"""`retake episodes`: the table, and what it says about folders that it cannot read."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from policies.episode_file import EpisodeWriter, write_meta
from policies.timeline import authorities, seconds_of
from retake.episodes import command as episodes
from retake.errors import UserError


def list_episodes(*words: str) -> int:
    parser = argparse.ArgumentParser()
    episodes.add_arguments(parser)
    return episodes.run(parser.parse_args(words))


def record(root: Path, name: str, outcome: str, seed: int) -> None:
    meta = {"task": "g1_box", "seed": seed, "policy_hash": "0123456789abcdef",
            "authority": [[0, "none"], [10**9, "policy"], [6 * 10**9, "teleop"]]}
    writer = EpisodeWriter(root / name, meta)
    for second in range(11):
        writer.write_vector("/g1/reference", ("x",), [0.0], second * 10**9)
    writer.close(outcome, "operator")


def test_time_of_the_authorities() -> None:
    timeline = [[0, "none"], [10, "policy"], [60, "teleop"], [80, "policy"]]
    meta = {"started_ns": 0, "ended_ns": 100, "authority": timeline}
    assert seconds_of(authorities(meta)) == pytest.approx({"none": 10e-9, "policy": 70e-9, "teleop": 20e-9})
    assert authorities({**meta, "authority": []}) == []
    assert authorities({**meta, "ended_ns": None}) == []


def test_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    record(tmp_path, "20260101-000000-7", "success", 7)
    record(tmp_path, "20260101-000001-8", "failure", 8)
    EpisodeWriter(tmp_path / "20260101-000002-9", {"seed": 9}).abandon()
    assert list_episodes(str(tmp_path)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    words = "20260101-000000-7", "g1_box", "success", "operator", "10.0", "policy 50%", "teleop 40%", "0123456789ab"
    assert all(word in lines[1] for word in words)
    assert "in progress or killed" in lines[3]
    assert list_episodes(str(tmp_path), "--outcome", "failure") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["20260101-000001-8"]


def test_what_cannot_be_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="no folder"):
        list_episodes(str(tmp_path / "nothing"))
    (tmp_path / "e").mkdir()
    write_meta(tmp_path / "e", {"format": 2})
    assert list_episodes(str(tmp_path)) == 1
    assert "format 2 is unknown; allowed: 1" in capsys.readouterr().out
