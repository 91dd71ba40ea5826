"""Episodes to train on, wherever they are: recordings of ours, or the rows of a LeRobotDataset v3.0 on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from policies.episode_file import DEMONSTRATED, LOG_NAME, EpisodeError, read_episode, read_messages, typestore
from policies.episode_meta import META_NAME, read_meta
from policies.frames import decode_jpeg
from policies.lerobot_files import read_info
from policies.lerobot_format import INFO
from policies.lerobot_import import IMPORTER, ImportPlan, LeRobotImport, camera_name

UNKNOWN_ROBOT = "unknown"
NOBODY = "nobody"  # judged an episode of a dataset that does not say how its episodes ended


@dataclass(frozen=True)
class Decoded:
    """One episode: n frames with state (n, c) and, per camera, n pictures (h, w, 3) uint8 RGB; labels (m, c), the
    actions to learn: what the demonstrator wanted where that was recorded, else the reference. Stamps in ns."""

    frame_stamps_ns: np.ndarray
    state: np.ndarray
    label: np.ndarray
    label_stamps_ns: np.ndarray
    channels: tuple[str, ...]
    pictures: Mapping[str, Iterator[np.ndarray]]


class Source(Protocol):
    """One episode; `name` tells it from the others of its folder, `meta` is what episode.json says."""

    @property
    def name(self) -> str: ...
    @property
    def meta(self) -> dict: ...
    def content(self) -> bytes:
        """A digest of everything that `read` depends on."""
    def read(self) -> Decoded: ...


@dataclass(frozen=True)
class Recording:
    """A folder with episode.mcap and episode.json."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @cached_property
    def meta(self) -> dict:
        return read_meta(self.folder)

    def content(self) -> bytes:
        return _digest(self.folder / LOG_NAME)

    def read(self) -> Decoded:
        episode = read_episode(self.folder)
        label, label_ns = self._demonstrated(episode.channels) or (episode.reference, episode.reference_stamps_ns)
        pictures = {camera: (decode_jpeg(jpeg) for jpeg in jpegs) for camera, jpegs in episode.images.items()}
        return Decoded(episode.frame_stamps_ns, episode.state, label, label_ns, episode.channels, pictures)

    def _demonstrated(self, channels: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray] | None:
        """Actions (m, c) of the demonstrator and their stamps (m,) ns, if there are any."""
        topic = f"/{self.meta['robot']}/{DEMONSTRATED}"
        found = list(read_messages(self.folder / LOG_NAME, (topic,)))
        decode = typestore().deserialize_cdr
        messages: list[Any] = [decode(m.data, "trajectory_msgs/msg/JointTrajectory") for m in found]
        if any(tuple(m.joint_names) != channels or len(m.points) != 1 for m in messages):
            raise EpisodeError(
                f"{self.folder}: {topic} has other channels than measured_action; allowed: the same; record it again"
            )
        if not found:
            return None
        stamps = np.array([m.publish_ns for m in found], np.int64)
        return np.stack([m.points[0].positions for m in messages]), stamps


class LeRobotEpisode:
    """One episode of a dataset; its channels are the dataset's own, its stamps count from its start."""

    def __init__(self, dataset: LeRobotImport, row: dict[str, Any]) -> None:
        self._dataset, self._row = dataset, row
        self.name = dataset.name(row)

    @cached_property
    def meta(self) -> dict:
        meta, stamps, _ = self._dataset.told(self._row)
        period = int(np.median(np.diff(stamps))) if len(stamps) > 1 else 0
        outcome, by = self._dataset.judgement(self._row)
        if by == IMPORTER and not self._row.get("outcome"):
            by = NOBODY
        return {**meta, "id": self.name, "outcome": outcome, "outcome_by": by,
                "started_ns": int(stamps[0]), "ended_ns": int(stamps[-1]) + period}  # fmt: skip

    def content(self) -> bytes:
        digest = hashlib.sha256(self.name.encode())
        for path in self._dataset.files(self._row):
            digest.update(_digest(path))
        return digest.digest()

    def read(self) -> Decoded:
        _, stamps, columns = self._dataset.told(self._row)
        pictures = {camera_name(key): (picture[..., ::-1] for picture in frames)
                    for key, frames in self._dataset.pictures(self._row).items()}  # fmt: skip
        label = columns.get(DEMONSTRATED, columns["reference"])
        return Decoded(stamps, columns["measured_action"], label, stamps, self._dataset.channels, pictures)


def sources_of(root: Path) -> list[Source]:
    """Every episode below root, by name: a folder of recordings, or a LeRobot dataset."""
    if (root / INFO).is_file():
        robot = read_info(root).get("robot_type") or UNKNOWN_ROBOT
        # who does not say how the episodes ended publishes demonstrations
        dataset = LeRobotImport(root, ImportPlan(robot=robot, outcome="success"))
        return [LeRobotEpisode(dataset, row) for row in dataset.rows]
    return [Recording(path.parent) for path in sorted(root.glob(f"*/{META_NAME}"))]


def _digest(path: Path) -> bytes:
    stat = path.stat()
    return _digest_of(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)  # a file of a dataset holds many episodes
def _digest_of(path: Path, size: int, mtime_ns: int) -> bytes:
    """sha256 of a file as it is at this size and time of change."""
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.digest()
