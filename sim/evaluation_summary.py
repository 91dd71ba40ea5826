"""From result files to figures: rates with intervals, times, and the paired comparison of two evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from policies.paired import pair
from policies.retry_curve import Worlds, retry_success
from policies.statistics import format_rate
from policies.trials import trial_figures
from policies.verifier import load_verifier
from sim.evaluation import ResultFile, Settings


def summarise(settings: Settings, result: ResultFile, seeds: Sequence[int]) -> dict[str, Any]:
    """Figures of one evaluation over `seeds`, which the file has all; seconds of the robot's clock."""
    episodes = [result.lines[seed] for seed in seeds]
    return {
        "policy": settings.policy, **settings.identity, "code": result.codes, "seeds": list(seeds),
        "held_ticks": sum(episode["held_ticks"] for episode in episodes),
        "refused": sum(episode["refused"] for episode in episodes),
        "retry": _retry(settings, episodes), **trial_figures(episodes),
    }  # fmt: skip


def _retry(settings: Settings, episodes: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What several tries should give if they were independent, from the success of the first tries and the verifier's
    errors on its own held-out episodes; and its errors here, per failed and per successful try."""
    if settings.tries == 1:
        return None
    verifier = load_verifier(Path(settings.verifier))
    firsts = sum(episode["tries"][0]["why"] == "success" for episode in episodes)
    first_rate, wrongly, missed = firsts / max(1, len(episodes)), verifier.false_positive, verifier.false_negative
    asked = [each for episode in episodes for each in episode["tries"] if each["score"] is not None]
    wrong = {won: [(each["score"] >= verifier.threshold) != won for each in asked if (each["why"] == "success") == won]
             for won in (False, True)}
    known = wrongly.trials and missed.trials
    return {
        "first_try": {"successes": firsts, "trials": len(episodes)},
        "tries_mean": sum(len(episode["tries"]) for episode in episodes) / max(1, len(episodes)),
        "predicted": retry_success(first_rate, wrongly.value, missed.value, settings.tries) if known else None,
        "verifier": {"false_positive": str(wrongly), "false_negative": str(missed)},
        "here": {"false_positive": format_rate(sum(wrong[False]), len(wrong[False])),
                 "false_negative": format_rate(sum(wrong[True]), len(wrong[True]))},
    }  # fmt: skip


def worlds_of(episodes: Sequence[Mapping[str, Any]]) -> Worlds:
    """How success is distributed over worlds, from episodes of several tries."""
    tried = []
    for episode in episodes:
        won = [each["why"] == "success" for each in episode["tries"]]
        tried.append((won.index(True), True) if True in won else (len(won), False))
    return Worlds.fit(tried)


def predicted_text(retry: Mapping[str, Any] | None) -> str:
    """`93.1 %`, or a dash."""
    return "–" if retry is None or retry["predicted"] is None else f"{100 * retry['predicted']:.1f} %"


def compare(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Two summaries over the same seeds; differences are of the second less the first."""
    wins = [{episode["seed"]: episode["outcome"] == "success" for episode in each["episodes"]}
            for each in (first, second)]
    paired = pair(*wins)
    low, high = paired.interval()
    return {**asdict(paired), "difference": paired.difference, "low": low, "high": high, "p_value": paired.p_value,
            "differing_seeds": sorted(seed for seed in wins[0].keys() & wins[1] if wins[0][seed] != wins[1][seed])}


def difference_text(paired: Mapping[str, Any]) -> str:
    """`+6.0 points [-3.1, 14.9], p = 0.21`."""
    return (f"{100 * paired['difference']:+.1f} points [{100 * paired['low']:+.1f}, {100 * paired['high']:+.1f}], "
            f"p = {paired['p_value']:.2g}")
