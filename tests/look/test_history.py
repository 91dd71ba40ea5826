"""`retake episodes`: filters; relabel, discard and undo, with their history."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from policies import episode_history
from policies.episode_meta import EpisodeError, read_meta
from retake.episodes import command as episodes
from retake.errors import UserError

from .recordings import Scripted, write_episode


def do(*words: str) -> int:
    parser = argparse.ArgumentParser()
    episodes.add_arguments(parser)
    return episodes.run(parser.parse_args(words))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_episode(tmp_path / "20260101-000000-7")
    write_episode(tmp_path / "20260105-120000-8", seconds=1, outcome="failure")
    return tmp_path


def test_relabel_discard_undo_and_their_history(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "20260101-000000-7"
    folder = root / name
    original, data = read_meta(folder), (folder / "episode.mcap").read_bytes()
    assert do("relabel", name, "failure", "--by", "Ada", "--root", str(root)) == 0
    assert (read_meta(folder)["outcome"], read_meta(folder)["outcome_by"]) == ("failure", "Ada")
    assert do("discard", str(folder), "--by", "Bob") == 0
    meta = read_meta(folder)
    assert (meta["outcome"], meta["outcome_by"], meta["end"]) == ("discarded", "Bob", "truncated")
    assert "failure (by Ada) is now discarded (by Bob)" in capsys.readouterr().out
    assert do("undo", "--root", str(root), "--by", "Bob") == 0
    assert read_meta(folder)["outcome"] == "failure"
    assert do("undo", name, "--root", str(root)) == 0
    meta = read_meta(folder)
    history = meta.pop("history")
    assert meta == original
    assert [(change["change"], change["by"]) for change in history[:3]] == [
        ("relabel", "Ada"), ("discard", "Bob"), ("undo", "Bob")]
    assert history[0]["before"]["outcome"] == "success" and history[0]["time_ns"] > 0
    assert (folder / "episode.mcap").read_bytes() == data
    with pytest.raises(EpisodeError, match="nobody changed this episode, or all is undone; it is success, said by"):
        do("undo", str(folder))
    with pytest.raises(UserError, match="nothing to undo"):
        do("undo", "--root", str(root))


def test_undo_takes_the_newest_change_of_all(root: Path) -> None:
    first, second = sorted(root.iterdir())
    episode_history.discard(second, "Ada", 10)
    episode_history.discard(first, "Ada", 20)
    assert do("undo", "--root", str(root)) == 0
    assert read_meta(first)["outcome"] == "success" and read_meta(second)["outcome"] == "discarded"


def test_an_episode_that_had_no_end_gets_none_back(root: Path) -> None:
    folder = root / "20260101-000000-7"
    meta = {key: value for key, value in read_meta(folder).items() if key != "end"}
    (folder / "episode.json").write_text(json.dumps(meta))
    episode_history.relabel(folder, "failure", "Ada", 1)
    assert read_meta(folder)["end"] == "terminated"
    assert "end" not in episode_history.undo(folder, "Ada", 2)


def test_refused_changes(root: Path) -> None:
    folder = root / "20260101-000000-7"
    with pytest.raises(EpisodeError, match="has ended already: it is success, said by operator"):
        do("relabel", str(folder), "success")
    with pytest.raises(EpisodeError, match="label 'good' is unknown; allowed: success, failure"):
        do("relabel", str(folder), "good")
    with pytest.raises(UserError, match="write relabel EPISODE success|failure"):
        do("relabel", str(folder))
    with pytest.raises(UserError, match="no episode 'nothing'"):
        do("discard", "nothing")
    with pytest.raises(UserError, match="allowed: a folder to list"):
        do(str(root), "what")
    Scripted(root / "20260106-000000-9").writer.abandon()
    with pytest.raises(EpisodeError, match="has not ended: end it with episode/success"):
        do("discard", str(root / "20260106-000000-9"))


def test_filters(root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")

    def listed(*words: str) -> list[str]:
        assert do(str(root), *words) == 0
        return [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]

    first, second = "20260101-000000-7", "20260105-120000-8"
    assert listed() == [first, second]
    assert listed("--outcome", "failure") == [second]
    assert listed("--task", "arm_pick") == []
    assert listed("--segment", "correction") == [first]
    assert listed("--operator", "joy") == [first]
    assert listed("--policy", "0123") == [first, second] and listed("--policy", "9") == []
    assert listed("--since", "2026-01-05") == [second] and listed("--since", "2026-01-05T12:00:01") == []
    with pytest.raises(UserError, match="is no date"):
        do(str(root), "--since", "yesterday")
