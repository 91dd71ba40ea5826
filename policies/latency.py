"""How long it takes from a camera's picture to the motors, stage by stage, as far as a recording can tell.

A recording has two times of each message: its stamp (for a picture: when it was taken) and when the recorder received
it. The recorder stands for the other subscribers: a message reaches it about when it reaches them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from policies import recorded
from policies.recorded import EMPTY, Tick, Track

DOUBT_MS = 10.0  # a median below minus this is no measurement
SINCE_1980_NS = 315_532_800 * 10**9  # a clock before this is no wall clock


@dataclass(frozen=True)
class Stage:
    """One stage. `ms` (n,) are its samples; `how` says what was measured; `unknown` why nothing could be."""

    key: str
    name: str
    how: str
    ms: np.ndarray
    unknown: str = ""

    def percentile(self, q: float) -> float:
        """In ms; only where there are samples."""
        return float(np.percentile(self.ms, q))


HOW = {
    "camera": ("camera", "stamp of a picture to its receipt by the recorder, all cameras"),
    "inference": ("inference", "last picture of an observation received to its chunk received (a chunk bears the stamp "
                               "of its observation)"),
    "command": ("command", "chunk received to the provenance of the first reference that plays it received"),
    "controller": ("controller", "reference received to the next joint_command with its stamp or a later one received; "
                                 "the earliest that can contain it"),
    "motor": ("motor", "joint_command received to the applied_joint_command with its stamp or a later one received"),
    "total": ("picture to motor", "stamp of an observation to the receipt of the first applied_joint_command after the "
                                  "first reference that plays its chunk"),
    "hand": ("hand to reference", "stamp of a teleop_action to the tick that plays it, as the provenance says"),
}
CHAIN = ("camera", "inference", "command", "controller", "motor")


def clock_of(meta: dict, tracks: Mapping[str, Track]) -> tuple[bool, str]:
    """Whether the times of receipt mean anything, and on which clock they are, in a sentence."""
    if all(np.array_equal(track.stamps_ns, track.log_ns) for track in tracks.values()):
        return False, "Written by one process, without transport: the time of receipt is the stamp, so there are no " \
                      "latencies to know."
    if meta.get("lockstep"):
        return True, "Recorded in lockstep: the clock stands still while nodes compute, so these are the latencies " \
                     "that the order of things imposes, not how long this machine took."
    first = min((int(track.log_ns[0]) for track in tracks.values() if len(track)), default=0)
    if first < SINCE_1980_NS:
        return True, "On the clock of a simulated robot in real time: receipt is interpolated between readings of " \
                     "that clock, so single values are uncertain by about 10 ms."
    return True, "On the system's clock."


def stages(tracks: Mapping[str, Track], is_timed: bool) -> list[Stage]:
    """Every stage, in the order of HOW; `is_timed` as `clock_of` says. Needs rows of provenance."""
    cameras = recorded.color_cameras(tracks)
    chunks, commands = tracks.get("action_chunk", EMPTY), tracks.get("joint_command", EMPTY)
    references, applied = tracks.get("reference", EMPTY), tracks.get("applied_joint_command", EMPTY)
    provenance = tracks.get("provenance", EMPTY)
    ticks: Sequence[Tick] = provenance.rows
    first_use: dict[int, int] = {}  # chunk stamp -> index of the first tick that plays it
    for k, tick in enumerate(ticks):
        if tick.chunk_stamp_ns:
            first_use.setdefault(tick.chunk_stamp_ns, k)
    chunk_log = dict(zip(chunks.stamps_ns.tolist(), chunks.log_ns.tolist(), strict=True))
    played = [(stamp, log, first_use[stamp]) for stamp, log in chunk_log.items() if stamp in first_use]
    found: dict[str, tuple[list[float] | np.ndarray, str]] = {
        "camera": (np.concatenate([(t.log_ns - t.stamps_ns) / 1e6 for t in cameras.values()] or [np.zeros(0)]),
                   "no camera was recorded"),
        "inference": (_inference(cameras, chunks), "no chunk with a recorded picture of its stamp"),
        "command": ([(int(provenance.log_ns[k]) - log) / 1e6 for _, log, k in played], "no chunk was played"),
        "controller": (_answers(references, commands), "no reference was answered by a recorded joint_command"),
        "motor": (_answers(commands, applied), "no joint_command and applied_joint_command were recorded"),
        "total": (_totals(played, ticks, references, applied), "no chunk was followed to the motors"),
    }
    timed = [Stage(key, *HOW[key], np.asarray(ms, float) if is_timed else np.zeros(0),
                   "" if is_timed and len(ms) else why if is_timed else "the recording has no times of receipt")
             for key, (ms, why) in found.items()]
    hand = np.array([tick.observation_age_ms for tick in ticks if tick.source == "teleop"])
    return [*timed, Stage("hand", *HOW["hand"], hand, "" if len(hand) else "nobody teleoperated")]


def doubts(found: Sequence[Stage]) -> str:
    """A sentence where the times of receipt contradict the order of things; empty otherwise."""
    negative = [stage.name for stage in found if not stage.unknown and stage.percentile(50) < -DOUBT_MS]
    return f" The recorder itself was behind ({', '.join(negative)} would be negative): receipts say little here." \
        if negative else ""


def _inference(cameras: Mapping[str, Track], chunks: Track) -> list[float]:
    """Of each chunk: from the last receipt of a picture with its very stamp."""
    received: dict[int, int] = {}
    for track in cameras.values():
        for stamp, log in zip(track.stamps_ns.tolist(), track.log_ns.tolist(), strict=True):
            received[stamp] = max(received.get(stamp, log), log)
    pairs = zip(chunks.stamps_ns.tolist(), chunks.log_ns.tolist(), strict=True)
    return [(log - received[stamp]) / 1e6 for stamp, log in pairs if stamp in received]


def first_after(track: Track, stamps_ns: np.ndarray, log_ns: np.ndarray) -> np.ndarray:
    """Index of the first message of `track` that is neither stamped nor received earlier, len(track) without one."""
    by_stamp = np.searchsorted(np.maximum.accumulate(track.stamps_ns), stamps_ns)
    return np.maximum(by_stamp, np.searchsorted(np.maximum.accumulate(track.log_ns), log_ns))


def _answers(asked: Track, answers: Track) -> np.ndarray:
    if not len(asked) or not len(answers):
        return np.zeros(0)
    at = first_after(answers, asked.stamps_ns, asked.log_ns)
    has_answer = at < len(answers)
    return (answers.log_ns[at[has_answer]] - asked.log_ns[has_answer]) / 1e6


def _totals(played: Sequence[tuple[int, int, int]], ticks: Sequence[Tick], references: Track,
            applied: Track) -> list[float]:
    if not len(references) or not len(applied):
        return []
    reference_log = dict(zip(references.stamps_ns.tolist(), references.log_ns.tolist(), strict=True))
    used = [(stamp, ticks[k].stamp_ns) for stamp, _, k in played if ticks[k].stamp_ns in reference_log]
    if not used:
        return []
    tick_ns = np.array([tick for _, tick in used], np.int64)
    at = first_after(applied, tick_ns, np.array([reference_log[tick] for _, tick in used], np.int64))
    return [(int(applied.log_ns[i]) - stamp) / 1e6 for (stamp, _), i in zip(used, at, strict=True) if i < len(applied)]


def pooled(several: Sequence[Sequence[Stage]]) -> list[Stage]:
    """The stages of several episodes as one; those that can be known in none stay unknown."""
    together = []
    for same in zip(*several, strict=True):
        ms = np.concatenate([stage.ms for stage in same])
        together.append(Stage(same[0].key, same[0].name, same[0].how, ms, "" if len(ms) else same[0].unknown))
    return together


def read(folder: Path, meta: dict) -> tuple[list[Stage], str, dict[str, Track]]:
    """The stages of an episode, on which clock they are, and its topics' times."""
    tracks = recorded.read_tracks(folder, meta["robot"], {"provenance": recorded.tick})
    is_timed, clock = clock_of(meta, tracks)
    return stages(tracks, is_timed), clock, tracks
