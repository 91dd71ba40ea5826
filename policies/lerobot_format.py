"""LeRobotDataset v3.0 on disk: where its files are, what columns they have, what info.json says.

Times. LeRobot finds a row's picture by time: `timestamp` (float32, s since the episode's first frame) plus the video's
`from_timestamp`. Its PyAV decoder takes the frame whose presentation time is nearest and refuses one 0.1 ms off; its
torchcodec decoder takes frame number round(time * fps of the file), right only where frames are evenly spaced, and
refuses alike. `fps` in info.json only turns offsets in time into offsets in rows. Therefore `timestamp` and the MP4's
presentation times are both the true time of the frame, to 1 us: a slow loop or a lost frame stays visible, and every
row has its own picture. Recordings in lockstep are even, and both decoders read them. A real camera's are not; then
`retake export` says so: load them with video_backend="pyav", or export with --timing nominal, where `timestamp` and
MP4 say frame / fps as LeRobot's own recordings do. `stamp_ns` (int64, the robot's clock) is exact in any case.

Values. LeRobot trains on float32; `recorded.*` hold the same vectors as float64, bit for bit as they were recorded.

Files. Every episode has a Parquet, a row in a Parquet of meta/episodes, and an MP4 per camera of its own, all numbered
like the episode: v3 allows it, and nothing that exists is ever rewritten to append.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

VERSION = "v3.0"
CHUNKS_SIZE = 1000  # files per folder
INFO, STATS, TASKS = "meta/info.json", "meta/stats.json", "meta/tasks.parquet"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
IMAGES = "observation.images."
TIMINGS = ("true", "nominal")

SEGMENTS = ("policy", "pause", "recovery", "correction", "teleop", "rewind", "reset")
COUNTERS = ("timestamp", "frame_index", "episode_index", "index", "task_index")  # LeRobot's own columns
LEARNED = ("observation.state", "action")  # what LeRobot trains on
VECTORS = (*LEARNED, "policy_action")
RECORDED = ("recorded.state", "recorded.action", "recorded.reference", "recorded.policy_action")
SCALARS = {
    "policy_action_valid": "bool", "intervention": "bool", "next.done": "bool", "next.truncated": "bool",
    "next.success": "bool", "segment": "string", "authority": "string", "stamp_ns": "int64",
}  # fmt: skip
_ARROW = {"bool": pa.bool_(), "string": pa.string(), "int64": pa.int64(), "float32": pa.float32(),
          "float64": pa.float64()}

# what our rows of meta/episodes have beyond LeRobot's columns; `episode_json` is the whole episode.json
EPISODE_FIELDS = {
    "episode_id": pa.string(), "content_sha256": pa.string(), "outcome": pa.string(), "outcome_by": pa.string(),
    "success": pa.bool_(), "end": pa.string(), "start_stamp_ns": pa.int64(), "has_expert_action": pa.bool_(),
    "episode_json": pa.string(),
}  # fmt: skip


def chunk_and_file(episode: int) -> dict[str, int]:
    """The folder and the file of an episode, as LeRobot's path templates want them."""
    chunk, file = divmod(episode, CHUNKS_SIZE)
    return {"chunk_index": chunk, "file_index": file}


def episode_files(episode: int, cameras: list[str]) -> dict[str, str]:
    """Paths below the dataset of all that belongs to one episode: `data`, `episode` and each camera's key."""
    where = chunk_and_file(episode)
    videos = {key: VIDEO_PATH.format(video_key=key, **where) for key in cameras}
    return {**videos, "data": DATA_PATH.format(**where), "episode": EPISODES_PATH.format(**where)}


def make_features(channels: tuple[str, ...], cameras: Mapping[str, tuple[int, int]], fps: int, timing: str) -> dict:
    """info.json's features; `cameras` gives (height, width) per name."""
    names, n = list(channels), len(channels)
    videos = {IMAGES + camera: _video(*size, fps) for camera, size in cameras.items()}
    vectors = {key: "float32" for key in VECTORS} | {key: "float64" for key in RECORDED}
    return {
        **{key: {"dtype": dtype, "shape": [n], "names": names} for key, dtype in vectors.items()},
        **videos,
        **{key: {"dtype": dtype, "shape": [1], "names": None} for key, dtype in SCALARS.items()},
        "timestamp": {"dtype": "float32", "shape": [1], "names": None, "info": {"timing": timing}},
        **{key: {"dtype": "int64", "shape": [1], "names": None} for key in COUNTERS[1:]},
    }


def _video(height: int, width: int, fps: int) -> dict:
    info = {"video.height": height, "video.width": width, "video.codec": "h264", "video.pix_fmt": "yuv420p",
            "video.fps": fps, "video.channels": 3, "has_audio": False, "is_depth_map": False}
    return {"dtype": "video", "shape": [height, width, 3], "names": ["height", "width", "channels"], "info": info}


def make_info(features: dict, robot: str, fps: int) -> dict:
    """info.json of a dataset without episodes."""
    return {
        "codebase_version": VERSION, "fps": fps, "features": features, "total_episodes": 0, "total_frames": 0,
        "total_tasks": 0, "chunks_size": CHUNKS_SIZE, "data_files_size_in_mb": 100, "video_files_size_in_mb": 200,
        "data_path": DATA_PATH, "video_path": VIDEO_PATH, "robot_type": robot, "splits": {},
    }  # fmt: skip


def is_ours(info: dict) -> bool:
    """True when `retake export` wrote the dataset, so that it can be appended to and imported exactly."""
    return set(RECORDED) | set(SCALARS) <= set(info["features"])


def timing_of(info: dict) -> str:
    """How the dataset's `timestamp` is meant; LeRobot's own recordings are nominal."""
    return (info["features"]["timestamp"].get("info") or {}).get("timing", "nominal")


def video_keys(features: Mapping[str, dict]) -> list[str]:
    """The cameras' keys, in the dataset's order."""
    return [key for key, feature in features.items() if feature["dtype"] == "video"]


def data_schema(features: Mapping[str, dict]) -> pa.Schema:
    """Columns of data/*.parquet; videos are not among them."""
    fields = []
    for key, feature in features.items():
        if feature["dtype"] == "video":
            continue
        value = _ARROW[feature["dtype"]]
        fields.append((key, value if feature["shape"] == [1] else pa.list_(value, feature["shape"][0])))
    return pa.schema(fields)


def episode_schema(features: Mapping[str, dict], stats: Mapping[str, dict[str, Any]]) -> pa.Schema:
    """Columns of meta/episodes/*.parquet; explicit, so that a file with nothing in a column has its type still."""
    counts = ["data/chunk_index", "data/file_index", "dataset_from_index", "dataset_to_index",
              "meta/episodes/chunk_index", "meta/episodes/file_index"]
    fields: list[tuple[str, pa.DataType]] = [
        ("episode_index", pa.int64()), ("tasks", pa.list_(pa.string())), ("length", pa.int64()),
        *((name, pa.int64()) for name in counts)]
    for key in video_keys(features):
        fields += [(f"videos/{key}/{name}", pa.int64()) for name in ("chunk_index", "file_index")]
        fields += [(f"videos/{key}/{name}", pa.float64()) for name in ("from_timestamp", "to_timestamp")]
    fields += EPISODE_FIELDS.items()
    for key, values in stats.items():
        value = pa.list_(pa.float64())
        if features[key]["dtype"] == "video":
            value = pa.list_(pa.list_(value))
        fields += [(f"stats/{key}/{name}", pa.list_(pa.int64()) if name == "count" else value) for name in values]
    return pa.schema(fields)


def task_table(tasks: list[str]) -> pa.Table:
    """meta/tasks.parquet: LeRobot reads it with pandas, which must find the tasks to be the index."""
    def column(name: str, kind: str, numpy: str) -> dict:
        return {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": numpy, "metadata": None}

    pandas = {"index_columns": ["task"], "column_indexes": [], "creator": {"library": "pyarrow", "version":
              pa.__version__}, "pandas_version": "2.2.0",
              "columns": [column("task_index", "int64", "int64"), column("task", "unicode", "object")]}
    schema = pa.schema([("task_index", pa.int64()), ("task", pa.string())], metadata={"pandas": json.dumps(pandas)})
    return pa.table({"task_index": list(range(len(tasks))), "task": tasks}, schema=schema)


def task_list(table: pa.Table) -> list[str]:
    """The tasks of a tasks.parquet by their index; pandas may have named the column of texts otherwise."""
    texts = next(name for name in table.column_names if name != "task_index")
    pairs = zip(table["task_index"].to_pylist(), table[texts].to_pylist(), strict=True)
    return [text for _, text in sorted(pairs)]


def dataset_path(root: Path, template: str, **where: Any) -> Path:
    """A file of the dataset by one of info.json's templates."""
    return root / template.format(**where)
