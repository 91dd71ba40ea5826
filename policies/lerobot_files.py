"""Reading and replacing the files of a LeRobot dataset: whole or not at all, faults in one line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from policies.lerobot_format import INFO, TASKS, VERSION, task_list
from policies.mcap_log import EpisodeError

AGAIN = "restore it from a copy, or delete it and run `retake export` again, which makes it anew"
META_AGAIN = "restore it from a copy, or export to a new folder"


class LeRobotError(EpisodeError):
    """A dataset that cannot be read or appended to: what, what is allowed, what to do."""


def read_info(root: Path) -> dict:
    """meta/info.json, checked."""
    path = root / INFO
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LeRobotError(f"{root} is no LeRobot dataset: no {INFO}; `retake export` makes one") from None
    except ValueError as error:
        raise LeRobotError(f"{path} is not JSON ({error}); restore it from a copy") from None
    version = info.get("codebase_version") if isinstance(info, dict) else None
    if version != VERSION:
        raise LeRobotError(f"{path}: version {version!r}; allowed: {VERSION}. LeRobot converts older ones: "
                           "python -m lerobot.scripts.convert_dataset_v21_to_v30")
    lacking = [key for key in ("fps", "features", "total_episodes", "total_frames", "data_path") if key not in info]
    if lacking:
        raise LeRobotError(f"{path} lacks {', '.join(lacking)}; restore it from a copy")
    return info


def read_parquet(path: Path, remedy: str = AGAIN) -> pa.Table:
    """A whole Parquet file; a torn one is said."""
    try:
        return pq.ParquetFile(path, page_checksum_verification=True).read()
    except FileNotFoundError:
        raise LeRobotError(f"{path} is missing; {remedy}") from None
    except (pa.ArrowException, OSError) as error:
        raise LeRobotError(f"{path} is torn or no Parquet ({_short(error)}); {remedy}") from None


def read_episode_rows(root: Path) -> list[dict[str, Any]]:
    """The rows of meta/episodes, by episode_index."""
    paths = sorted((root / "meta/episodes").glob("*/*.parquet"))
    rows = [row for path in paths for row in read_parquet(path, META_AGAIN).to_pylist()]
    return sorted(rows, key=lambda row: row["episode_index"])


def read_tasks(root: Path) -> list[str]:
    """The texts of the tasks by task_index."""
    return task_list(read_parquet(root / TASKS, META_AGAIN))


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:120]


def write_json(path: Path, value: object) -> None:
    """Replace a JSON file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=4)
    move(temporary, path)


def write_parquet(table: pa.Table, path: Path, is_row: bool = False) -> None:
    """Replace a Parquet file in one step. `is_row`: leave out what makes the 200 columns of one row 100 kB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    pq.write_table(table, temporary, compression="snappy", write_page_checksum=True,
                   write_statistics=not is_row, use_dictionary=not is_row, store_schema=not is_row)
    move(temporary, path)


def move(made: Path, path: Path) -> None:
    """Put a finished file in its place; it is on the disk before it has the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(made, "rb") as file:
        os.fsync(file.fileno())
    made.replace(path)


def arrow_array(values: Any, kind: pa.DataType) -> pa.Array:
    """A column of numbers, texts or vectors (n, d) as Parquet's schema has it."""
    if pa.types.is_fixed_size_list(kind):
        flat = pa.array(np.ascontiguousarray(values).ravel(), type=kind.value_type)
        return pa.FixedSizeListArray.from_arrays(flat, kind.list_size)
    return pa.array(values, type=kind)


def column_values(table: pa.Table, name: str) -> np.ndarray:
    """A numeric column as (n,), or of vectors as (n, d)."""
    column = table[name].combine_chunks()
    if pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type):
        return np.asarray(column.flatten()).reshape(len(column), -1)
    return column.to_numpy(zero_copy_only=False)


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LeRobotError(f"{path} is missing or no JSON ({_short(error)}); {META_AGAIN}") from None
