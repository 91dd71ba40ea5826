"""`retake validate` names what is wrong with an episode or a dataset, in one line each, with the remedy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_episodes import CHANNELS, ROBOT, command, jpeg, picture, write_episode

from policies.episode_file import EpisodeWriter, read_meta, write_meta
from retake.episodes import dataset_export, validate
from retake.errors import UserError


def said(capsys: pytest.CaptureFixture, path: Path, *words: str) -> tuple[int, list[str]]:
    capsys.readouterr()
    code = command(validate, path, *words)
    return code, capsys.readouterr().out.splitlines()


def test_whole_episodes(root: Path, capsys: pytest.CaptureFixture) -> None:
    assert said(capsys, root) == (0, [f"{root}: 5 episodes, 0 faults, 0 notes"])


def test_gaps_and_losses_are_notes(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = write_episode(tmp_path / "e", 1, 30, lost=(10, 11, 12, 13))
    write_meta(folder, read_meta(folder) | {"lost": {"joint_states": 3}})
    code, lines = said(capsys, folder)
    assert code == 0 and len(lines) == 4
    assert "lost while recording: 3 of joint_states" in lines[0]
    assert "chest/color/image_raw/compressed: 1 gaps, the longest 330 ms" in lines[1]


def test_a_torn_recording_is_named_and_repaired(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = write_episode(tmp_path / "e", 1, 30)
    log = folder / "episode.mcap"
    log.write_bytes(log.read_bytes()[:-2000])
    write_meta(folder, read_meta(folder) | {"ended_ns": None, "outcome": "aborted"})
    code, lines = said(capsys, folder)
    assert code == 1 and "was not ended" in lines[0] and "torn" in lines[1]
    assert all("retake validate --repair" in line for line in lines[:2])
    code, lines = said(capsys, folder, "--repair")
    assert code == 0 and lines[0] == f"note  {folder}: repaired"


def test_bad_values_and_pictures(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    writer = EpisodeWriter(tmp_path / "e", {"robot": ROBOT, "action_channels": list(CHANNELS)})
    for i in range(12):
        values = np.full(4, np.nan if i == 5 else 1.0)
        writer.write_vector(f"/{ROBOT}/measured_action", CHANNELS, values, i * 10_000_000)
        writer.write_vector(f"/{ROBOT}/reference", CHANNELS[:2], values[:2] * 0 + 1, (20 - i) * 10_000_000)
        data = jpeg(picture(0, i, 0))[: 50 if i == 3 else None]
        writer.write_jpeg(f"/{ROBOT}/camera/head/color/image_raw/compressed", data, i * 10_000_000)
    writer.close("success", "operator")
    code, lines = said(capsys, tmp_path / "e")
    text = "\n".join(lines)
    assert code == 1
    for words in (
        "measured_action: 1 messages with NaN or infinity", "reference: 12 messages with other channels",
        "compressed: 1 messages with a picture that is no JPEG", "the stamps of /arm/reference go back 11 times",
    ):  # fmt: skip
        assert words in text


def test_what_training_needs(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with EpisodeWriter(tmp_path / "e", {"robot": ROBOT}) as writer:
        writer.write_vector(f"/{ROBOT}/reference", CHANNELS, np.zeros(4), 0)
    code, lines = said(capsys, tmp_path / "e")
    assert code == 1 and "no measured_action was recorded" in lines[0] and "no camera was recorded" in lines[1]


def test_counts_that_do_not_agree(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = write_episode(tmp_path / "e", 1, 12)
    meta = read_meta(folder)
    write_meta(folder, meta | {"messages": meta["messages"] | {f"/{ROBOT}/reference": 9}})
    code, lines = said(capsys, folder)
    assert code == 1 and "messages, episode.json says 9" in lines[0]


def replace_column(path: Path, name: str, values: object) -> None:
    table = pq.read_table(path)
    at, field = table.schema.get_field_index(name), table.schema.field(name)
    pq.write_table(table.set_column(at, field, pa.array(values, type=field.type)), path)


def test_faults_of_a_dataset(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "out"
    command(dataset_export, root, out)
    assert said(capsys, out)[0] == 0
    path = out / "data/chunk-000/file-002.parquet"
    whole = path.read_bytes()
    table = pq.read_table(path)
    wrong = {
        "observation.state": [[float("nan"), *row[1:]] for row in table["observation.state"].to_pylist()],
        "timestamp": [*table["timestamp"].to_pylist()[:-1], 99.0],
        "stamp_ns": table["stamp_ns"].to_pylist()[::-1],
        "index": [7] * len(table),
    }
    expected = {"observation.state": "holds 14 NaN",
                "timestamp": "1 rows of episode 2 have no frame at their timestamp",
                "stamp_ns": "its times do not rise", "index": "its index does not count up from 25"}
    for name, values in wrong.items():
        replace_column(path, name, values)
        code, lines = said(capsys, out)
        assert code == 1 and any(expected[name] in line for line in lines), (name, lines)
        path.write_bytes(whole)
    pq.write_table(table.slice(0, 10), path)
    assert any("has 10 rows, meta/episodes says 14" in line for line in said(capsys, out)[1])
    path.write_bytes(whole)
    videos = out / "videos/observation.images.head/chunk-000"
    (videos / "file-002.mp4").write_bytes((videos / "file-001.mp4").read_bytes())
    assert any("has 13 frames for 14 rows" in line for line in said(capsys, out)[1])


def test_meta_of_a_dataset(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "out"
    command(dataset_export, root, out)
    info_path = out / "meta/info.json"
    info = json.loads(info_path.read_text())
    for change, words in (({"codebase_version": "v2.1"}, "version 'v2.1'; allowed: v3.0"),
                          ({"total_frames": 1}, "do not add up to 1 frames"),
                          ({"total_tasks": 3}, "counts 3 tasks")):
        info_path.write_text(json.dumps(info | change))
        code, lines = said(capsys, out)
        assert code == 1 and words in lines[0]
    info_path.write_text("{")
    assert "is not JSON" in said(capsys, out)[1][0]
    info_path.unlink()
    assert "no meta/info.json" in said(capsys, out)[1][0]


def test_what_is_neither(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no episodes"):
        command(validate, tmp_path)
    with pytest.raises(UserError, match="is no folder"):
        command(validate, tmp_path / "nothing")
