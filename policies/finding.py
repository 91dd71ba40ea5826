"""What a check of recordings has to say: one line each, with the remedy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

GAP = 3.0  # times the median period


@dataclass(frozen=True, slots=True)
class Finding:
    """`is_fault`: data are wrong or lost to a reader; else it is worth knowing."""

    is_fault: bool
    text: str


def fault(text: str) -> Finding:
    return Finding(True, text)


def note(text: str) -> Finding:
    return Finding(False, text)


def gaps(what: str, stamps_ns: np.ndarray) -> list[Finding]:
    """A note when of (n,) rising stamps some are more than GAP median periods apart."""
    if len(stamps_ns) < 10:
        return []
    steps = np.diff(stamps_ns)
    period = float(np.median(steps))
    late = np.flatnonzero(steps > GAP * period)
    if period <= 0 or not len(late):
        return []
    worst = int(np.argmax(steps))
    at_s = (stamps_ns[worst] - stamps_ns[0]) / 1e9
    return [note(f"{what}: {len(late)} gaps, the longest {steps[worst] / 1e6:.0f} ms at {at_s:.2f} s (its period is "
                 f"{period / 1e6:.1f} ms)")]  # fmt: skip
