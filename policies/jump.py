"""The largest jump of the reference's velocity near one tick, and its cause."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from policies import motion
from policies.recorded import Tick

WINDOW_NS = 250_000_000  # jumps are looked for so far before and after
NEGLIGIBLE = 1e-6  # of the limit: rounding
CAUSE_TICKS = 10  # a change of source is blended in over 0.2 s: it is the cause of what moves so soon after it


@dataclass(frozen=True)
class Jump:
    """The largest change of velocity. `of_limit`: as a share of what the robot's limits allow in one tick."""

    part: str
    at_s: float  # of the episode
    change: float
    unit: str
    of_limit: float
    cause: str


def largest_jump(stamps: np.ndarray, values: np.ndarray, channels: tuple[str, ...], k: int, ticks: Mapping[int, Tick],
                 acceleration: Mapping[str, float], start_ns: int) -> Jump | None:
    """Of the part whose velocity changed most, measured by what its limit allows in a tick; None where all
    moved evenly or rested.

    Args:
        stamps: (n,) ns of the references `values` (n, channels).
        k: index of the tick around which it is looked for.
        ticks: provenance by stamp.
        acceleration: per part what the robot's limits allow, per s².
        start_ns: when the episode began.
    """
    near = np.flatnonzero(np.abs(stamps - stamps[k]) <= WINDOW_NS)
    first = max(int(near[0]) - 2, 0)
    at, rows = stamps[first : near[-1] + 1], values[first : near[-1] + 1]
    if len(at) < 3:
        return None
    period_s = float(np.median(np.diff(at))) / 1e9
    best: tuple[float, str, int, float] | None = None
    for part, velocity in motion.velocities(at, rows, channels).items():
        change = motion.speeds(np.diff(velocity, axis=0))
        j = int(np.argmax(change))
        share = float(change[j]) / (acceleration[part] * period_s)
        if share > NEGLIGIBLE and (best is None or share > best[0]):
            best = share, part, j + 2, float(change[j])
    if best is None:
        return None
    share, part, j, size = best
    at_s = (int(at[j]) - start_ns) / 1e9
    return Jump(part, at_s, size, motion.unit(part), share, _cause(at, j, ticks, period_s, start_ns))


def _cause(at: np.ndarray, j: int, ticks: Mapping[int, Tick], period_s: float, start_ns: int) -> str:
    """What changed at the tick `j` of stamps `at`, or shortly before it."""
    gap_s = (int(at[j]) - int(at[j - 1])) / 1e9
    if gap_s > 1.5 * period_s:
        return f"{round(gap_s / period_s) - 1} ticks are missing before it: {1e3 * gap_s:.0f} ms without a reference"
    for i in range(j, max(j - CAUSE_TICKS, 0), -1):
        now, before = ticks.get(int(at[i])), ticks.get(int(at[i - 1]))
        if now is not None and before is not None and (change := _change(before, now, start_ns)):
            when = "at this tick" if i == j else f"{1e3 * (j - i) * period_s:.0f} ms before"
            return f"{change}, {when}"
    here = ticks.get(int(at[j]))
    if here is not None and here.clamped:
        return f"what {here.source} asked for was limited: {', '.join(here.clamped)}"
    return f"the motion that {here.source if here else 'the source'} asked for, within the limits"


def _change(before: Tick, now: Tick, start_ns: int) -> str:
    """What is another between two neighbouring ticks; empty when nothing is."""
    if now.epoch != before.epoch:
        return f"a hand-over from {_who(before)} to {_who(now)} (epoch {before.epoch} to {now.epoch})"
    if now.source != before.source:
        return f"the source changed from {_who(before)} to {_who(now)}"
    if now.chunk_stamp_ns != before.chunk_stamp_ns:
        return f"a new chunk from the observation at {(now.chunk_stamp_ns - start_ns) / 1e9:.3f} s, " \
               f"{now.observation_age_ms:.0f} ms old"
    return ""


def _who(tick: Tick) -> str:
    about = tick.reason or tick.operator
    return f"{tick.source} ({about})" if about else tick.source
