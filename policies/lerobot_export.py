"""Appends recorded episodes to a LeRobot dataset, each whole or not at all.

An episode's files are made in `.part`, then moved to their places, and info.json, replaced last, makes them count. A
kill at any moment leaves a dataset of whole episodes: what info.json does not count is removed or replaced by the next
export. Exported episodes are known by their id and the hash of their content.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from policies import lerobot_files as files
from policies import lerobot_format as layout
from policies.lerobot_files import LeRobotError
from policies.lerobot_format import IMAGES, LEARNED
from policies.lerobot_rows import FPS_TOLERANCE, Rows
from policies.lerobot_stats import Stats, as_lists, column_stats, merged, row_stats
from policies.lerobot_video import TICKS, picture_size, uneven_frames, write_video

PART = ".part"


class LeRobotExport:
    """One dataset being appended to; only one process at a time has it (flock)."""

    def __init__(self, root: Path, timing: str = "true", instruction: str | None = None) -> None:
        """Open the dataset, or prepare a new one; what a killed export left is removed.

        Args:
            root: a new or empty folder, or a dataset that `retake export` wrote.
            timing: "true" or "nominal", see policies.lerobot_format.
            instruction: the task's text for policies that take one; None is the recording's own task.
        """
        self.root, self._timing, self._instruction = root, timing, instruction
        self.uneven = 0  # rows of this run for which LeRobot's torchcodec decoder may refuse to give a picture
        self.left_out = 0  # frames of this run that have no state or no picture of another camera yet
        self.info: dict[str, Any] = {}
        self._rows: list[dict[str, Any]] = []
        self._tasks: list[str] = []
        self._stats: Stats = {}
        self._part = root / PART
        root.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(root, os.O_RDONLY)
        try:
            self._open()
        except BlockingIOError:
            os.close(self._lock)
            raise LeRobotError(f"{root} is being written by another export; wait for its end") from None
        except (ValueError, OSError):
            os.close(self._lock)
            raise

    def __enter__(self) -> LeRobotExport:
        return self

    def __exit__(self, *exception: object) -> None:
        shutil.rmtree(self._part, ignore_errors=True)
        os.close(self._lock)

    @property
    def exported(self) -> dict[str, str]:
        """Content hash of each episode that the dataset has, by its id."""
        return {row["episode_id"]: row["content_sha256"] for row in self._rows}

    def append(self, episode_id: str, content_sha256: str, rows: Rows) -> None:
        """Add one episode.

        Raises:
            LeRobotError: it has other channels, cameras or fps than the dataset.
        """
        sizes = {camera: picture_size(jpegs[0]) for camera, jpegs in rows.images.items()}
        fps = max(1, round(rows.fps))
        features = layout.make_features(rows.channels, sizes, fps, self._timing)
        if self._rows:
            self._check(episode_id, rows, features)
        else:
            self.info = layout.make_info(features, rows.meta["robot"], fps)
            files.write_json(self.root / layout.INFO, self.info)  # from here on the folder is known as ours
        self._commit(*self._make(len(self._rows), self.info["total_frames"], episode_id, content_sha256, rows))
        self.left_out += rows.left_out

    def missing(self, episode_id: str) -> list[Path]:
        """Files of an exported episode that are gone; `restore` makes them again."""
        paths = self._paths(self._row(episode_id)["episode_index"])
        return [self.root / path for path in paths.values() if not (self.root / path).exists()]

    def restore(self, episode_id: str, rows: Rows) -> None:
        """Make what is missing of an exported episode, from the same recording."""
        row, missing = self._row(episode_id), self.missing(episode_id)
        self._make(row["episode_index"], row["dataset_from_index"], episode_id, row["content_sha256"], rows)
        for path in missing:
            files.move(self._part / path.relative_to(self.root), path)

    def _row(self, episode_id: str) -> dict[str, Any]:
        return next(row for row in self._rows if row["episode_id"] == episode_id)

    def _paths(self, index: int) -> dict[str, str]:
        return layout.episode_files(index, layout.video_keys(self.info["features"]))

    def _open(self) -> None:
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not (self.root / layout.INFO).exists():
            if any(path.is_file() and path.name != "info.json.new" for path in self.root.rglob("*")):
                raise LeRobotError(f"{self.root} is not empty and no LeRobot dataset; give a new or an empty folder")
            return
        self.info = files.read_info(self.root)
        if not layout.is_ours(self.info):
            raise LeRobotError(f"{self.root} was not written by `retake export`; give a new folder: exports append to "
                               "their own datasets only")
        timing = layout.timing_of(self.info)
        if timing != self._timing:
            raise LeRobotError(f"{self.root} has --timing {timing}; go on with that, or export to a new folder")
        count = self.info["total_episodes"]
        for path in self._paths(count).values():  # of an export that was killed while it moved them there
            (self.root / path).unlink(missing_ok=True)
        self._rows = files.read_episode_rows(self.root)
        if [row["episode_index"] for row in self._rows] != list(range(count)):
            raise LeRobotError(f"{self.root}: info.json counts {count} episodes, meta/episodes has {len(self._rows)}; "
                               "restore it from a copy, or export to a new folder")
        self._tasks = files.read_tasks(self.root) if count else []
        self._stats = merged(map(row_stats, self._rows))

    def _check(self, episode_id: str, rows: Rows, features: dict) -> None:
        has = self.info["features"]
        channels, cameras = tuple(has[LEARNED[0]]["names"]), layout.video_keys(has)
        if rows.meta["robot"] != self.info["robot_type"] or rows.channels != channels:
            raise LeRobotError(f"{episode_id}: robot {rows.meta['robot']} with channels {', '.join(rows.channels)}; "
                               f"the dataset has {self.info['robot_type']} with {', '.join(channels)}; export it "
                               "elsewhere")
        if layout.video_keys(features) != cameras:
            raise LeRobotError(f"{episode_id}: cameras {', '.join(rows.images)}; the dataset has "
                               f"{', '.join(key.removeprefix(IMAGES) for key in cameras)}; export it elsewhere")
        for key in cameras:
            if features[key]["shape"] != has[key]["shape"]:
                raise LeRobotError(f"{episode_id}: {key} is (height, width, colours) {features[key]['shape']}, in the "
                                   f"dataset {has[key]['shape']}; export it elsewhere")
        if abs(rows.fps - self.info["fps"]) > FPS_TOLERANCE * self.info["fps"]:
            raise LeRobotError(f"{episode_id}: {rows.fps:.1f} frames/s; the dataset has {self.info['fps']}; export it "
                               "elsewhere")

    def _make(
        self, index: int, start: int, episode_id: str, content_sha256: str, rows: Rows
    ) -> tuple[dict[str, Any], Stats, list[str]]:
        """Write the episode's files below `.part`; return its row of meta/episodes, its statistics, and the tasks."""
        shutil.rmtree(self._part, ignore_errors=True)
        features, fps, n = self.info["features"], self.info["fps"], len(rows.stamp_ns)
        since_ns = rows.stamp_ns - rows.stamp_ns[0]
        if self._timing == "nominal":
            since_ns = np.arange(n, dtype=np.int64) * 1_000_000_000 // fps
        times_us = (since_ns + 500) // 1000
        paths = self._paths(index)
        task = self._instruction or rows.meta["task"] or "task"
        tasks = self._tasks if task in self._tasks else [*self._tasks, task]
        columns = {
            **{key: np.asarray(rows.columns[f"recorded.{key.removeprefix('observation.')}"], np.float32)
               for key in layout.VECTORS},
            **rows.columns, "timestamp": (times_us / TICKS).astype(np.float32), "frame_index": np.arange(n),
            "episode_index": np.full(n, index), "index": start + np.arange(n),
            "task_index": np.full(n, tasks.index(task)),
        }  # fmt: skip
        schema = layout.data_schema(features)
        arrays = [files.arrow_array(columns[field.name], field.type) for field in schema]
        files.write_parquet(pa.Table.from_arrays(arrays, schema=schema), self._part / paths["data"])
        cameras = list(rows.images)
        with ThreadPoolExecutor(len(cameras)) as pool:  # decoder and encoder work without the interpreter's lock
            videos = list(pool.map(lambda c: write_video(self._part / paths[IMAGES + c], rows.images[c], times_us, fps),
                                   cameras))
        self.uneven += uneven_frames(times_us)
        stats = column_stats({key: columns[key] for key in schema.names if key not in layout.RECORDED}, features)
        stats |= {IMAGES + camera: video.stats for camera, video in zip(cameras, videos, strict=True)}
        where, meta = layout.chunk_and_file(index), rows.meta
        row: dict[str, Any] = {
            "episode_index": index, "tasks": [task], "length": n, "dataset_from_index": start,
            "dataset_to_index": start + n, **_placed("data", where), **_placed("meta/episodes", where),
            "episode_id": episode_id, "content_sha256": content_sha256, "outcome": meta["outcome"],
            "outcome_by": meta["outcome_by"], "success": meta["outcome"] == "success", "end": meta.get("end"),
            "start_stamp_ns": int(rows.stamp_ns[0]), "has_expert_action": rows.has_expert_action,
            "episode_json": json.dumps(meta),
        }  # fmt: skip
        until_s = float(2 * times_us[-1] - times_us[-2]) / TICKS
        for camera in cameras:
            place = f"videos/{IMAGES}{camera}"
            row |= {**_placed(place, where), f"{place}/from_timestamp": 0.0, f"{place}/to_timestamp": until_s}
        row |= {f"stats/{key}/{name}": value for key, of in as_lists(stats).items() for name, value in of.items()}
        table = pa.Table.from_pylist([row], schema=layout.episode_schema(features, stats))
        files.write_parquet(table, self._part / paths["episode"], is_row=True)
        return row, stats, tasks

    def _commit(self, row: dict[str, Any], stats: Stats, tasks: list[str]) -> None:
        """Move the files to their places; replacing info.json is what makes the episode count."""
        for path in self._paths(row["episode_index"]).values():
            files.move(self._part / path, self.root / path)
        if tasks != self._tasks:
            files.write_parquet(layout.task_table(tasks), self.root / layout.TASKS)
        total = merged([self._stats, stats])
        files.write_json(self.root / layout.STATS, as_lists(total))
        count = row["episode_index"] + 1
        info = self.info | {"total_episodes": count, "total_frames": row["dataset_to_index"], "total_tasks": len(tasks),
                            "splits": {"train": f"0:{count}"}}
        files.write_json(self.root / layout.INFO, info)
        self.info, self._stats, self._tasks = info, total, tasks
        self._rows.append(row)


def _placed(what: str, where: dict[str, int]) -> dict[str, int]:
    return {f"{what}/{name}": value for name, value in where.items()}
