"""Figures of evaluated episodes, however they were run: through the launched graph or in one process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from policies.statistics import format_rate, wilson_interval


def trial_figures(episodes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of {seed, outcome, why, time_s, wall_s, interventions} each; seconds of the robot's clock."""
    why = Counter(episode["why"] for episode in episodes)
    times = [episode["time_s"] for episode in episodes if episode["outcome"] == "success"]
    low, high = wilson_interval(len(times), len(episodes))
    return {
        "trials": len(episodes), "successes": len(times), "rate": len(times) / max(1, len(episodes)), "low": low,
        "high": high, "falls": why["fallen"], "why": dict(why),
        "interventions": sum(episode.get("interventions", 0) for episode in episodes),
        "time_to_success_s": {"median": _quantile(times, 0.5), "p90": _quantile(times, 0.9)},
        "real_time_factor": sum(e["time_s"] for e in episodes) / max(1e-9, sum(e["wall_s"] for e in episodes)),
        "episodes": list(episodes),
    }  # fmt: skip


def _quantile(values: Sequence[float], q: float) -> float | None:
    return float(np.quantile(values, q)) if values else None


def rate_text(figures: Mapping[str, Any]) -> str:
    """`41/50 = 82.0 % [69.2, 90.2]`."""
    return format_rate(figures["successes"], figures["trials"])


def seconds_text(value: float | None) -> str:
    """`3.2 s`, or a dash where nothing was measured."""
    return "–" if value is None else f"{value:.1f} s"


def trial_rows(figures: Mapping[str, Any]) -> dict[str, str]:
    """What a table says of them."""
    return {
        "success, Wilson 95 %": rate_text(figures),
        "time to success, median": seconds_text(figures["time_to_success_s"]["median"]),
        "falls": str(figures["falls"]), "interventions": str(figures["interventions"]),
    }  # fmt: skip
