"""How much of its bound a young residual may use: a rung higher only while it does no worse than the base did.

StepMix's rule (arXiv 2306.06265) on the scale of the residual: right after the actor starts to learn it is worse than
the base it corrects (ResFiT waits 10,000 updates for that), and a robot pays for every failure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from policies.statistics import wilson_interval

RUNGS = (0.25, 0.5, 0.75, 1.0)  # of the residual's scale
MARGIN = 0.05  # below the base's success
EPISODES_MIN, EPISODES_MAX = 8, 12  # on a rung before it is left; so many of the newest count, since the actor changes
Z = 1.0  # of the interval of the success on a rung


def rung_after(journal: Iterable[Mapping[str, Any]]) -> float:
    """The part of the residual's scale that the next episodes may use, from the run's log: lines with `end`,
    `weights_version` and, where the actor acted, `rung`."""
    base: list[bool] = []
    here: list[bool] = []
    k = 0
    for line in journal:
        succeeded = line["end"] == "success"
        if line["weights_version"] == 0:
            base.append(succeeded)
            continue
        if line["rung"] != RUNGS[k]:
            continue  # made with weights from before the last change
        here = [*here, succeeded][-EPISODES_MAX:]
        if len(here) < EPISODES_MIN or not base:
            continue
        low, high = wilson_interval(sum(here), len(here), Z)
        wanted = sum(base) / len(base) - MARGIN
        step = 1 if low >= wanted else -1 if high < wanted else 0
        if step:
            k, here = min(max(k + step, 0), len(RUNGS) - 1), []
    return RUNGS[k]
