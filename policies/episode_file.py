"""Episodes on disk: a folder with `episode.mcap` (ROS 2 messages) and `episode.json` (what it is and how it ended).

The recorder and the offline collector write through `EpisodeWriter`; training reads with `read_episode`. No ROS needed.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from policies.episode_meta import FORMAT, JUDGED, OUTCOMES, episode_folder, is_unfinished, read_meta, write_meta
from policies.episode_notes import EpisodeNotes
from policies.mcap_log import EpisodeError, LogWriter
from policies.mcap_scan import LogMessage, read_messages, repair_log

__all__ = ["Episode", "EpisodeError", "EpisodeWriter", "LogMessage", "episode_folder", "has_header", "is_unfinished",
           "read_episode", "read_meta", "read_messages", "repair", "typestore", "write_meta"]

LOG_NAME = "episode.mcap"
DEMONSTRATED = "expert_action"  # what a demonstrator wanted, recorded where `reference` was disturbed on purpose
_TRAJECTORY, _IMAGE = "trajectory_msgs/msg/JointTrajectory", "sensor_msgs/msg/CompressedImage"


@dataclass(frozen=True, slots=True)
class Episode:
    """What training needs of one episode; stamps in ns of the robot's clock."""

    images: dict[str, list[bytes]]  # per camera n JPEGs
    frame_stamps_ns: np.ndarray  # (n,) int64, of the first camera's images
    state: np.ndarray  # (n, channels) measured_action, the newest at or before each frame
    reference: np.ndarray  # (m, channels)
    reference_stamps_ns: np.ndarray  # (m,) int64
    channels: tuple[str, ...]
    meta: dict


@cache
def typestore() -> Typestore:
    """The message definitions of ROS 2 Jazzy."""
    return get_typestore(Stores.ROS2_JAZZY)


@cache
def has_header(msgtype: str) -> bool:
    """True when the type starts with std_msgs/Header, so that its stamp is bytes 4..12 of the CDR."""
    fields = typestore().fielddefs[msgtype][1]
    return bool(fields) and fields[0][1][1] == "std_msgs/msg/Header"


class EpisodeWriter:
    """Writes one episode as it happens; one thread writes.

    Until `close` the folder says "aborted", so that a killed writer leaves the truth.
    """

    def __init__(self, folder: Path, meta: dict) -> None:
        """Create the folder. `meta`: task, seed, action_channels, ... of the format."""
        self.folder = Path(folder)
        if self.folder.exists():
            raise EpisodeError(f"{self.folder} exists already; episodes are never overwritten: choose another folder")
        self.folder.mkdir(parents=True)
        self.meta = {"format": FORMAT, "id": self.folder.name, "robot": "g1", "task": None, "seed": None,
                     "outcome": "aborted", "outcome_by": "recorder", "end": "truncated", "policy_hash": None,
                     "authority": [], "segments": [], "action_channels": [], "started_ns": None, "ended_ns": None,
                     "messages": {}, **meta}
        write_meta(self.folder, self.meta)
        self._log = LogWriter(self.folder / LOG_NAME)
        self._channels: dict[str, list] = {}  # topic -> [channel id, next sequence]
        self._last_ns: int | None = None
        self.closed = False

    def write_raw(self, topic: str, msgtype: str, cdr: bytes, stamp_ns: int, log_ns: int | None = None,
                  sequence: int | None = None) -> None:
        """Append one serialized message, measured at `stamp_ns` and received at `log_ns` (default: the same).

        `sequence` is its publisher's number; the default counts what is written.
        """
        channel = self._channels.get(topic)
        if channel is None:
            channel = self._channels[topic] = [self._add_channel(topic, msgtype), 0]
        log_ns = stamp_ns if log_ns is None else log_ns
        self._log.add(channel[0], channel[1] if sequence is None else sequence, log_ns, stamp_ns, cdr)
        channel[1] += 1
        if self._last_ns is None and self.meta["started_ns"] is None:
            self.meta["started_ns"] = log_ns
        self._last_ns = log_ns

    def write(self, topic: str, msgtype: str, message: Any, stamp_ns: int | None = None) -> None:
        """Append one message of `typestore().types`; `stamp_ns` may be left out where the type has a header."""
        if stamp_ns is None:
            stamp = message.header.stamp
            stamp_ns = stamp.sec * 1_000_000_000 + stamp.nanosec
        self.write_raw(topic, msgtype, bytes(typestore().serialize_cdr(message, msgtype)), stamp_ns)

    def write_vector(self, topic: str, channels: tuple[str, ...], values: np.ndarray, stamp_ns: int) -> None:
        """Append a one-point JointTrajectory: `values` (n,) named by `channels`; for measured_action and reference."""
        types = typestore().types
        none = np.zeros(0)
        point = types["trajectory_msgs/msg/JointTrajectoryPoint"](
            np.asarray(values, dtype=np.float64), none, none, none, types["builtin_interfaces/msg/Duration"](0, 0))
        self.write(topic, _TRAJECTORY, types[_TRAJECTORY](_header(stamp_ns, "odom"), list(channels), [point]))

    def write_jpeg(self, topic: str, jpeg: bytes, stamp_ns: int, frame_id: str = "") -> None:
        """Append a CompressedImage."""
        data = np.frombuffer(jpeg, dtype=np.uint8)
        self.write(topic, _IMAGE, typestore().types[_IMAGE](_header(stamp_ns, frame_id), "jpeg", data))

    def flush_due(self) -> None:
        """Call this when messages may pause: what is older than 0.1 s goes to the kernel and survives a kill."""
        self._log.flush_due()

    def sync(self) -> None:
        """Wait for the disk, so that what was flushed survives a power cut; any thread may call this."""
        self._log.sync()

    def close(self, outcome: str, by: str, out_of_time: bool = False) -> None:
        """Finish the files. `by` says who judged: operator, evaluator, recorder, expert, ... A judged episode is
        terminated, one that was broken off or is `out_of_time` truncated: learners go on from its last state."""
        if outcome not in OUTCOMES:
            raise EpisodeError(f"outcome {outcome!r} is unknown; allowed: {', '.join(OUTCOMES)}")
        if self.closed:
            raise EpisodeError(f"episode {self.meta['id']} has ended already ({self.meta['outcome']}); start a new one")
        self.closed = True
        is_judged = outcome in JUDGED and not out_of_time
        self.meta.update(outcome=outcome, outcome_by=by, end="terminated" if is_judged else "truncated")
        write_meta(self.folder, self.meta)  # the judgement first: repair can make up for the rest
        self._log.finish()
        ended_ns = self._last_ns or self.meta["started_ns"] or 0
        self.meta.update(ended_ns=ended_ns, messages=self._log.index.topic_counts())
        write_meta(self.folder, self.meta)

    def abandon(self) -> None:
        """Let go of the files as they are (disk full); `repair` finishes them later."""
        self.closed = True
        self._log.close()

    def __enter__(self) -> "EpisodeWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        if not self.closed:
            self.close("aborted", "recorder")

    @property
    def bytes_written(self) -> int:
        return self._log.index.end

    def _add_channel(self, topic: str, msgtype: str) -> int:
        if msgtype not in typestore().fielddefs:
            raise EpisodeError(f"{topic}: message type {msgtype!r} is not one of ROS 2 Jazzy's own; record those only")
        return self._log.add_channel(topic, msgtype, typestore().generate_msgdef(msgtype, ros_version=2)[0])


def _header(stamp_ns: int, frame_id: str) -> Any:
    types = typestore().types
    sec, nanosec = divmod(int(stamp_ns), 1_000_000_000)
    return types["std_msgs/msg/Header"](types["builtin_interfaces/msg/Time"](sec, nanosec), frame_id)


def repair(folder: Path) -> dict:
    """Finish what a killed writer left: index and footer, message counts, end time; return the meta. Idempotent."""
    meta = read_meta(folder)
    path = Path(folder) / LOG_NAME
    index = repair_log(path)
    if meta["ended_ns"] is None:
        notes = EpisodeNotes(meta["robot"])
        for message in read_messages(path, notes.topics):
            notes.note(message.topic, message.log_ns, message.data)
        starts = [c.message_start_time for c in index.chunks]
        started = min(starts, default=0) if meta["started_ns"] is None else meta["started_ns"]
        meta.update(started_ns=started, ended_ns=max((c.message_end_time for c in index.chunks), default=started),
                    messages=index.topic_counts(), **notes.meta())
        write_meta(Path(folder), meta)
    return meta


def read_episode(folder: Path) -> Episode:
    """Read what training needs; a file without footer is read up to its last whole chunk.

    Frames are the first camera's (alphabetical order); a frame before the first state or the first image of another
    camera is left out. Another camera's image is the newest at or before the frame.
    """
    folder = Path(folder)
    meta = read_meta(folder)
    images, vectors = _collect(folder / LOG_NAME, meta["robot"])
    for needed in ("measured_action", "reference"):
        if not vectors[needed][0]:
            raise EpisodeError(f"{folder}: no {needed} was recorded; episodes for training need it: record it again")
    if not images:
        raise EpisodeError(f"{folder}: no camera was recorded; episodes for training need one at least")
    channels = vectors["measured_action"][2]
    if vectors["reference"][2] != channels or tuple(meta["action_channels"] or channels) != channels:
        raise EpisodeError(f"{folder}: measured_action, reference and episode.json name different action channels "
                           f"({channels} against {vectors['reference'][2]}); they must be the same")
    state_ns, state = np.array(vectors["measured_action"][0], dtype=np.int64), np.array(vectors["measured_action"][1])
    first = next(iter(images.values()))
    frame_ns = np.array([stamp for stamp, _ in first], dtype=np.int64)
    state_at = np.searchsorted(state_ns, frame_ns, side="right") - 1
    image_at = {name: np.searchsorted([stamp for stamp, _ in frames], frame_ns, side="right") - 1
                for name, frames in images.items()}
    keep = np.flatnonzero(np.all([state_at >= 0, *(at >= 0 for at in image_at.values())], axis=0))
    return Episode(
        images={name: [frames[i][1] for i in image_at[name][keep]] for name, frames in images.items()},
        frame_stamps_ns=frame_ns[keep], state=state[state_at[keep]],
        reference=np.array(vectors["reference"][1]),
        reference_stamps_ns=np.array(vectors["reference"][0], dtype=np.int64), channels=channels, meta=meta)


def _collect(path: Path, robot: str) -> tuple[dict[str, list[tuple[int, bytes]]], dict[str, tuple]]:
    """Return the images per camera and, per vector topic, (stamps, values, channels), in stamp order."""
    camera = re.compile(rf"/{re.escape(robot)}/camera/([^/]+)/color/image_raw/compressed")
    images: dict[str, list[tuple[int, bytes]]] = {}
    rows: dict[str, list[tuple[int, np.ndarray, tuple[str, ...]]]] = {"measured_action": [], "reference": []}
    vector_topics = {f"/{robot}/{name}": name for name in rows}
    for record in read_messages(path):
        if record.topic in vector_topics:
            message: Any = typestore().deserialize_cdr(record.data, _TRAJECTORY)
            values = message.points[0].positions
            rows[vector_topics[record.topic]].append((record.publish_ns, values, tuple(message.joint_names)))
        elif match := camera.fullmatch(record.topic):
            message = typestore().deserialize_cdr(record.data, _IMAGE)
            images.setdefault(match[1], []).append((record.publish_ns, message.data.tobytes()))
    vectors = {}
    for name, list_of_rows in rows.items():
        list_of_rows.sort(key=lambda row: row[0])
        names = {row[2] for row in list_of_rows}
        if len(names) > 1:
            raise EpisodeError(f"{path}: the channels of {name} change within the episode; they must stay the same")
        stamps, values = [row[0] for row in list_of_rows], [row[1] for row in list_of_rows]
        vectors[name] = (stamps, values, names.pop() if names else ())
    return {name: sorted(images[name], key=lambda image: image[0]) for name in sorted(images)}, vectors
