"""Decoded episodes on disk, keyed by content: JPEGs are decoded once, later epochs and runs only map memory.

One folder per (recording's sha256, cameras, size) under `<data>/.cache/`: `images.npy` (n, cameras, h, w, 3) uint8 and
`rows.safetensors`. Delete the folder at any time; it is made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from policies.episode_file import LOG_NAME, Episode, EpisodeError, read_episode, read_messages, typestore
from policies.frames import decode_frame

CACHE_VERSION = 1
ROWS = ("frame_stamps_ns", "state", "label", "label_stamps_ns")
DEMONSTRATED = "expert_action"  # what a demonstrator wanted, recorded where `reference` was disturbed on purpose


@dataclass(frozen=True)
class CachedEpisode:
    """Arrays of one episode: images (n, cameras, h, w, 3) uint8 RGB, memory-mapped; state (n, c); label (m, c), the
    actions to learn: `expert_action` where it was recorded, else `reference`."""

    images: np.ndarray
    frame_stamps_ns: np.ndarray
    state: np.ndarray
    label: np.ndarray
    label_stamps_ns: np.ndarray
    channels: tuple[str, ...]


def cached_episode(folder: Path, cache: Path, cameras: tuple[str, ...], width: int, height: int) -> CachedEpisode:
    """Open the episode in `folder` from the cache, decoding it first if it is not there."""
    how = json.dumps([CACHE_VERSION, cameras, width, height]).encode()
    entry = cache / hashlib.sha256(how + _content(folder / LOG_NAME)).hexdigest()[:24]
    if not entry.exists():
        _decode(folder, entry, cameras, width, height)
    images = np.load(entry / "images.npy", mmap_mode="r", allow_pickle=False)
    with safe_open(entry / "rows.safetensors", framework="numpy") as rows:
        channels = tuple(json.loads(rows.metadata()["channels"]))
        return CachedEpisode(images, channels=channels, **{name: rows.get_tensor(name) for name in ROWS})


def _content(path: Path) -> bytes:
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.digest()


def _decode(folder: Path, entry: Path, cameras: tuple[str, ...], width: int, height: int) -> None:
    """Decode into a folder beside the entry, then rename: a killed run leaves no half entry."""
    episode = read_episode(folder)
    missing = [camera for camera in cameras if camera not in episode.images]
    if missing:
        raise ValueError(
            f"{folder}: camera {missing[0]} was not recorded; there are: {', '.join(episode.images)}; "
            "leave the episode out or train with --cameras"
        )
    label_stamps_ns, label = _demonstrated(folder, episode) or (episode.reference_stamps_ns, episode.reference)
    arrays = (episode.frame_stamps_ns, episode.state, label, label_stamps_ns)
    rows = {name: np.ascontiguousarray(values) for name, values in zip(ROWS, arrays, strict=True)}
    bad = [name for name, values in rows.items() if not np.isfinite(values).all()]
    if bad:
        raise ValueError(f"{folder}: {bad[0]} holds NaN or infinity; allowed: finite numbers; leave the episode out")
    part = entry.with_name(f"{entry.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    shape = (len(episode.frame_stamps_ns), len(cameras), height, width, 3)
    images = np.empty(shape, np.uint8)
    for c, camera in enumerate(cameras):
        for i, jpeg in enumerate(episode.images[camera]):
            images[i, c] = decode_frame(jpeg, width, height)
    np.save(part / "images.npy", images, allow_pickle=False)
    save_file(rows, part / "rows.safetensors", metadata={"channels": json.dumps(episode.channels)})
    if entry.exists():  # another run was faster
        shutil.rmtree(part)
    else:
        part.rename(entry)


def _demonstrated(folder: Path, episode: Episode) -> tuple[np.ndarray, np.ndarray] | None:
    """Stamps (m,) ns and actions (m, c) of the demonstrator, if there are any."""
    topic = f"/{episode.meta['robot']}/{DEMONSTRATED}"
    found = list(read_messages(folder / LOG_NAME, (topic,)))
    messages: list[Any] = [typestore().deserialize_cdr(m.data, "trajectory_msgs/msg/JointTrajectory") for m in found]
    if any(tuple(m.joint_names) != episode.channels or len(m.points) != 1 for m in messages):
        raise EpisodeError(
            f"{folder}: {topic} has other channels than measured_action; allowed: the same; record it again"
        )
    if not found:
        return None
    return np.array([m.publish_ns for m in found], np.int64), np.stack([m.points[0].positions for m in messages])
