"""Is a recorded episode whole? Counts, stamps, gaps, NaN, pictures, torn files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.serde import SerdeError

from policies.episode_file import LOG_NAME, EpisodeError, read_messages, read_meta, typestore
from policies.finding import Finding, fault, gaps, note
from policies.mcap_scan import scan

_TRAJECTORY, _JOINTS = "trajectory_msgs/msg/JointTrajectory", "sensor_msgs/msg/JointState"
_IMAGE = "sensor_msgs/msg/CompressedImage"
NEEDED = ("measured_action", "reference")  # for training
PERIODIC = (*NEEDED, "joint_states", "imu", "joint_command", "applied_joint_command")


def check_episode(folder: Path) -> list[Finding]:
    """What there is to say about the episode in `folder`; nothing when it is as it should be."""
    try:
        return _check(folder, read_meta(folder))
    except EpisodeError as error:
        return [fault(str(error))]
    except SerdeError as error:
        return [fault(f"{folder}: a message cannot be decoded ({error}); restore a copy, or leave the episode out")]


def _check(folder: Path, meta: dict) -> list[Finding]:
    path = folder / LOG_NAME
    found = []
    if meta["ended_ns"] is None:
        found.append(fault(f"{folder}: was not ended: it is being recorded, or its recorder was killed; then "
                           "`retake validate --repair` ends it"))
    index = scan(path)
    if not index.finished:
        cut = index.file_bytes - index.end
        found.append(fault(f"{path}: torn, its end is missing ({cut} bytes after the last whole record); "
                           "`retake validate --repair` cuts and ends it"))
    counts = index.topic_counts()
    told = meta.get("messages") or {}
    for topic in sorted(set(told) | set(counts)):
        if meta["ended_ns"] is not None and told.get(topic, 0) != counts.get(topic, 0):
            found.append(fault(f"{folder}: {topic} has {counts.get(topic, 0)} messages, episode.json says "
                               f"{told.get(topic, 0)}; restore a copy"))
    lost = ", ".join(f"{count} of {topic}" for topic, count in (meta.get("lost") or {}).items() if count)
    if lost:
        found.append(note(f"{folder}: lost while recording: {lost}; the computer was too slow"))
    return found + _check_messages(folder, meta)


def _check_messages(folder: Path, meta: dict) -> list[Finding]:
    stamps: dict[str, list[int]] = {}
    bad: dict[tuple[str, str], int] = {}
    channels = tuple(meta.get("action_channels") or ())
    for record in read_messages(folder / LOG_NAME):
        stamps.setdefault(record.topic, []).append(record.publish_ns)
        wrong = _wrong(record.msgtype, record.data, channels if record.topic.endswith(NEEDED) else ())
        if wrong:
            bad[record.topic, wrong] = bad.get((record.topic, wrong), 0) + 1
    found = [fault(f"{folder}: {topic}: {count} messages with {wrong}; leave the episode out")
             for (topic, wrong), count in bad.items()]  # fmt: skip
    namespace = f"/{meta['robot']}/"
    for name in NEEDED:
        if namespace + name not in stamps:
            found.append(fault(f"{folder}: no {name} was recorded; training needs it; record it again"))
    if not any(_is_camera(topic) for topic in stamps):
        found.append(fault(f"{folder}: no camera was recorded; training needs one at least; record it again"))
    for topic, list_of_ns in stamps.items():
        name, known_ns = topic.removeprefix(namespace), np.array(list_of_ns, np.int64)
        if name in PERIODIC or _is_camera(topic):
            back = int((np.diff(known_ns) < 0).sum())
            if back:
                found.append(fault(f"{folder}: the stamps of {topic} go back {back} times; synchronise the clocks, "
                                   "record it again"))
            else:
                found += gaps(f"{folder}: {topic}", known_ns)
    return found


def _is_camera(topic: str) -> bool:
    return topic.endswith("/color/image_raw/compressed")


def _wrong(msgtype: str, data: bytes, channels: tuple[str, ...]) -> str | None:
    """What is wrong with one message, if anything is; `channels` that it must name, () for any."""
    if msgtype not in (_TRAJECTORY, _JOINTS, _IMAGE):
        return None
    message: Any = typestore().deserialize_cdr(data, msgtype)
    if msgtype == _IMAGE:
        if "Depth" in message.format:
            return None
        picture = cv2.imdecode(message.data, cv2.IMREAD_REDUCED_GRAYSCALE_8) if len(message.data) else None
        return "a picture that is no JPEG" if picture is None else None
    if msgtype == _JOINTS:
        vectors = [message.position, message.velocity, message.effort]
    else:
        vectors = [point.positions for point in message.points]
        if channels and tuple(message.joint_names) != channels:
            return "other channels than episode.json names"
    return None if all(np.isfinite(values).all() for values in vectors) else "NaN or infinity"
