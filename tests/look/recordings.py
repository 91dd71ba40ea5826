"""Small recordings of which everything is known: a policy, a person, the policy again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from controllers.g1 import ACTION_CHANNELS, HOME_ACTION
from policies.episode_file import EpisodeWriter, typestore

MS = 1_000_000
START = 1_764_000_000 * 10**9  # a wall clock's stamp
TICK, FRAME, COMMAND, CHUNK = 20 * MS, 66 * MS, 10 * MS, 396 * MS
TELEOP_FROM, TELEOP_UNTIL = 2000 * MS, 3000 * MS
JOINTS = ("left_elbow_joint", "right_elbow_joint")
LEFT_X = ACTION_CHANNELS.index("left_ee.x")
# what each message takes from its stamp to the recorder
HEAD, CHEST, INFERENCE, REFERENCE, PROVENANCE, COMMANDED, APPLIED = (ms * MS for ms in (5, 9, 80, 1, 2, 3, 4))


class Scripted:
    """Writes an episode message by message, in order of receipt."""

    def __init__(self, folder: Path, meta: dict | None = None) -> None:
        self.writer = EpisodeWriter(folder, {
            "task": "g1_box", "seed": 7, "action_channels": list(ACTION_CHANNELS), "policy_hash": "0123456789abcdef",
            "started_ns": START, "lost": {}, **(meta or {})})
        self._types = typestore().types
        self._queue: list[tuple[int, str, str, int, bytes]] = []

    def add(self, topic: str, msgtype: str, message: Any, stamp: int, delay: int = 0) -> None:
        """`stamp` in ns from the start."""
        cdr = bytes(typestore().serialize_cdr(message, msgtype))
        self._queue.append((START + stamp + delay, f"/g1/{topic}", msgtype, START + stamp, cdr))

    def header(self, stamp: int, frame: str = "") -> Any:
        sec, nanosec = divmod(START + stamp, 10**9)
        return self._types["std_msgs/msg/Header"](self._types["builtin_interfaces/msg/Time"](sec, nanosec), frame)

    def vector(self, topic: str, values: np.ndarray, stamp: int, delay: int = 0, frame: str = "odom") -> None:
        self.chunk(topic, values[None], [0], stamp, delay, frame)

    def chunk(self, topic: str, actions: np.ndarray, offsets: list[int], stamp: int, delay: int = 0,
              frame: str = "odom") -> None:
        none, duration = np.zeros(0), self._types["builtin_interfaces/msg/Duration"]
        point = self._types["trajectory_msgs/msg/JointTrajectoryPoint"]
        points = [point(row.astype(float), none, none, none, duration(*divmod(offset, 10**9)))
                  for row, offset in zip(actions, offsets, strict=True)]
        kind = "trajectory_msgs/msg/JointTrajectory"
        self.add(topic, kind, self._types[kind](self.header(stamp, frame), list(ACTION_CHANNELS), points), stamp, delay)

    def joints(self, topic: str, q: list[float], dq: list[float], stamp: int, delay: int = 0) -> None:
        kind = "sensor_msgs/msg/JointState"
        arrays = (np.array(each, float) for each in (q, dq, [0.5] * len(q)))
        self.add(topic, kind, self._types[kind](self.header(stamp), list(JOINTS), *arrays), stamp, delay)

    def text(self, topic: str, text: str, stamp: int) -> None:
        self.add(topic, "std_msgs/msg/String", self._types["std_msgs/msg/String"](text), stamp)

    def picture(self, camera: str, shade: int, stamp: int, delay: int = 0) -> None:
        jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), shade, np.uint8))[1]
        kind = "sensor_msgs/msg/CompressedImage"
        message = self._types[kind](self.header(stamp), "jpeg", jpeg.ravel())
        self.add(f"camera/{camera}/color/image_raw/compressed", kind, message, stamp, delay)

    def provenance(self, stamp: int, source: str, reason: str = "", **pairs: object) -> None:
        """As the recorder writes it: without a header its stamp is its time of receipt."""
        kind, pair = "diagnostic_msgs/msg/DiagnosticStatus", self._types["diagnostic_msgs/msg/KeyValue"]
        values = {"source": source, "stamp_ns": START + stamp, **pairs}
        status = self._types[kind](0, "reference", reason, "", [pair(k, str(v)) for k, v in values.items()])
        self.add("provenance", kind, status, stamp + PROVENANCE)

    def close(self, outcome: str = "success", by: str = "operator") -> Path:
        for log_ns, topic, msgtype, stamp_ns, cdr in sorted(self._queue, key=lambda each: each[0]):
            self.writer.write_raw(topic, msgtype, cdr, stamp_ns, log_ns)
        self.writer.close(outcome, by)
        return self.writer.folder


def reference_at(stamp: int) -> np.ndarray:
    """The left hand goes ahead at 0.1 m/s; the moment a person takes over it is suddenly 0.3 m/s."""
    action = np.array(HOME_ACTION)
    hurried = max(0, min(stamp, TELEOP_UNTIL) - TELEOP_FROM)
    action[LEFT_X] += (0.1 * stamp + 0.2 * hurried) / 1e9
    return action


def source_at(stamp: int) -> str:
    return "teleop" if TELEOP_FROM <= stamp < TELEOP_UNTIL else "policy" if stamp >= 400 * MS else "hold"


def write_episode(folder: Path, seconds: int = 4, outcome: str = "success", old: bool = False) -> Path:
    """As `retake up` records it. `old`: as before there were segments, operators and the policy's own action."""
    segments = [[START, "pause"], [START + 400 * MS, "policy"], [START + TELEOP_FROM, "recovery"],
                [START + 2500 * MS, "correction"], [START + TELEOP_UNTIL, "policy"]]
    authority = [[START, "none"], [START + 200 * MS, "policy"], [START + TELEOP_FROM, "teleop"],
                 [START + TELEOP_UNTIL, "policy"]]
    episode = Scripted(folder, {"authority": authority, "segments": [] if old else segments})
    end = seconds * 1000 * MS
    for stamp_ns, who in authority:
        if stamp_ns < START + end:
            episode.text("authority", who, stamp_ns - START)
    chunk = 0  # stamp of the newest one that was received
    for stamp in range(0, end, TICK):
        if (stamp - INFERENCE) // CHUNK * CHUNK > chunk:
            chunk = (stamp - INFERENCE) // CHUNK * CHUNK
        source = source_at(stamp)
        epoch = 0 if stamp < 200 * MS else 1 if stamp < TELEOP_FROM else 2 if stamp < TELEOP_UNTIL else 3
        pairs: dict[str, object] = {"epoch": epoch, "clamped": "left_ee.position" if stamp == TELEOP_FROM else ""}
        if source == "policy" and chunk:
            pairs |= {"policy": "0123456789abcdef", "chunk_stamp_ns": START + chunk,
                      "observation_age_ms": (stamp - chunk) / MS}
        if source == "teleop":
            pairs |= {"observation_age_ms": 12.0}
            episode.vector("teleop_action", reference_at(stamp), stamp - 12 * MS, 1 * MS, "joy")
        if not old:
            pairs |= {"segment": next(name for since, name in reversed(segments) if START + stamp >= since),
                      "operator": "joy" if source == "teleop" else ""}
            episode.vector("policy_action", np.array(HOME_ACTION), stamp, REFERENCE)
        episode.provenance(stamp, source, "no chunk yet" if source == "hold" else "", **pairs)
        episode.vector("reference", reference_at(stamp), stamp, REFERENCE)
        episode.vector("measured_action", reference_at(stamp - TICK), stamp)
    for stamp in range(0, end, FRAME):
        episode.picture("head", 60 + stamp // FRAME, stamp, HEAD)
        episode.picture("chest", 200, stamp, CHEST)
    for stamp in range(CHUNK, end, CHUNK):
        offsets = [FRAME * k for k in range(1, 25)]
        episode.chunk("action_chunk", np.tile(HOME_ACTION, (24, 1)), offsets, stamp, INFERENCE)
    for stamp in range(0, end, COMMAND):
        speed = 0.9 if abs(stamp - TELEOP_FROM) < 100 * MS else 0.3
        episode.joints("joint_command", [0.2, 1.7], [speed, -0.1], stamp, COMMANDED)
        if stamp != 1000 * MS:  # one is missing
            episode.joints("applied_joint_command", [0.2, 1.6], [speed, -0.1], stamp, APPLIED)
    return episode.close(outcome)
