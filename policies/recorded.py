"""What a recording holds, topic by topic, with both of its times: for looking back at an episode, not for training.

`stamps_ns` is when a thing was measured (the header's stamp), `log_ns` when the recorder received it, both on the
robot's clock. An unfinished file is read up to its last whole chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rosbags.serde import SerdeError

from policies.episode_file import LOG_NAME, EpisodeError, read_messages, read_meta, typestore

_TRAJECTORY, _STATUS = "trajectory_msgs/msg/JointTrajectory", "diagnostic_msgs/msg/DiagnosticStatus"
_JOINTS, _IMAGE, _STRING = "sensor_msgs/msg/JointState", "sensor_msgs/msg/CompressedImage", "std_msgs/msg/String"
_DAMAGED = "`retake validate` says what else is wrong"
COLOR = "color/image_raw/compressed"


class Vector(NamedTuple):
    """One named action. `device`: its frame_id, which is the name of the device for teleop_action."""

    names: tuple[str, ...]
    values: np.ndarray  # (n,)
    device: str


class ChunkRow(NamedTuple):
    """One action chunk: actions (n, channels) at `offsets_ns` (n,) after its stamp."""

    names: tuple[str, ...]
    offsets_ns: np.ndarray
    actions: np.ndarray


class Joints(NamedTuple):
    """Set-points of the joints: rad, rad/s, N·m, each (n,)."""

    names: tuple[str, ...]
    q_des: np.ndarray
    dq_des: np.ndarray
    tau_ff: np.ndarray


@dataclass(frozen=True, slots=True)
class Tick:
    """Provenance of one reference. `segment` and `operator` are empty in recordings from before there were any."""

    stamp_ns: int
    source: str
    reason: str
    epoch: int
    policy: str
    chunk_stamp_ns: int
    observation_age_ms: float
    clamped: tuple[str, ...]
    segment: str
    operator: str
    residual: str = ""  # of whom a residual was added


@dataclass(slots=True)
class Track:
    """One topic in order of arrival; `rows` is what its decoder made of each message, empty without one."""

    stamps_ns: np.ndarray  # (n,) int64
    log_ns: np.ndarray  # (n,) int64
    rows: list[Any] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.stamps_ns)

    def before(self, stamp_ns: int) -> int:
        """Index of the newest message measured at or before the stamp; -1 without one."""
        earlier = np.flatnonzero(self.stamps_ns <= stamp_ns)
        return int(earlier[np.argmax(self.stamps_ns[earlier])]) if len(earlier) else -1


EMPTY = Track(np.zeros(0, np.int64), np.zeros(0, np.int64))


def read_tracks(folder: Path, robot: str, decoders: Mapping[str, Callable[[bytes], Any]]) -> dict[str, Track]:
    """Every topic of the recording, named relative to the robot; rows only of those in `decoders`."""
    prefix = f"/{robot}/"
    times: dict[str, tuple[list[int], list[int]]] = {}
    rows: dict[str, list[Any]] = {}
    for message in read_messages(Path(folder) / LOG_NAME):
        name = message.topic.removeprefix(prefix)
        if name not in times:
            times[name], rows[name] = ([], []), []
        stamps, logs = times[name]
        stamps.append(message.publish_ns)
        logs.append(message.log_ns)
        decode = decoders.get(name)
        if decode is not None:
            rows[name].append(decode(message.data))
    if not times:
        raise EpisodeError(f"{folder} holds no message; nothing can be said about it: choose another episode")
    return {name: Track(np.array(stamps, np.int64), np.array(logs, np.int64), rows[name])
            for name, (stamps, logs) in times.items()}


def ended_meta(folder: Path) -> dict:
    """episode.json of an episode that has ended."""
    meta = read_meta(folder)
    if meta["ended_ns"] is None:
        raise EpisodeError(f"{folder} has not ended: end it with episode/success, episode/failure or episode/discard; "
                           "what a killed recorder left is repaired at its next start")
    return meta


def color_cameras(tracks: Mapping[str, Track]) -> dict[str, Track]:
    """The pictures of each camera, by its name, in order of the names."""
    return {name.split("/")[1]: tracks[name] for name in sorted(tracks)
            if name.startswith("camera/") and name.endswith(COLOR)}


def read_pictures(folder: Path, robot: str, wanted: Mapping[str, Collection[int]]) -> dict[str, dict[int, bytes]]:
    """The JPEGs with the `wanted` stamps of each camera: a second pass, as those of a whole episode fill a memory."""
    topics = {f"/{robot}/camera/{name}/{COLOR}": name for name in wanted}
    found: dict[str, dict[int, bytes]] = {name: {} for name in wanted}
    for message in read_messages(Path(folder) / LOG_NAME, topics):
        name = topics[message.topic]
        if message.publish_ns in wanted[name]:
            found[name][message.publish_ns] = jpeg(message.data)
    return found


def _decoded(cdr: bytes, msgtype: str) -> Any:
    try:
        return typestore().deserialize_cdr(cdr, msgtype)
    except SerdeError as error:
        raise EpisodeError(f"a recorded {msgtype} of {len(cdr)} bytes is none ({error}); {_DAMAGED}") from error


def vector(cdr: bytes) -> Vector:
    """A trajectory of one point."""
    message = _decoded(cdr, _TRAJECTORY)
    if len(message.points) != 1:
        raise EpisodeError(f"a recorded action has {len(message.points)} points, allowed is exactly one; {_DAMAGED}")
    return Vector(tuple(message.joint_names), np.array(message.points[0].positions), message.header.frame_id)


def chunk(cdr: bytes) -> ChunkRow:
    """A trajectory of several points."""
    message = _decoded(cdr, _TRAJECTORY)
    offsets = [p.time_from_start.sec * 1_000_000_000 + p.time_from_start.nanosec for p in message.points]
    return ChunkRow(tuple(message.joint_names), np.array(offsets, np.int64),
                    np.array([p.positions for p in message.points]))


def joints(cdr: bytes) -> Joints:
    message = _decoded(cdr, _JOINTS)
    return Joints(tuple(message.name), np.array(message.position), np.array(message.velocity), np.array(message.effort))


def joint_speed(cdr: bytes) -> float:
    """The largest commanded speed of any joint, rad/s (of a linear joint m/s); one that is not finite is damped."""
    velocity = _decoded(cdr, _JOINTS).velocity
    return float(np.abs(velocity[np.isfinite(velocity)]).max(initial=0.0))


def jpeg(cdr: bytes) -> bytes:
    return _decoded(cdr, _IMAGE).data.tobytes()


def text(cdr: bytes) -> str:
    return _decoded(cdr, _STRING).data


def tick(cdr: bytes) -> Tick:
    """A provenance message."""
    message = _decoded(cdr, _STATUS)
    pairs = {pair.key: pair.value for pair in message.values}
    return Tick(
        stamp_ns=int(pairs.get("stamp_ns", 0)), source=pairs.get("source", ""), reason=message.message,
        epoch=int(pairs.get("epoch", 0)), policy=pairs.get("policy", ""),
        chunk_stamp_ns=int(pairs.get("chunk_stamp_ns", 0)),
        observation_age_ms=float(pairs.get("observation_age_ms", 0.0)),
        clamped=tuple(name for name in pairs.get("clamped", "").split(",") if name),
        segment=pairs.get("segment", ""), operator=pairs.get("operator", ""), residual=pairs.get("residual", ""))


def stacked(track: Track, topic: str) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Stamps (n,), values (n, channels) and channels of a track of Vectors, by stamp, each stamp once (the newest)."""
    if not len(track):
        raise EpisodeError(f"no {topic} was recorded; nothing can be said about who moved what: choose another episode")
    names = {row.names for row in track.rows}
    if len(names) > 1:
        raise EpisodeError(f"the channels of {topic} change within the episode; they must stay the same")
    newest = {int(stamp): row.values for stamp, row in zip(track.stamps_ns, track.rows, strict=True)}
    stamps = np.array(sorted(newest), np.int64)
    return stamps, np.array([newest[int(stamp)] for stamp in stamps]), names.pop()
