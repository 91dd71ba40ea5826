"""Why the robot moved as it did at one moment of a recording: who commanded, from what, what was limited, what jumped.

Times in s count from the episode's first message. The moment is a tick of the authority: the newest reference at or
before the time that was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from policies import recorded
from policies.episode_file import LOG_NAME, EpisodeError, read_messages, read_meta
from policies.jump import Jump, largest_jump
from policies.recorded import EMPTY, Joints, Tick, Track

_JOINT_TOLERANCE = 1e-6  # a joint command that differs less was not changed


@dataclass(frozen=True)
class ChunkUse:
    """The chunk that a reference came from; times in s of the episode."""

    observation_s: float
    cameras: tuple[str, ...]  # with a frame of exactly that stamp
    age_ms: float
    received_s: float | None  # None: the chunk itself is not in the recording
    points: int
    ends_s: float | None


@dataclass(frozen=True)
class TeleopUse:
    """The teleop action that the tick played."""

    device: str
    stamp_s: float
    age_ms: float


@dataclass(frozen=True)
class Motors:
    """The first set-points that the motors were given from the tick on. `changed`: joint -> [asked, given] q_des."""

    stamp_s: float
    joints: dict[str, list[float]]  # q_des, dq_des, tau_ff
    changed: dict[str, list[float]] | None  # None: what the controller had asked for is not in the recording


@dataclass(frozen=True)
class Explanation:
    """Everything about one tick. `channels`: name -> [wanted by the policy, executed, measured], None where unknown."""

    episode: str
    outcome: str
    asked_s: float
    at_s: float
    tick: Tick
    authority: str
    segment: str
    chunk: ChunkUse | None
    teleop: TeleopUse | None
    channels: dict[str, list[float | None]]
    motors: Motors | None
    jump: Jump | None


def explain(folder: Path, at: float | int, acceleration: Mapping[str, float]) -> Explanation:
    """Explain the tick at `at`: seconds of the episode (float), or a stamp in ns (int).

    Args:
        acceleration: per part of the action what the robot's limits allow, per s².
    """
    meta = read_meta(folder)
    robot = meta["robot"]
    tracks = recorded.read_tracks(folder, robot, {
        "reference": recorded.vector, "policy_action": recorded.vector, "measured_action": recorded.vector,
        "teleop_action": recorded.vector, "action_chunk": recorded.chunk, "provenance": recorded.tick,
        "authority": recorded.text, "segment": recorded.text})
    started = meta["started_ns"]
    start = min(int(track.log_ns.min()) for track in tracks.values()) if started is None else started
    stamps, values, channels = recorded.stacked(tracks.get("reference", EMPTY), "reference")
    asked = at if isinstance(at, int) else start + round(at * 1e9)
    k = _tick_at(stamps, asked, start)
    ticks = _ticks(tracks, folder)
    now = ticks.get(int(stamps[k]))
    if now is None:
        raise EpisodeError(f"{folder}: no provenance of the reference at {_s(stamps[k], start):.3f} s was recorded; "
                           "ask for a time beside it")
    authority = _latched(tracks.get("authority", EMPTY), now.stamp_ns)
    segment = now.segment or _latched(tracks.get("segment", EMPTY), now.stamp_ns)
    return Explanation(
        episode=Path(folder).name, outcome=meta["outcome"], asked_s=_s(asked, start), at_s=_s(now.stamp_ns, start),
        tick=now, authority=authority,
        segment=segment or (authority if authority in ("policy", "teleop") else "pause"),
        chunk=_chunk(tracks, now, start), teleop=_teleop(tracks, now, start),
        channels=_channels(tracks, channels, values[k], now.stamp_ns), motors=_motors(folder, robot, now, start),
        jump=largest_jump(stamps, values, channels, k, ticks, acceleration, start))


def _s(stamp_ns: int | np.integer, start_ns: int) -> float:
    return (int(stamp_ns) - start_ns) / 1e9


def _tick_at(stamps: np.ndarray, asked_ns: int, start_ns: int) -> int:
    first, last = int(stamps[0]), int(stamps[-1])
    period = int(np.median(np.diff(stamps))) if len(stamps) > 1 else 0
    if not first <= asked_ns <= last + period:
        raise EpisodeError(
            f"{_s(asked_ns, start_ns):.3f} s ({asked_ns} ns) is outside of the commands recorded; allowed: "
            f"{_s(first, start_ns):.3f} to {_s(last, start_ns):.3f} s ({first} to {last} ns); choose --at there")
    return int(np.searchsorted(stamps, asked_ns, side="right")) - 1


def _ticks(tracks: Mapping[str, Track], folder: Path) -> dict[int, Tick]:
    rows: list[Tick] = tracks.get("provenance", EMPTY).rows
    if not rows:
        raise EpisodeError(f"{folder}: no provenance was recorded, so nobody can say who commanded; `retake up` "
                           "records it, `retake collect` has one source only")
    return {row.stamp_ns: row for row in rows}


def _latched(track: Track, stamp_ns: int) -> str:
    """The newest of a topic that is true until it changes."""
    k = track.before(stamp_ns)
    return track.rows[k] if k >= 0 else ""


def _chunk(tracks: Mapping[str, Track], now: Tick, start: int) -> ChunkUse | None:
    if not now.chunk_stamp_ns:
        return None
    cameras = tuple(name for name, track in recorded.color_cameras(tracks).items()
                    if np.any(track.stamps_ns == now.chunk_stamp_ns))
    observation = _s(now.chunk_stamp_ns, start)
    track = tracks.get("action_chunk", EMPTY)
    found = np.flatnonzero(track.stamps_ns == now.chunk_stamp_ns)
    if not len(found):
        return ChunkUse(observation, cameras, now.observation_age_ms, None, 0, None)
    offsets = track.rows[found[0]].offsets_ns
    return ChunkUse(observation, cameras, now.observation_age_ms, _s(track.log_ns[found[0]], start), len(offsets),
                    observation + int(offsets[-1]) / 1e9)


def _teleop(tracks: Mapping[str, Track], now: Tick, start: int) -> TeleopUse | None:
    track = tracks.get("teleop_action", EMPTY)
    if not len(track) or now.source != "teleop":
        return None
    # by its age: an action of the tick's own stamp often comes too late for it
    k = int(np.argmin(np.abs(track.stamps_ns - (now.stamp_ns - round(now.observation_age_ms * 1e6)))))
    return TeleopUse(track.rows[k].device, _s(track.stamps_ns[k], start), now.observation_age_ms)


def _channels(tracks: Mapping[str, Track], channels: tuple[str, ...], reference: np.ndarray,
              stamp_ns: int) -> dict[str, list[float | None]]:
    def exactly(topic: str) -> dict[str, float]:
        track = tracks.get(topic, EMPTY)
        found = np.flatnonzero(track.stamps_ns == stamp_ns)
        row = track.rows[found[-1]] if len(found) else None
        return dict(zip(row.names, row.values.tolist(), strict=True)) if row else {}

    wanted, measured = exactly("policy_action"), exactly("measured_action")
    return {name: [wanted.get(name), float(reference[i]), measured.get(name)] for i, name in enumerate(channels)}


def _motors(folder: Path, robot: str, now: Tick, start: int) -> Motors | None:
    """A second pass over the file: the set-points of a whole episode would fill the memory."""
    applied, command = f"/{robot}/applied_joint_command", f"/{robot}/joint_command"
    asked: dict[int, Joints] = {}
    given: tuple[int, Joints] | None = None
    for message in read_messages(Path(folder) / LOG_NAME, (applied, command)):
        if message.publish_ns < now.stamp_ns:
            continue
        if given is None and message.topic == applied:
            given = message.publish_ns, recorded.joints(message.data)
        elif message.topic == command and len(asked) < 50:  # what was applied answers one of the next few
            asked.setdefault(message.publish_ns, recorded.joints(message.data))
        if given is not None and (given[0] in asked or len(asked) >= 50):
            break
    if given is None:
        return None
    stamp, row = given
    rows = np.stack([row.q_des, row.dq_des, row.tau_ff], axis=1).tolist()
    before = asked.get(stamp)
    changed = None if before is None else {
        name: [float(a), float(b)] for name, a, b in zip(row.names, before.q_des, row.q_des, strict=True)
        if abs(a - b) > _JOINT_TOLERANCE}
    return Motors(_s(stamp, start), dict(zip(row.names, rows, strict=True)), changed)
