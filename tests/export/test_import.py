"""Import of datasets that others wrote: mapped channels, thinned frames, several episodes per file, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import av
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_episodes import HEIGHT, WIDTH, command, picture

from controllers.rigs import RIGS
from policies.dataset import find_episodes, load_samples
from policies.episode_file import EpisodeError, read_episode, read_meta, write_meta
from policies.lerobot_rows import episode_rows
from retake.episodes import dataset_import, validate
from retake.errors import UserError

THEIRS = ("x", "y", "z", "qx", "qy", "qz", "qw", "grip", "torque")
OURS = RIGS["yam"].layout.channels
RENAME = [f"{theirs}={ours}" for theirs, ours in zip(THEIRS, OURS, strict=False)]
KEY, FPS = "observation.images.wrist-cam", 30
LENGTHS = (20, 14)


def foreign(root: Path, names: object = THEIRS, fps: float = FPS, **columns: list) -> Path:
    """A dataset as LeRobot's own recorder writes it: both episodes in one Parquet and one MP4, nominal times."""
    rng = np.random.default_rng(0)
    total = sum(LENGTHS)
    vector = {"dtype": "float32", "shape": [len(THEIRS)], "names": list(names) if isinstance(names, tuple) else names}
    scalar = {"dtype": "int64", "shape": [1], "names": None}
    features = {"observation.state": vector, "action": vector, "timestamp": scalar | {"dtype": "float32"},
                **{key: scalar for key in ("frame_index", "episode_index", "index", "task_index")},
                **{key: scalar | {"dtype": "bool"} for key in columns},
                KEY: {"dtype": "video", "shape": [HEIGHT, WIDTH, 3], "names": ["height", "width", "channels"]}}
    info = {"codebase_version": "v3.0", "fps": fps, "features": features, "total_episodes": len(LENGTHS),
            "total_frames": total, "total_tasks": 1, "robot_type": "so100", "splits": {"train": "0:2"},
            "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
            "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"}
    for name in ("meta/episodes/chunk-000", "data/chunk-000", f"videos/{KEY}/chunk-000"):
        (root / name).mkdir(parents=True)
    (root / "meta/info.json").write_text(json.dumps(info))
    pq.write_table(pa.table({"task_index": [0], "__index_level_0__": ["pick the cube"]}), root / "meta/tasks.parquet")
    frames = np.concatenate([np.arange(n) for n in LENGTHS])
    episodes = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    vectors = {key: rng.normal(size=(total, len(THEIRS))).astype(np.float32).tolist()
               for key in ("observation.state", "action")}
    pq.write_table(pa.table({
        **{key: pa.array(value, pa.list_(pa.float32(), len(THEIRS))) for key, value in vectors.items()},
        "timestamp": pa.array(frames / FPS, pa.float32()), "frame_index": frames, "episode_index": episodes,
        "index": np.arange(total), "task_index": np.zeros(total, int), **columns,
    }), root / "data/chunk-000/file-000.parquet")
    starts = np.concatenate([[0], np.cumsum(LENGTHS)])
    pq.write_table(pa.Table.from_pylist([{
        "episode_index": e, "tasks": ["pick the cube"], "length": n, "data/chunk_index": 0, "data/file_index": 0,
        "dataset_from_index": int(starts[e]), "dataset_to_index": int(starts[e + 1]),
        f"videos/{KEY}/chunk_index": 0, f"videos/{KEY}/file_index": 0,
        f"videos/{KEY}/from_timestamp": starts[e] / FPS, f"videos/{KEY}/to_timestamp": starts[e + 1] / FPS,
    } for e, n in enumerate(LENGTHS)]), root / "meta/episodes/chunk-000/file-000.parquet")
    with av.open(str(root / f"videos/{KEY}/chunk-000/file-000.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"g": "2", "crf": "12"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for i in range(total):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(0, i, 0), format="bgr24")))
        container.mux(stream.encode(None))
    return root


def stored(root: Path, key: str, episode: int) -> np.ndarray:
    table = pq.read_table(root / "data/chunk-000/file-000.parquet").to_pylist()
    return np.array([row[key] for row in table if row["episode_index"] == episode])


def shows(jpeg: bytes) -> int:
    """Which picture of the video this is."""
    seen = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).astype(float)
    return int(np.argmin([np.abs(seen - picture(0, k, 0)).mean() for k in range(sum(LENGTHS))]))


def test_mapped_channels_and_pictures(tmp_path: Path) -> None:
    root = foreign(tmp_path / "theirs")
    words = root, tmp_path / "out", "--robot", "yam", "--rename", *RENAME, "--outcome", "success"
    assert command(dataset_import, *words) == 0
    folders = sorted((tmp_path / "out").iterdir())
    assert [folder.name for folder in folders] == ["theirs-000000", "theirs-000001"]
    for e, folder in enumerate(folders):
        episode = read_episode(folder)
        assert episode.channels == OURS and list(episode.images) == ["wrist_cam"]
        np.testing.assert_array_equal(episode.state, stored(root, "observation.state", e)[:, :8].astype(np.float32))
        np.testing.assert_array_equal(episode.reference, stored(root, "action", e)[:, :8].astype(np.float32))
        np.testing.assert_allclose(np.diff(episode.frame_stamps_ns), 1e9 / FPS, atol=200)
        first = sum(LENGTHS[:e])
        assert [shows(jpeg) for jpeg in episode.images["wrist_cam"]] == list(range(first, first + LENGTHS[e]))
        meta = read_meta(folder)
        assert (meta["task"], meta["outcome"], meta["outcome_by"], meta["robot"]) == ("pick the cube", "success",
                                                                                     "import", "yam")
        assert set(episode_rows(folder).columns["segment"]) == {"teleop"}
    samples = load_samples(find_episodes(tmp_path / "out"), tmp_path / "cache", ("wrist_cam",), 32, 24)
    assert len(samples.where) == sum(LENGTHS)


def test_frames_are_thinned_where_that_is_possible(tmp_path: Path) -> None:
    root = foreign(tmp_path / "theirs")
    words = root, tmp_path / "out", "--robot", "yam", "--rename", *RENAME, "--outcome", "success", "--fps"
    with pytest.raises(EpisodeError, match="30 frames/s, not 20 or a multiple; allowed: 30, 15, 10"):
        command(dataset_import, *words, 20)
    command(dataset_import, *words, 15)
    episode = read_episode(tmp_path / "out/theirs-000000")
    assert len(episode.state) == 10
    assert [shows(jpeg) for jpeg in episode.images["wrist_cam"]] == list(range(0, 20, 2))


def test_what_the_dataset_says_itself(tmp_path: Path) -> None:
    success = [False] * 19 + [True] + [False] * 14
    driven = [5 <= i < 9 for i in range(34)]
    root = foreign(tmp_path / "theirs", **{"next.success": success, "intervention": driven})
    command(dataset_import, root, tmp_path / "out", "--robot", "yam", "--rename", *RENAME)
    outcomes = [read_meta(folder)["outcome"] for folder in sorted((tmp_path / "out").iterdir())]
    assert outcomes == ["success", "failure"]
    rows = episode_rows(tmp_path / "out/theirs-000000")
    assert rows.columns["segment"] == ["correction" if is_driven else "policy" for is_driven in driven[:20]]
    assert rows.columns["intervention"].tolist() == driven[:20]


def test_what_does_not_fit_is_refused_by_name(tmp_path: Path) -> None:
    root = foreign(tmp_path / "theirs")
    out = tmp_path / "out"
    with pytest.raises(UserError, match="is of robot 'so100'; say with --robot whose channels"):
        command(dataset_import, root, out)
    with pytest.raises(EpisodeError, match=r"has no channel left_ee\.x, .*; it has x, y, z.*--rename THEIRS=OURS"):
        command(dataset_import, root, out, "--robot", "yam")
    with pytest.raises(EpisodeError, match="has no channel left_gripper;"):
        command(dataset_import, root, out, "--robot", "yam", "--rename", *RENAME[:7])
    with pytest.raises(EpisodeError, match="does not say whether its episodes succeeded"):
        command(dataset_import, root, out, "--robot", "yam", "--rename", *RENAME)
    with pytest.raises(UserError, match="allowed are pairs THEIRS=OURS"):
        command(dataset_import, root, out, "--robot", "yam", "--rename", "x")
    assert not out.exists() or not list(out.iterdir())
    with pytest.raises(EpisodeError, match="names no channels"):
        command(dataset_import, foreign(tmp_path / "nameless", names=None), out, "--robot", "yam")
    with pytest.raises(EpisodeError, match="rows 0.33 periods of 10 frames/s apart"):
        command(dataset_import, foreign(tmp_path / "slow", fps=10), out, "--robot", "yam", "--rename", *RENAME,
                "--outcome", "success")  # fmt: skip
    with pytest.raises(EpisodeError, match="is no LeRobot dataset"):
        command(dataset_import, tmp_path, out)


def test_pictures_in_the_parquet(tmp_path: Path) -> None:
    root = foreign(tmp_path / "theirs")
    info = json.loads((root / "meta/info.json").read_text())
    info["features"][KEY]["dtype"] = "image"
    (root / "meta/info.json").write_text(json.dumps(info))
    path = root / "data/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    cells = [{"bytes": cv2.imencode(".png", picture(0, i, 0))[1].tobytes(), "path": None} for i in range(sum(LENGTHS))]
    pq.write_table(table.append_column(KEY, pa.array(cells)), path)
    assert command(validate, root) == 0
    command(dataset_import, root, tmp_path / "out", "--robot", "yam", "--rename", *RENAME, "--outcome", "failure")
    episode = read_episode(tmp_path / "out/theirs-000001")
    assert [shows(jpeg) for jpeg in episode.images["wrist_cam"]] == list(range(LENGTHS[0], sum(LENGTHS)))


def test_an_import_that_was_killed_is_done_again(tmp_path: Path) -> None:
    root, out = foreign(tmp_path / "theirs"), tmp_path / "out"
    words = root, out, "--robot", "yam", "--rename", *RENAME, "--outcome", "success"
    command(dataset_import, *words)
    folder = out / "theirs-000001"
    write_meta(folder, read_meta(folder) | {"ended_ns": None, "outcome": "aborted"})
    log = folder / "episode.mcap"
    log.write_bytes(log.read_bytes()[:5000])
    assert command(dataset_import, *words) == 0
    assert read_meta(folder)["outcome"] == "success" and len(read_episode(folder).state) == LENGTHS[1]


def test_a_torn_video_leaves_no_half_episode(tmp_path: Path) -> None:
    root = foreign(tmp_path / "theirs")
    video = root / f"videos/{KEY}/chunk-000/file-000.mp4"
    video.write_bytes(video.read_bytes()[:-300])
    with pytest.raises(EpisodeError, match="is torn or no video"):
        command(dataset_import, root, tmp_path / "out", "--robot", "yam", "--rename", *RENAME, "--outcome", "success")
    assert list((tmp_path / "out").iterdir()) == []
