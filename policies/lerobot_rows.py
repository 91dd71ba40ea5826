"""Rows of a LeRobot dataset from a recorded episode: one per frame of the first camera, as `read_episode` pairs them.

`observation.state` is the newest measured_action at or before the frame. `action` is what to learn: expert_action where
it was recorded, else the reference; the newest at or before the frame, or the first one where none had come yet.
`policy_action` is what the policy wanted at the tick of that reference; where it wanted nothing `policy_action_valid`
is False and the column repeats what was executed, for NaN would spoil LeRobot's statistics.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from policies.episode_file import (
    DEMONSTRATED,
    LOG_NAME,
    Episode,
    EpisodeError,
    read_episode,
    read_messages,
    typestore,
)

POLICY_ACTION = "policy_action"
INTERVENTIONS = ("recovery", "correction")
HASHED = ("task", "outcome", "outcome_by", "end", "authority", "segments")  # of episode.json, beside the recording
FPS_TOLERANCE = 0.1

Column = np.ndarray | list[str]


@dataclass(frozen=True, slots=True)
class Rows:
    """One episode as columns of n rows, in the dataset's keys; without what the dataset counts (index, ...)."""

    meta: dict
    channels: tuple[str, ...]
    stamp_ns: np.ndarray  # (n,) int64, strictly increasing
    images: dict[str, list[bytes]]  # per camera n JPEGs
    columns: dict[str, Column]
    has_expert_action: bool

    @property
    def period_ns(self) -> int:
        """The median time between frames."""
        return int(np.median(np.diff(self.stamp_ns)))

    @property
    def fps(self) -> float:
        return 1e9 / self.period_ns

    @property
    def left_out(self) -> int:
        """Frames that were recorded before the first state or the first picture of another camera."""
        topic = f"/{self.meta['robot']}/camera/{next(iter(self.images))}/color/image_raw/compressed"
        return self.meta["messages"].get(topic, len(self.stamp_ns)) - len(self.stamp_ns)


def content_sha256(folder: Path, meta: dict) -> str:
    """What an export depends on: the recording's bytes and what episode.json says about them."""
    digest = hashlib.sha256(json.dumps([meta.get(key) for key in HASHED], sort_keys=True).encode())
    with open(folder / LOG_NAME, "rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def episode_rows(folder: Path) -> Rows:
    """Read an episode.

    Raises:
        EpisodeError: it has fewer than two frames, two of one time, or values that are not finite.
    """
    episode = read_episode(folder)
    stamps = episode.frame_stamps_ns
    if len(stamps) < 2:
        raise EpisodeError(f"{folder}: {len(stamps)} camera frames with a state; a dataset's episode has two at least; "
                           "leave it out, or mark it as discarded")
    if (np.diff(stamps) < 1000).any():
        raise EpisodeError(f"{folder}: camera {next(iter(episode.images))} has two frames within 1 us at "
                           f"{stamps[int(np.argmin(np.diff(stamps)))]} ns; check its driver's stamps and record again")
    vectors = _more_vectors(folder, episode)
    reference_at = _newest(episode.reference_stamps_ns, stamps)
    reference = episode.reference[reference_at]
    wanted, is_wanted = _policy_action(vectors.get(POLICY_ACTION), stamps, episode.reference_stamps_ns[reference_at])
    wanted = np.where(is_wanted[:, None], wanted, reference)
    action = reference
    if DEMONSTRATED in vectors:
        demonstrated_ns, demonstrated = vectors[DEMONSTRATED]
        action = demonstrated[_newest(demonstrated_ns, stamps)]
    for name, values in (("measured_action", episode.state), ("action", action), (POLICY_ACTION, wanted),
                         ("reference", reference)):
        if not np.isfinite(values).all():
            raise EpisodeError(f"{folder}: {name} holds NaN or infinity; allowed: finite numbers; leave it out")
    segments = at_stamps(segment_timeline(episode.meta), stamps, "pause")
    last = np.arange(len(stamps)) == len(stamps) - 1
    columns: dict[str, Column] = {
        "recorded.state": episode.state, "recorded.action": action, "recorded.reference": reference,
        "recorded.policy_action": wanted, "policy_action_valid": is_wanted,
        "segment": segments, "intervention": interventions(segments),
        "authority": at_stamps(episode.meta.get("authority") or [], stamps, "none"),
        "next.done": last, "next.truncated": last & (episode.meta.get("end") == "truncated"),
        "next.success": last & (episode.meta["outcome"] == "success"), "stamp_ns": stamps,
    }  # fmt: skip
    return Rows(episode.meta, episode.channels, stamps, episode.images, columns, DEMONSTRATED in vectors)


def segment_timeline(meta: dict) -> list[list]:
    """[[ns, segment], ...] at each change; recordings without segments have them from who had authority."""
    if meta.get("segments"):
        return meta["segments"]
    return [[ns, who if who in ("policy", "teleop") else "pause"] for ns, who in meta.get("authority") or []]


def at_stamps(changes: Sequence[Sequence[Any]], stamps_ns: np.ndarray, unknown: str) -> list[str]:
    """What held at each stamp; before the first change what that says; `unknown` where nothing was recorded."""
    if not changes:
        return [unknown] * len(stamps_ns)
    at = _newest(np.array([ns for ns, _ in changes], np.int64), stamps_ns)
    return [changes[i][1] for i in at]


def interventions(segments: Sequence[str]) -> np.ndarray:
    """(n,) bool: a person recovers, corrects, or drives after the policy has."""
    after_policy = np.maximum.accumulate([segment == "policy" for segment in segments])
    is_driven = np.array([segment == "teleop" for segment in segments])
    return np.array([segment in INTERVENTIONS for segment in segments]) | (is_driven & after_policy)


def _newest(known_ns: np.ndarray, stamps_ns: np.ndarray) -> np.ndarray:
    """Indices (n,) of the newest known at or before each stamp; the first where there is none."""
    return np.maximum(np.searchsorted(known_ns, stamps_ns, side="right") - 1, 0)


def _policy_action(
    wanted: tuple[np.ndarray, np.ndarray] | None, stamps: np.ndarray, reference_ns: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What the policy wanted (n, c) and whether (n,) that is of the reference's tick or newer."""
    if wanted is None:
        return np.zeros((len(stamps), 1)), np.zeros(len(stamps), bool)
    wanted_ns, values = wanted
    at = _newest(wanted_ns, stamps)
    return values[at], (wanted_ns[at] <= stamps) & (wanted_ns[at] >= reference_ns)


def _more_vectors(folder: Path, episode: Episode) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Stamps (m,) and values (m, c) of expert_action and policy_action, of those that were recorded."""
    topics = {f"/{episode.meta['robot']}/{name}": name for name in (DEMONSTRATED, POLICY_ACTION)}
    found: dict[str, list[tuple[int, np.ndarray]]] = {}
    for record in read_messages(folder / LOG_NAME, topics):
        message: Any = typestore().deserialize_cdr(record.data, "trajectory_msgs/msg/JointTrajectory")
        if tuple(message.joint_names) != episode.channels or len(message.points) != 1:
            raise EpisodeError(f"{folder}: {record.topic} has other channels than measured_action; allowed: the same; "
                               "record it again")
        found.setdefault(topics[record.topic], []).append((record.publish_ns, message.points[0].positions))
    vectors = {}
    for name, pairs in found.items():
        pairs.sort(key=lambda pair: pair[0])
        vectors[name] = np.array([ns for ns, _ in pairs], np.int64), np.stack([values for _, values in pairs])
    return vectors
