"""Decoded episodes on disk, keyed by content: pictures are decoded once, later epochs and runs only map memory.

One folder per (what the episode is read from, cameras, size) under `<data>/.cache/`: `images.npy` (n, cameras, h, w, 3)
uint8 and `rows.safetensors`; beside them what encoders that do not learn have seen (`policies/seen.py`). Delete the
folder at any time; it is made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from policies.frames import shrink
from policies.sources import Source

CACHE_VERSION = 1
ROWS = ("frame_stamps_ns", "state", "label", "label_stamps_ns")


@dataclass(frozen=True)
class CachedEpisode:
    """Arrays of one episode: images (n, cameras, h, w, 3) uint8 RGB, memory-mapped; state (n, c); label (m, c), the
    actions to learn. `entry`: its folder in the cache."""

    images: np.ndarray
    frame_stamps_ns: np.ndarray
    state: np.ndarray
    label: np.ndarray
    label_stamps_ns: np.ndarray
    channels: tuple[str, ...]
    entry: Path | None = None


def cached_episode(source: Source, cache: Path, cameras: tuple[str, ...], width: int, height: int) -> CachedEpisode:
    """Open an episode from the cache, decoding it first if it is not there."""
    how = json.dumps([CACHE_VERSION, cameras, width, height]).encode()
    entry = cache / hashlib.sha256(how + source.content()).hexdigest()[:24]
    if not entry.exists():
        _decode(source, entry, cameras, width, height)
    images = np.load(entry / "images.npy", mmap_mode="r", allow_pickle=False)
    with safe_open(entry / "rows.safetensors", framework="numpy") as rows:
        channels = tuple(json.loads(rows.metadata()["channels"]))
        return CachedEpisode(images, channels=channels, entry=entry, **{name: rows.get_tensor(name) for name in ROWS})


def _decode(source: Source, entry: Path, cameras: tuple[str, ...], width: int, height: int) -> None:
    """Decode into a folder beside the entry, then rename: a killed run leaves no half entry."""
    episode = source.read()
    missing = [camera for camera in cameras if camera not in episode.pictures]
    if missing:
        raise ValueError(
            f"{source.name}: camera {missing[0]} was not recorded; there are: {', '.join(episode.pictures)}; "
            "leave the episode out or train with --cameras"
        )
    rows = {name: np.ascontiguousarray(getattr(episode, name)) for name in ROWS}
    bad = [name for name, values in rows.items() if not np.isfinite(values).all()]
    if bad:
        raise ValueError(
            f"{source.name}: {bad[0]} holds NaN or infinity; allowed: finite numbers; leave the episode out"
        )
    part = entry.with_name(f"{entry.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    shape = (len(episode.frame_stamps_ns), len(cameras), height, width, 3)
    images = np.empty(shape, np.uint8)
    for c, camera in enumerate(cameras):
        for i, picture in enumerate(episode.pictures[camera]):
            images[i, c] = shrink(picture, width, height)
    np.save(part / "images.npy", images, allow_pickle=False)
    save_file(rows, part / "rows.safetensors", metadata={"channels": json.dumps(episode.channels)})
    if entry.exists():  # another run was faster
        shutil.rmtree(part)
    else:
        part.rename(entry)
