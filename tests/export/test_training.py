"""LeRobot datasets are trained on where they are: the same samples as from recordings, decoded once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_episodes import CAMERAS, HEIGHT, WIDTH, command
from test_import import FPS, LENGTHS, THEIRS, foreign

from policies import train
from policies.checkpoint import load_checkpoint
from policies.dataset import DatasetError, find_episodes, load_samples
from policies.episode_meta import read_meta, write_meta
from policies.segments import EVERY_DRIVEN
from retake.episodes import dataset_export


def test_an_exported_dataset_gives_what_its_recordings_give(root: Path, tmp_path: Path) -> None:
    for folder in root.iterdir():
        meta = read_meta(folder)
        write_meta(folder, meta | {"ended_ns": meta["started_ns"] + 2_000_000_000})  # its last message is its oldest
    assert command(dataset_export, root, tmp_path / "lerobot", "--outcomes", "success", "failure") == 0
    both = [load_samples(find_episodes(path, ("success", "failure")), tmp_path / "cache", CAMERAS, WIDTH, HEIGHT)
            for path in (root, tmp_path / "lerobot")]  # fmt: skip
    recorded, exported = both
    assert recorded.names == exported.names and recorded.frames_of() == exported.frames_of()
    np.testing.assert_array_equal(recorded.where, exported.where)
    np.testing.assert_array_equal(recorded.states, exported.states)
    assert recorded.episodes[0].channels == exported.episodes[0].channels
    np.testing.assert_array_equal(recorded.episodes[0].frame_stamps_ns, exported.episodes[0].frame_stamps_ns)
    index = np.arange(len(recorded.where))
    apart = np.abs(recorded.images(index).astype(float) - exported.images(index))  # H.264 against JPEG
    assert apart.mean() < 3.0


def test_a_dataset_of_others_with_its_own_channels(tmp_path: Path) -> None:
    success = [False] * 19 + [True] + [False] * 14
    data = foreign(tmp_path / "theirs", **{"next.success": success, "intervention": [i < 9 for i in range(34)]})
    assert [e.name for e in find_episodes(data)] == ["theirs-000000"]
    episodes = find_episodes(data, ("success", "failure"))
    assert [e.meta["outcome"] for e in episodes] == ["success", "failure"]
    assert episodes[0].meta["robot"] == "so100" and episodes[0].meta["task"] == "pick the cube"
    samples = load_samples(episodes, tmp_path / "cache", ("wrist_cam",), WIDTH, HEIGHT)
    assert samples.episodes[0].channels == THEIRS and samples.chunks.shape[1:] == (24, len(THEIRS))
    assert [len(e.images) for e in samples.episodes] == list(LENGTHS)
    period = np.diff(samples.episodes[1].frame_stamps_ns)
    np.testing.assert_allclose(period, 1e9 / FPS, atol=200)
    with pytest.raises(DatasetError, match="has no segment of --segments recovery; there are: correction, policy"):
        find_episodes(data, segments="recovery")
    assert find_episodes(data, segments=EVERY_DRIVEN)


def test_pictures_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = foreign(tmp_path / "theirs")
    first = load_samples(find_episodes(data), tmp_path / "cache", ("wrist_cam",), 32, 24)
    monkeypatch.setattr("policies.lerobot_import.read_frames", None)  # a second decoding would fail
    second = load_samples(find_episodes(data), tmp_path / "cache", ("wrist_cam",), 32, 24)
    index = np.arange(sum(LENGTHS))
    np.testing.assert_array_equal(first.images(index), second.images(index))
    with pytest.raises(DatasetError, match="episode theirs-000000 is there twice; allowed: once"):
        find_episodes([data, data])


def test_it_trains_where_no_channel_is_a_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = foreign(tmp_path / "theirs"), tmp_path / "out"
    small = ("--size", "32x24", "--batch-size", "4", "--threads", "1", "--steps", "2", "--validation", "0.5")
    assert command(train, "--data", data, "--out", out, *small) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "does not say how its episodes ended: all are taken for successes" in said
    assert "final: held-out loss" in said and "hands" not in said
    checkpoint = load_checkpoint(out)
    assert (checkpoint.robot, checkpoint.task) == ("so100", "pick the cube")
    assert checkpoint.policy.config.action_channels == THEIRS
