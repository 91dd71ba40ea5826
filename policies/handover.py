"""How smooth changes of authority were: the largest velocities around each against those of the rest of the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from policies import motion
from policies.recorded import Tick
from policies.timeline import Span

WINDOW_NS = 250_000_000  # 0.5 s around a change
MOVES = {"m/s": 0.005, "rad/s": 0.02, "1/s": 0.005}  # slower parts stand still: ratios of them say nothing


@dataclass(frozen=True)
class Speeds:
    """What moved how fast: per part of the action and for the fastest joint, with the stamps (n,) ns of each value."""

    stamps_ns: np.ndarray
    parts: dict[str, np.ndarray]
    joint_stamps_ns: np.ndarray
    joint: np.ndarray  # rad/s


@dataclass(frozen=True)
class Handover:
    """One change of authority. `ratio`: peak within 0.5 s around it / peak of the uninterrupted rest, of the part
    where it is largest; `joint_ratio` the same of the fastest joint. None where nothing moved to compare with."""

    at_ns: int
    before: str
    after: str
    part: str
    peak: float
    unit: str
    ratio: float | None
    joint_peak: float
    joint_ratio: float | None


def reference_speeds(stamps_ns: np.ndarray, values: np.ndarray, channels: tuple[str, ...],
                     joint_stamps_ns: np.ndarray, joint: np.ndarray) -> Speeds:
    """From references (n, channels) at their stamps, and the fastest joint's commanded speed (m,) at its own."""
    by_part = {part: motion.speeds(v) for part, v in motion.velocities(stamps_ns, values, channels).items()}
    return Speeds(stamps_ns[1:], by_part, joint_stamps_ns, joint)


def handovers(spans: Sequence[Span], speeds: Speeds, ticks: Sequence[Tick] = ()) -> list[Handover]:
    """One for each change between `spans` of authority. Those begin when the recorder heard of them; with `ticks` that
    have as many epochs, a change is at the first tick of its epoch."""
    exact = [after.stamp_ns for before, after in zip(ticks, ticks[1:], strict=False) if after.epoch != before.epoch]
    heard = [span.start_ns for span in spans[1:]]
    names = [(before.name, after.name) for before, after in zip(spans, spans[1:], strict=False)]
    times = exact if len(exact) == len(heard) else heard
    changes = [(at, *pair) for at, pair in zip(times, names, strict=True)]
    near, joint_near = (_near(stamps, [at for at, _, _ in changes]) for stamps in
                        (speeds.stamps_ns, speeds.joint_stamps_ns))
    return [_handover(at, before, after, speeds, near, joint_near) for at, before, after in changes]


def _near(stamps_ns: np.ndarray, changes: Sequence[int]) -> np.ndarray:
    """(n,) True within the window of any change."""
    mask = np.zeros(len(stamps_ns), bool)
    for at in changes:
        mask |= np.abs(stamps_ns - at) <= WINDOW_NS
    return mask


def _handover(at: int, before: str, after: str, speeds: Speeds, near: np.ndarray, joint_near: np.ndarray) -> Handover:
    here = np.abs(speeds.stamps_ns - at) <= WINDOW_NS
    part, peak, ratio = "", 0.0, None
    for name, speed in speeds.parts.items():
        rest, top = float(speed[~near].max(initial=0.0)), float(speed[here].max(initial=0.0))
        share = top / rest if rest > MOVES[motion.unit(name)] and np.any(here) else None
        if share is not None and (ratio is None or share > ratio):
            part, peak, ratio = name, top, share
    joint_here = np.abs(speeds.joint_stamps_ns - at) <= WINDOW_NS
    joint_peak, joint_rest = (float(speeds.joint[mask].max(initial=0.0)) for mask in (joint_here, ~joint_near))
    joint_ratio = joint_peak / joint_rest if joint_rest > MOVES["rad/s"] and np.any(joint_here) else None
    return Handover(at, before, after, part, peak, motion.unit(part) if part else "", ratio, joint_peak, joint_ratio)
