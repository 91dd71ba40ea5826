"""Is a LeRobot dataset whole? Counts, times, NaN, every video frame against its row, torn files."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from policies.finding import Finding, fault, gaps, note
from policies.lerobot_files import (
    AGAIN,
    LeRobotError,
    column_values,
    read_episode_rows,
    read_info,
    read_json,
    read_parquet,
    read_tasks,
)
from policies.lerobot_format import STATS, dataset_path, video_keys
from policies.lerobot_video import TICKS, TOLERANCE_S, decoded_times_us, uneven_frames
from policies.mcap_log import EpisodeError

File = tuple[int, int]  # chunk, file


def check_dataset(root: Path) -> list[Finding]:
    """What there is to say about the dataset; nothing when it is as it should be."""
    found: list[Finding] = []
    try:
        info, rows = read_info(root), read_episode_rows(root)
        tasks = read_tasks(root) if info.get("total_tasks") else []
        if (root / STATS).exists():  # LeRobot does without
            read_json(root / STATS)
    except LeRobotError as error:
        return [fault(str(error))]
    counted = info["total_episodes"]
    if len(rows) > counted:
        found.append(note(f"{root}: {len(rows) - counted} episodes are not counted in info.json: an export was killed; "
                          "`retake export` again puts it right"))
    rows = rows[:counted]
    if [row["episode_index"] for row in rows] != list(range(counted)):
        return [*found, fault(f"{root}: info.json counts {counted} episodes, meta/episodes has others; restore a copy")]
    told = info.get("total_tasks", 0)
    if len(tasks) != told:
        found.append(fault(f"{root}: info.json counts {told} tasks, tasks.parquet has {len(tasks)}; restore a copy"))
    ends = [0, *(row["dataset_to_index"] for row in rows)]
    if ends[-1] != info["total_frames"] or any(
        (row["dataset_from_index"], row["length"]) != (since, until - since)
        for row, since, until in zip(rows, ends[:-1], ends[1:], strict=True)
    ):
        found.append(fault(f"{root}: the rows of meta/episodes do not add up to {info['total_frames']} frames; restore "
                           "a copy"))
    times: dict[int, np.ndarray] = {}
    for (chunk, file), members in _by_file(rows, "data").items():
        path = dataset_path(root, info["data_path"], chunk_index=chunk, file_index=file)
        try:
            table = read_parquet(path)
        except LeRobotError as error:
            found.append(fault(str(error)))
            continue
        found += _check_data(path, table, info, members, times)
    for key in video_keys(info["features"]):
        for (chunk, file), members in _by_file(rows, f"videos/{key}").items():
            path = dataset_path(root, info["video_path"], video_key=key, chunk_index=chunk, file_index=file)
            found += _check_video(path, key, members, times)
    return found


def _by_file(rows: list[dict[str, Any]], what: str) -> dict[File, list[dict[str, Any]]]:
    """Episodes by the file that holds them."""
    files: dict[File, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        files[row[f"{what}/chunk_index"], row[f"{what}/file_index"]].append(row)
    return files


def _check_data(path: Path, table: pa.Table, info: dict, members: list[dict[str, Any]],
                times: dict[int, np.ndarray]) -> list[Finding]:  # fmt: skip
    """Check the rows of one file; the episodes' timestamps, s, go to `times`."""
    stored = {key for key, feature in info["features"].items() if feature["dtype"] != "video"}
    if set(table.column_names) != stored:
        odd = ", ".join(sorted(set(table.column_names) ^ stored))
        return [fault(f"{path}: its columns and info.json's features differ in {odd}; restore a copy")]
    found = []
    for name in table.column_names:
        kind = table.schema.field(name).type
        value = kind.value_type if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) else kind
        if table[name].null_count:
            found.append(fault(f"{path}: {name} has {table[name].null_count} empty cells; leave the episodes out"))
        elif pa.types.is_floating(value):
            bad = int((~np.isfinite(column_values(table, name))).sum())
            if bad:
                found.append(fault(f"{path}: {name} holds {bad} NaN or infinite numbers; leave the episodes out"))
    episode, index = column_values(table, "episode_index"), column_values(table, "index")
    seconds = column_values(table, "timestamp").astype(np.float64)
    for row in members:
        here, name = episode == row["episode_index"], f"{path}: episode {row['episode_index']}"
        if here.sum() != row["length"]:
            found.append(fault(f"{name} has {here.sum()} rows, meta/episodes says {row['length']}; {AGAIN}"))
            continue
        times[row["episode_index"]] = known_s = seconds[here]
        if (index[here] != np.arange(row["dataset_from_index"], row["dataset_to_index"])).any():
            found.append(fault(f"{name}: its index does not count up from {row['dataset_from_index']}; {AGAIN}"))
        stamps = column_values(table, "stamp_ns")[here] if "stamp_ns" in stored else np.rint(known_s * 1e9)
        if (np.diff(known_s) <= 0).any() or (np.diff(stamps) <= 0).any():
            found.append(fault(f"{name}: its times do not rise; leave it out, or export it again"))
        else:
            found += gaps(name, stamps)
    return found


def _check_video(path: Path, key: str, members: list[dict[str, Any]], times: dict[int, np.ndarray]) -> list[Finding]:
    try:
        has_us = decoded_times_us(path)
    except EpisodeError as error:
        return [fault(str(error))]
    found, length = [], sum(row["length"] for row in members)
    if len(has_us) != length:
        found.append(fault(f"{path} has {len(has_us)} frames for {length} rows; {AGAIN}"))
    for row in members:
        index = row["episode_index"]
        if index not in times or not len(has_us):
            continue
        wanted_us = (row[f"videos/{key}/from_timestamp"] + times[index]) * TICKS
        after = np.searchsorted(has_us, wanted_us)
        nearest = [np.abs(has_us[np.clip(at, 0, len(has_us) - 1)] - wanted_us) for at in (after - 1, after)]
        astray = int((np.minimum(*nearest) > TOLERANCE_S * TICKS).sum())
        if astray:
            found.append(fault(f"{path}: {astray} rows of episode {index} have no frame at their timestamp; {AGAIN}"))
    uneven = uneven_frames(has_us) if len(has_us) > 2 and not found else 0
    if uneven:
        found.append(note(f"{path}: {uneven} frames are not evenly spaced, which LeRobot's torchcodec decoder may "
                          "refuse; load it with video_backend='pyav', or export with --timing nominal"))
    return found
