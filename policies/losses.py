"""What a recording lost, topic by topic: what the recorder counted, and what the stamps say is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from policies.recorded import Track

GAP_PERIODS = 1.5  # a longer pause between neighbouring stamps is a gap
PERIODIC = ("joint_states", "imu", "joint_command", "applied_joint_command", "odometry", "measured_action", "reference")


@dataclass(frozen=True)
class Loss:
    """One topic. `lost`: counted by the recorder from sequence numbers, None when it did not get to say so."""

    topic: str
    messages: int
    lost: int | None
    period_ms: float | None  # median between stamps; None: the topic has no period
    gaps: int
    missing: int  # messages that would fill the gaps
    longest_gap_ms: float
    quiet_ms: float  # from the last stamp to the end of the episode: what came later than that was not recorded


def losses(meta: dict, tracks: Mapping[str, Track]) -> list[Loss]:
    """Of every topic in the recording, by name."""
    counted = meta.get("lost")
    prefix = f"/{meta['robot']}/"
    return [_loss(name, track, None if counted is None else int(counted.get(prefix + name, 0)), meta["ended_ns"])
            for name, track in sorted(tracks.items())]


def _loss(name: str, track: Track, lost: int | None, ended_ns: int) -> Loss:
    steps = np.diff(np.unique(track.stamps_ns)) / 1e6
    is_periodic = name in PERIODIC or name.startswith("camera/")
    if not is_periodic or len(steps) < 3:
        return Loss(name, len(track), lost, None, 0, 0, 0.0, 0.0)
    period = float(np.median(steps))
    gaps = steps[steps > GAP_PERIODS * period]
    missing = int(np.sum(np.round(gaps / period) - 1))
    quiet = max(0.0, (ended_ns - int(track.stamps_ns.max())) / 1e6)
    return Loss(name, len(track), lost, period, len(gaps), missing, float(gaps.max(initial=0.0)), quiet)


def added(several: Sequence[Sequence[Loss]]) -> list[Loss]:
    """Losses of several episodes, added up per topic."""
    names = sorted({loss.topic for each in several for loss in each})
    total = []
    for name in names:
        same = [loss for each in several for loss in each if loss.topic == name]
        counted = [loss.lost for loss in same if loss.lost is not None]
        periods = [loss.period_ms for loss in same if loss.period_ms is not None]
        total.append(Loss(name, sum(loss.messages for loss in same), sum(counted) if counted else None,
                          float(np.median(periods)) if periods else None, sum(loss.gaps for loss in same),
                          sum(loss.missing for loss in same), max(loss.longest_gap_ms for loss in same),
                          max(loss.quiet_ms for loss in same)))
    return total
