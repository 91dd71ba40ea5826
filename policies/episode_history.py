"""What people change about a recorded episode, afterwards: the outcome. Every change is kept, and can be undone.

episode.json gets `history`: [{time_ns (UTC), by, change, before, after}, ...], where before and after hold what the
change replaced. Data is never touched: a discarded episode is only called so.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from policies.episode_meta import META_NAME, EpisodeError, read_meta, write_meta
from policies.recorded import ended_meta

UNDO = "undo"
LABELS = ("success", "failure")
_CHANGED = ("outcome", "outcome_by", "end")


def relabel(folder: Path, outcome: str, by: str, time_ns: int) -> dict:
    """Say how an ended episode ended; returns the new meta."""
    if outcome not in LABELS:
        raise EpisodeError(f"label {outcome!r} is unknown; allowed: {', '.join(LABELS)}; to put it aside: discard")
    return _change(folder, "relabel", {"outcome": outcome, "outcome_by": by, "end": "terminated"}, by, time_ns)


def discard(folder: Path, by: str, time_ns: int) -> dict:
    """Put an episode aside: it stays on the disk, and training does not take it."""
    after = {"outcome": "discarded", "outcome_by": by, "end": "truncated"}
    return _change(folder, "discard", after, by, time_ns)


def undo(folder: Path, by: str, time_ns: int) -> dict:
    """Take the last change back that was not taken back yet."""
    with _held(folder):
        meta = ended_meta(folder)
        last = standing_changes(meta)[-1:]
        if not last:
            raise EpisodeError(f"{folder}: nobody changed this episode, or all is undone; it is {_said(meta)}")
        before = {key: meta.get(key) for key in _CHANGED if key in meta}
        return _write(folder, meta, UNDO, before, last[0]["before"], by, time_ns)


def standing_changes(meta: dict) -> list[dict]:
    """The changes that were not undone, oldest first."""
    standing: list[dict] = []
    for change in meta.get("history", []):
        if change["change"] == UNDO:
            standing.pop()
        else:
            standing.append(change)
    return standing


def last_changed(folders: Sequence[Path]) -> Path | None:
    """The episode with the newest change that can be undone."""
    newest = {folder: changes[-1]["time_ns"] for folder in folders if (changes := standing_changes(read_meta(folder)))}
    return max(newest, key=lambda folder: newest[folder], default=None)


def _change(folder: Path, change: str, after: dict, by: str, time_ns: int) -> dict:
    with _held(folder):
        meta = ended_meta(folder)
        if meta["outcome"] == after["outcome"]:
            raise EpisodeError(f"{folder} has ended already: it is {_said(meta)}; allowed: another outcome, or undo")
        before = {key: meta[key] for key in _CHANGED if key in meta}
        return _write(folder, meta, change, before, after, by, time_ns)


def _write(folder: Path, meta: dict, change: str, before: dict, after: dict, by: str, time_ns: int) -> dict:
    history = [*meta.get("history", []),
               {"time_ns": time_ns, "by": by, "change": change, "before": before, "after": after}]
    kept = {key: value for key, value in meta.items() if key not in _CHANGED}  # older recordings had no `end`
    changed = {**kept, **after, "history": history}
    write_meta(folder, changed)
    return changed


def _said(meta: dict) -> str:
    return f"{meta['outcome']}, said by {meta['outcome_by']}"


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Two people at once: one after the other."""
    if not (Path(folder) / META_NAME).is_file():
        raise EpisodeError(f"{folder} is no episode: no {META_NAME}; `retake episodes` lists what there is")
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
