"""Episodes from a LeRobotDataset v3.0: what `retake export` wrote comes back exactly, others as far as they say.

Of others `observation.state` and `action` become measured_action and reference, at the row's `timestamp`; they must
name their channels. Pictures become JPEGs. An episode that is there already is skipped, one that was cut short is
made anew.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from policies.episode_file import DEMONSTRATED, EpisodeWriter, typestore
from policies.episode_meta import META_NAME, is_unfinished, read_meta
from policies.lerobot_files import LeRobotError, column_values, read_episode_rows, read_info, read_parquet, read_tasks
from policies.lerobot_format import IMAGES, LEARNED, dataset_path, is_ours
from policies.lerobot_rows import FPS_TOLERANCE, POLICY_ACTION
from policies.lerobot_video import TOLERANCE_S, decode_picture, read_frames

START_NS = 1_000_000_000  # of episodes whose dataset has no stamps
JPEG_QUALITY = 95
JUDGED = ("success", "failure")
IMPORTER = "import"  # who imports says how the episodes ended
TOLD_INTERVENTIONS = ("intervention", "is_intervention", "complementary_info.is_intervention")
_WRITTEN = ("format", "id", "outcome", "outcome_by", "messages", "started_ns", "ended_ns")  # by EpisodeWriter itself


@dataclass(frozen=True)
class ImportPlan:
    """How a dataset's columns become ours; `rename` from the dataset's channel to ours."""

    robot: str
    channels: tuple[str, ...] | None = None  # that the robot has; None takes those of the dataset
    rename: dict[str, str] = field(default_factory=dict)
    fps: float | None = None  # of the episodes; None keeps every frame
    outcome: str | None = None  # of episodes of which the dataset does not say how they ended


class LeRobotImport:
    """One dataset, checked against a plan before anything is written."""

    def __init__(self, root: Path, plan: ImportPlan) -> None:
        """Raises LeRobotError when the dataset's channels or fps do not fit the plan."""
        self.root, self._plan = root, plan
        self.info = read_info(root)
        self.rows, self._tasks = read_episode_rows(root), read_tasks(root)
        self._exact = is_ours(self.info)
        features = self.info["features"]
        self._cameras = [key for key, feature in features.items() if feature["dtype"] in ("video", "image")]
        if not self._cameras:
            raise LeRobotError(f"{root} has no camera; episodes for training need one at least; choose another dataset")
        names = {key: _channel_names(root, features, key) for key in LEARNED}
        self.channels = plan.channels or tuple(plan.rename.get(name, name) for name in names[LEARNED[1]])
        self._take = {key: self._indices(key, names[key]) for key in LEARNED}
        self._every = self._step()
        self._table: tuple[Path, pa.Table] | None = None  # the data file read last

    def name(self, row: dict[str, Any]) -> str:
        """The folder of an episode: its own id where the dataset tells it."""
        return row.get("episode_id") or f"{self.root.resolve().name}-{row['episode_index']:06d}"

    def write(self, row: dict[str, Any], out: Path) -> bool:
        """Write the episode of a row of meta/episodes below `out`; False if it is there already."""
        folder = out / self.name(row)
        if (folder / META_NAME).exists():
            if not is_unfinished(folder):
                return False
            if "imported_from" not in read_meta(folder):
                raise LeRobotError(f"{folder} is being recorded; import to another folder")
            shutil.rmtree(folder)
        outcome, by = self.judgement(row)
        meta, stamps, columns = self.told(row)
        pictures = self.pictures(row)
        writer = EpisodeWriter(folder, meta)
        try:
            self._write_rows(writer, stamps, columns, pictures)
            if outcome in JUDGED and row.get("end") == "truncated":
                writer.close(outcome, by, out_of_time=True)
            else:
                writer.close(outcome, by)
        except BaseException:  # a half episode would look like one that was aborted
            writer.abandon()
            shutil.rmtree(folder)
            raise
        return True

    def told(self, row: dict[str, Any]) -> tuple[dict[str, Any], np.ndarray, dict[str, np.ndarray]]:
        """What the dataset says of an episode, in the terms of episode.json and without how it ended; stamps (n,) ns of
        its rows, and the vectors (n, c) by the topic that they go to."""
        stamps, _, columns = self._columns(row)
        return self._meta(row, stamps, columns), stamps, columns

    def pictures(self, row: dict[str, Any]) -> dict[str, Iterator[np.ndarray]]:
        """By the key of each camera, one picture (h, w, 3) uint8 BGR per stamp, decoded as they are asked for."""
        times_s = self._columns(row)[1]
        return {key: self._pictures(key, row, times_s) for key in self._cameras}

    def files(self, row: dict[str, Any]) -> list[Path]:
        """Where the rows and the pictures of an episode are stored, perhaps with others."""
        videos = [key for key in self._cameras if self.info["features"][key]["dtype"] == "video"]
        return [self._file(row, "data"), *(self._file(row, f"videos/{key}") for key in videos)]

    def judgement(self, row: dict[str, Any]) -> tuple[str, str]:
        """How an episode ended, and who says so."""
        if row.get("outcome"):
            return row["outcome"], row["outcome_by"]
        if "next.success" in self.info["features"]:
            return JUDGED[0 if column_values(self._episode_table(row), "next.success").any() else 1], "dataset"
        if self._plan.outcome is None:
            raise LeRobotError(f"{self.root} does not say whether its episodes succeeded; say it with --outcome "
                               "success or failure")
        return self._plan.outcome, IMPORTER

    def _write_rows(self, writer: EpisodeWriter, stamps: np.ndarray, columns: dict[str, np.ndarray],
                    pictures: dict[str, Iterator[np.ndarray]]) -> None:  # fmt: skip
        namespace, meta = f"/{self._plan.robot}", writer.meta
        changes = [(ns, topic, text) for topic, key in (("authority", "authority"), ("segment", "segments"))
                   for ns, text in meta.get(key) or []]
        changes.sort(key=lambda change: change[0])
        string = typestore().types["std_msgs/msg/String"]
        wanted = columns.pop("policy_action_valid", None)
        for i, stamp in enumerate(stamps.tolist()):
            while changes and (changes[0][0] <= stamp or i == len(stamps) - 1):
                ns, topic, text = changes.pop(0)
                writer.write(f"{namespace}/{topic}", "std_msgs/msg/String", string(text), ns)
            for name, values in columns.items():
                if name != POLICY_ACTION or (wanted is not None and wanted[i]):
                    writer.write_vector(f"{namespace}/{name}", self.channels, values[i], stamp)
            for key, frames in pictures.items():
                jpeg = cv2.imencode(".jpg", next(frames), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
                writer.write_jpeg(f"{namespace}/camera/{camera_name(key)}/color/image_raw/compressed", jpeg, stamp)

    def _columns(self, row: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """Stamps (n,) ns, times (n,) s in the episode, and the vectors (n, c) by the topic that they go to."""
        table = self._episode_table(row)
        times_s = column_values(table, "timestamp").astype(np.float64)
        rate = self.info["fps"] * float(np.median(np.diff(times_s))) if len(times_s) > 1 else 1.0
        if abs(rate - 1) > FPS_TOLERANCE or (np.diff(times_s) <= 0).any():
            raise LeRobotError(f"{self.root}: episode {row['episode_index']} has rows {rate:.2f} periods of "
                               f"{self.info['fps']} frames/s apart, or going back; allowed: those of info.json's fps; "
                               "correct fps there")
        stamps = START_NS + np.rint(times_s * 1e9).astype(np.int64)
        columns = {"measured_action": LEARNED[0], "reference": LEARNED[1]}
        if self._exact:
            stamps = column_values(table, "stamp_ns")
            columns = {"measured_action": "recorded.state", "reference": "recorded.reference",
                       POLICY_ACTION: "recorded.policy_action", "policy_action_valid": "policy_action_valid"}
            if row["has_expert_action"]:
                columns[DEMONSTRATED] = "recorded.action"
        values = {}
        for name, key in columns.items():
            column = column_values(table, key)
            if column.ndim == 2:
                column = column[:, self._take[LEARNED[0] if name == "measured_action" else LEARNED[1]]]
                if not np.isfinite(column).all():
                    raise LeRobotError(f"{self.root}: {key} of episode {row['episode_index']} holds NaN or infinity; "
                                       "allowed: finite numbers; leave the episode out")
            values[name] = np.ascontiguousarray(column[:: self._every])
        return stamps[:: self._every], times_s[:: self._every], values

    def _episode_table(self, row: dict[str, Any]) -> pa.Table:
        path = self._file(row, "data")
        if self._table is None or self._table[0] != path:
            self._table = path, read_parquet(path)
        table = self._table[1]
        table = table.filter(pc.equal(table["episode_index"], row["episode_index"]))
        if len(table) != row["length"]:
            raise LeRobotError(f"{path} has {len(table)} rows of episode {row['episode_index']}, meta/episodes says "
                               f"{row['length']}; `retake validate` says more; restore it from a copy")
        return table

    def _file(self, row: dict[str, Any], what: str) -> Path:
        """`what`: data, or videos/KEY."""
        where = {name: row[f"{what}/{name}"] for name in ("chunk_index", "file_index")}
        template = self.info["data_path" if what == "data" else "video_path"]
        return dataset_path(self.root, template, video_key=what.removeprefix("videos/"), **where)

    def _pictures(self, key: str, row: dict[str, Any], times_s: np.ndarray) -> Iterator[np.ndarray]:
        if self.info["features"][key]["dtype"] == "image":
            stored = self._episode_table(row)[key].to_pylist()[:: self._every]
            return (decode_picture(cell["bytes"]) for cell in stored)
        return read_frames(self._file(row, f"videos/{key}"), row[f"videos/{key}/from_timestamp"] + times_s, TOLERANCE_S)

    def _meta(self, row: dict[str, Any], stamps: np.ndarray, columns: dict[str, np.ndarray]) -> dict[str, Any]:
        meta = {"task": row["tasks"][0]} | (json.loads(row["episode_json"]) if self._exact else self._told(row, stamps))
        return {key: value for key, value in meta.items() if key not in _WRITTEN} | {
            "robot": self._plan.robot, "action_channels": list(self.channels),
            "imported_from": {"dataset": self.root.resolve().name, "episode_index": row["episode_index"]}}

    def _told(self, row: dict[str, Any], stamps: np.ndarray) -> dict[str, list]:
        """Who drove in a dataset of others: a person, unless it marks interventions."""
        marked = [key for key in TOLD_INTERVENTIONS if key in self.info["features"]]
        if not marked:
            return {"authority": [[int(stamps[0]), "teleop"]], "segments": [[int(stamps[0]), "teleop"]]}
        is_driven = column_values(self._episode_table(row), marked[0]).astype(bool)[:: self._every]
        at = [i for i in range(len(stamps)) if i == 0 or is_driven[i] != is_driven[i - 1]]
        return {"authority": [[int(stamps[i]), "teleop" if is_driven[i] else "policy"] for i in at],
                "segments": [[int(stamps[i]), "correction" if is_driven[i] else "policy"] for i in at]}

    def _indices(self, key: str, names: tuple[str, ...]) -> list[int]:
        theirs = [self._plan.rename.get(name, name) for name in names]
        missing = [name for name in self.channels if name not in theirs]
        if missing:
            raise LeRobotError(f"{self.root}: {key} has no channel {', '.join(missing)}; it has {', '.join(names)}; "
                               "say which are meant with --rename THEIRS=OURS, or choose --robot")
        return [theirs.index(name) for name in self.channels]

    def _step(self) -> int:
        """Every how many rows one is taken."""
        has, wanted = self.info["fps"], self._plan.fps or self.info["fps"]
        step = max(1, round(has / wanted))
        if abs(has / step - wanted) > 0.01 * wanted:
            allowed = ", ".join(f"{has / n:g}" for n in range(1, 6))
            raise LeRobotError(f"{self.root} has {has} frames/s, not {wanted:g} or a multiple; allowed: {allowed} ...")
        return step


def camera_name(key: str) -> str:
    """A camera's topic name from its feature's key."""
    return "".join(c if c.isalnum() else "_" for c in key.removeprefix(IMAGES).removeprefix("observation."))


def _channel_names(root: Path, features: dict, key: str) -> tuple[str, ...]:
    names = (features.get(key) or {}).get("names")
    if isinstance(names, dict) and len(names) == 1:  # LeRobot's older {"motors": [...]}
        names = next(iter(names.values()))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise LeRobotError(f"{root}: {key} names no channels in meta/info.json; allowed: a list of names; add it")
    return tuple(names)
