"""Export to LeRobot v3.0: exact rows and times, what is in the files, increments, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
from made_episodes import CAMERAS, CHANNELS, ROBOT, command, differences, jpeg, picture, worst_psnr_db, write_episode

from policies.episode_file import (
    EpisodeError,
    EpisodeWriter,
    read_episode,
    read_messages,
    read_meta,
    write_meta,
)
from policies.lerobot_export import LeRobotExport
from policies.lerobot_rows import content_sha256, episode_rows
from policies.lerobot_video import decoded_times_us, uneven_frames
from retake.episodes import dataset_export, dataset_import, validate

EXACT = {"recorded.state": "observation.state", "recorded.action": "action", "recorded.policy_action": "policy_action"}


def export_one(folder: Path, out: Path, **options: str) -> None:
    with LeRobotExport(out, **options) as export:
        export.append(folder.name, content_sha256(folder, read_meta(folder)), episode_rows(folder))


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_rows_are_what_was_recorded(root: Path, tmp_path: Path) -> None:
    assert command(dataset_export, root, tmp_path / "out") == 0
    out = tmp_path / "out"
    info = json.loads((out / "meta/info.json").read_text())
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (4, 12 + 13 + 14 + 15, 1)
    assert info["codebase_version"] == "v3.0" and info["fps"] == 15 and info["robot_type"] == ROBOT
    assert info["features"]["action"]["names"] == list(CHANNELS)
    start = 0
    for index, folder in enumerate(sorted(root.iterdir())[:4]):
        rows, episode = episode_rows(folder), read_episode(folder)
        table = pq.read_table(out / f"data/chunk-000/file-{index:03d}.parquet")
        assert len(table) == len(episode.frame_stamps_ns) == 12 + index
        np.testing.assert_array_equal(table["stamp_ns"], episode.frame_stamps_ns)
        np.testing.assert_array_equal(np.stack(table["recorded.state"].to_pylist()), episode.state)
        for exact, key in EXACT.items():
            np.testing.assert_array_equal(table[key].to_pylist(), np.asarray(rows.columns[exact], np.float32))
        np.testing.assert_allclose(table["timestamp"], (episode.frame_stamps_ns - episode.frame_stamps_ns[0]) / 1e9,
                                   atol=1e-6)
        assert table["index"].to_pylist() == list(range(start, start + len(table)))
        assert table["next.done"].to_pylist() == [False] * (len(table) - 1) + [True]
        assert table["next.success"].to_pylist()[-1] == (episode.meta["outcome"] == "success")
        assert set(table.column_names) == {k for k, f in info["features"].items() if f["dtype"] != "video"}
        for camera in CAMERAS:
            times = decoded_times_us(out / f"videos/observation.images.{camera}/chunk-000/file-{index:03d}.mp4")
            np.testing.assert_array_equal(times, np.rint((rows.stamp_ns - rows.stamp_ns[0]) / 1000))
        (row,) = pq.read_table(out / f"meta/episodes/chunk-000/file-{index:03d}.parquet").to_pylist()
        assert (row["dataset_from_index"], row["dataset_to_index"], row["length"]) == (start, start + len(table),
                                                                                       len(table))
        assert (row["episode_id"], row["outcome"], row["outcome_by"]) == (folder.name, episode.meta["outcome"],
                                                                          "operator")
        start += len(table)
    assert command(validate, out) == 0


def test_actions_and_segments_at_the_frames(tmp_path: Path) -> None:
    folder = write_episode(tmp_path / "e", 1, 20)
    rows, episode = episode_rows(folder), read_episode(folder)
    for i, stamp in enumerate(rows.stamp_ns):
        newest = np.flatnonzero(episode.reference_stamps_ns <= stamp)[-1]
        np.testing.assert_array_equal(rows.columns["recorded.reference"][i], episode.reference[newest])
        tick = (episode.reference_stamps_ns[newest] - episode.reference_stamps_ns[0]) // 20_000_000
        assert rows.columns["policy_action_valid"][i] == bool(tick % 7)
        since = [name for ns, name in episode.meta["segments"] if ns <= stamp][-1]
        assert rows.columns["segment"][i] == since
        assert rows.columns["intervention"][i] == (since != "policy")
        assert rows.columns["authority"][i] == ("policy" if since == "policy" else "teleop")
    not_wanted = ~np.asarray(rows.columns["policy_action_valid"])
    assert not_wanted.any()
    np.testing.assert_array_equal(np.asarray(rows.columns["recorded.policy_action"])[not_wanted],
                                  np.asarray(rows.columns["recorded.reference"])[not_wanted])


def test_frames_without_a_state_are_said(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = write_episode(tmp_path / "episodes/e", 1, 12)
    cameras = [f"/{ROBOT}/camera/{camera}/color/image_raw/compressed" for camera in CAMERAS]
    whole = list(read_messages(folder / "episode.mcap"))
    meta = {key: value for key, value in read_meta(folder).items() if key not in ("ended_ns", "messages")}
    writer = EpisodeWriter(tmp_path / "late/e", meta)
    for message in whole:
        if message.topic in cameras or message.publish_ns >= whole[0].publish_ns + 150_000_000:
            writer.write_raw(message.topic, message.msgtype, message.data, message.publish_ns)
    writer.close("success", "operator")
    assert command(dataset_export, tmp_path / "late", tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "1 added; 9 frames in all" in said and "3 frames came before the first state" in said


def test_old_recordings_have_their_segments_from_the_authority(tmp_path: Path) -> None:
    folder = write_episode(tmp_path / "e", 1, 12, wanted=False)
    meta = read_meta(folder)
    begin = meta["authority"][0][0]
    meta = {key: value for key, value in meta.items() if key not in ("segments", "end")}
    write_meta(folder, meta | {"authority": [[begin, "teleop"], [begin + 200_000_000, "policy"],
                                             [begin + 400_000_000, "stopped"], [begin + 600_000_000, "teleop"]]})
    rows = episode_rows(folder)
    assert list(dict.fromkeys(rows.columns["segment"])) == ["teleop", "policy", "pause"]
    driven = [i for i, segment in enumerate(rows.columns["segment"]) if segment == "teleop"]
    assert [bool(rows.columns["intervention"][i]) for i in driven] == [i > 4 for i in driven], "only after a policy"
    assert not np.any(rows.columns["policy_action_valid"]) and not np.any(rows.columns["next.truncated"])


def test_true_times_of_an_uneven_camera(tmp_path: Path) -> None:
    folder = write_episode(tmp_path / "e", 1, 20, jitter_ns=5_000_000, lost=(7, 8, 13))
    export_one(folder, tmp_path / "true")
    export_one(folder, tmp_path / "nominal", timing="nominal")
    true, nominal = (pq.read_table(tmp_path / name / "data/chunk-000/file-000.parquet") for name in ("true", "nominal"))
    stamps = read_episode(folder).frame_stamps_ns
    assert len(true) == len(nominal) == 17
    for table in (true, nominal):
        np.testing.assert_array_equal(table["stamp_ns"], stamps)
    np.testing.assert_allclose(true["timestamp"], (stamps - stamps[0]) / 1e9, atol=1e-6)
    np.testing.assert_allclose(nominal["timestamp"], np.arange(17) / 15, atol=1e-6)
    for name, table in (("true", true), ("nominal", nominal)):
        times = decoded_times_us(tmp_path / name / "videos/observation.images.head/chunk-000/file-000.mp4")
        np.testing.assert_allclose(times / 1e6, table["timestamp"], atol=1e-6)
        assert command(validate, tmp_path / name) == 0
        assert bool(uneven_frames(times)) == (name == "true")


def test_the_demonstrators_action_is_the_one_to_learn(tmp_path: Path) -> None:
    rows = episode_rows(write_episode(tmp_path / "e", 1, 12, expert=True))
    assert rows.has_expert_action
    assert not np.array_equal(rows.columns["recorded.action"], rows.columns["recorded.reference"])


def test_a_second_export_adds_only_what_is_new(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "out"
    command(dataset_export, root, out)
    before = snapshot(out)
    assert command(dataset_export, root, out) == 0
    assert snapshot(out) == before
    write_episode(root / "20260102-000000-7", 7, 30)
    assert command(dataset_export, root, out) == 0
    assert "4 there already, 1 left out, 1 added" in capsys.readouterr().out
    after = snapshot(out)
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"meta/info.json", "meta/stats.json"}
    assert json.loads(after["meta/info.json"])["total_frames"] == 54 + 30
    assert command(validate, out) == 0
    assert command(dataset_export, root, out, "--outcomes", "discarded") == 0
    assert json.loads((out / "meta/info.json").read_text())["total_episodes"] == 6


def test_statistics_are_those_of_all_rows(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command(dataset_export, root, out)
    stats = json.loads((out / "meta/stats.json").read_text())
    action = np.concatenate([np.stack(pq.read_table(path)["action"].to_pylist())
                             for path in sorted(out.glob("data/*/*.parquet"))])  # fmt: skip
    np.testing.assert_allclose(stats["action"]["mean"], action.mean(0), atol=1e-6)
    np.testing.assert_allclose(stats["action"]["std"], action.std(0), atol=1e-6)
    np.testing.assert_array_equal(stats["action"]["max"], action.max(0))
    assert stats["action"]["count"] == [len(action)]
    assert np.shape(stats["observation.images.head"]["mean"]) == (3, 1, 1)
    assert 0 < stats["observation.images.head"]["mean"][0][0][0] < 1


def test_pictures_are_those_of_their_rows(tmp_path: Path) -> None:
    folder = write_episode(tmp_path / "e", 2, 30)
    export_one(folder, tmp_path / "out")
    with av.open(str(tmp_path / "out/videos/observation.images.chest/chunk-000/file-000.mp4")) as container:
        for i, frame in enumerate(container.decode(video=0)):
            seen = frame.to_ndarray(format="bgr24").astype(float)
            errors = [np.abs(seen - picture(2, k, 0)).mean() for k in range(30)]
            assert int(np.argmin(errors)) == i and min(errors) < 5


def test_a_relabelled_episode_is_refused_and_the_rest_goes_on(root: Path, tmp_path: Path,
                                                              capsys: pytest.CaptureFixture) -> None:  # fmt: skip
    out = tmp_path / "out"
    command(dataset_export, root, out)
    folder = sorted(root.iterdir())[0]
    write_meta(folder, read_meta(folder) | {"outcome": "failure"})
    write_episode(root / "20260102-000000-7", 7, 30)
    assert command(dataset_export, root, out) == 1
    assert "has changed since it was exported" in capsys.readouterr().out
    assert json.loads((out / "meta/info.json").read_text())["total_episodes"] == 5


@pytest.mark.parametrize(("how", "said"), [
    ({"channels": ("a", "b")}, "robot arm with channels a, b; the dataset has arm with left_ee.x"),
    ({"cameras": ("wrist",)}, "cameras wrist; the dataset has chest, head"),
    ({"frame_ns": 33_000_000}, "30.3 frames/s; the dataset has 15"),
])
def test_an_episode_that_does_not_fit_is_refused_by_name(tmp_path: Path, how: dict, said: str) -> None:
    out = tmp_path / "out"
    export_one(write_episode(tmp_path / "e", 1, 12), out)
    before = snapshot(out)
    with pytest.raises(EpisodeError, match=said):
        export_one(write_episode(tmp_path / "other", 2, 12, **how), out)
    assert snapshot(out) == before


def test_bad_recordings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match="1 camera frames with a state"):
        episode_rows(write_episode(tmp_path / "one", 1, 1))
    writer = EpisodeWriter(tmp_path / "nan", {"robot": ROBOT})
    for i in range(3):
        for name in ("measured_action", "reference"):
            writer.write_vector(f"/{ROBOT}/{name}", ("x",), [np.nan if i == 2 else 0.0], i * 100_000_000)
        writer.write_jpeg(f"/{ROBOT}/camera/head/color/image_raw/compressed", jpeg(picture(0, 0, 0)), i * 100_000_000)
    writer.close("success", "operator")
    with pytest.raises(EpisodeError, match="measured_action holds NaN"):
        episode_rows(tmp_path / "nan")


def test_what_is_no_place_for_an_export_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.txt").write_text("years of work")
    with pytest.raises(EpisodeError, match="not empty and no LeRobot dataset"):
        command(dataset_export, root, tmp_path / "full")
    assert (tmp_path / "full/thesis.txt").exists()
    command(dataset_export, root, tmp_path / "out")
    with pytest.raises(EpisodeError, match="has --timing true"):
        command(dataset_export, root, tmp_path / "out", "--timing", "nominal")
    with LeRobotExport(tmp_path / "out"), pytest.raises(EpisodeError, match="being written by another export"):
        LeRobotExport(tmp_path / "out")
    info = json.loads((tmp_path / "out/meta/info.json").read_text())
    del info["features"]["recorded.state"]
    (tmp_path / "out/meta/info.json").write_text(json.dumps(info))
    with pytest.raises(EpisodeError, match="was not written by `retake export`"):
        command(dataset_export, root, tmp_path / "out")


def test_round_trip_is_exact(root: Path, tmp_path: Path) -> None:
    write_episode(root / "20260103-000000-8", 8, 25, jitter_ns=4_000_000, lost=(3, 9), expert=True)
    command(dataset_export, root, tmp_path / "out", "--outcomes", "success", "failure", "discarded")
    assert command(dataset_import, tmp_path / "out", tmp_path / "back") == 0
    folders = sorted(root.iterdir())
    assert [path.name for path in sorted((tmp_path / "back").iterdir())] == [path.name for path in folders]
    for folder in folders:
        recorded, back = episode_rows(folder), episode_rows(tmp_path / "back" / folder.name)
        assert differences(recorded, back) == []
        assert worst_psnr_db(recorded, back) > 28
        for key in ("task", "seed", "outcome", "outcome_by", "authority", "segments", "end"):
            assert back.meta.get(key) == recorded.meta.get(key)
        before, after = read_episode(folder), read_episode(tmp_path / "back" / folder.name)
        np.testing.assert_array_equal(after.state, before.state)
        np.testing.assert_array_equal(after.frame_stamps_ns, before.frame_stamps_ns)
    assert command(validate, tmp_path / "back") == 0
    again = snapshot(tmp_path / "back")
    assert command(dataset_import, tmp_path / "out", tmp_path / "back") == 0
    assert snapshot(tmp_path / "back") == again
