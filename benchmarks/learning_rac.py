"""rac_gain_points, rac_p_value: three ways to spend a person's time on a policy of arm_pick_tight, for the same camera
frames in their hands: RaC, HG-DAgger, more demonstrations. Three rounds each, then 100 held-out worlds, paired.

The base's failures are of a kind that no demonstration shows: it has seen many, all of them clean, and lands with a
finger on the cube. It is flow matching, as in the paper (arXiv 2509.07953): where help leads up and demonstrations lead
down, regression answers with the middle and rests on the cube. All methods go on from this base for as many steps. One
seed after the other, so that a run that is cut short has whole seeds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.learning_runs import SEEDS, TRIALS, retake, train, wins
from policies.paired import Paired, pair

RUNS = Path("build/learning/rac")
EVALUATIONS = RUNS / "evaluations"
EYES = Path("build/policies/arm_pick/diffusion")  # whose encoders see, frozen; README "Measured" makes it
TASK = "arm_pick_tight"
DEMOS, FIRST_DEMO = 120, 1_000
BASE_STEPS, STEPS = 2_400, 1_000
ROUNDS, FRAMES = 3, 600  # per round: some 10 demonstrations
METHODS = ("rac", "hg-dagger", "demos")


def base() -> Path:
    """It sees well and has seen many demonstrations, none of them disturbed."""
    if not EYES.is_dir():
        raise ValueError(f"{EYES} is missing; make it with the commands for arm_pick in README's 'Measured'")
    retake("collect", "--task", TASK, "--episodes", DEMOS, "--seed", FIRST_DEMO, "--out", RUNS / "demos")
    return train(RUNS / "base", RUNS / "demos", "flow", EYES, BASE_STEPS)


def improved(method: str, seed: int) -> Path:
    """The run of a method, finished."""
    out = RUNS / f"{method}-{seed}"
    retake("improve", "--base", RUNS / "base", "--data", RUNS / "demos", "--out", out, "--method", method, "--rounds",
           ROUNDS, "--frames", FRAMES, "--steps", STEPS, "--seed", seed, "--gate", 0, "--threads", 1)  # fmt: skip
    return out


def spent(run: Path) -> dict[str, float]:
    """Over all rounds: minutes of a person, and frames by segment."""
    efforts = [json.loads((run / f"round-{k}/round.json").read_text())["effort"] for k in range(1, ROUNDS + 1)]
    total: dict[str, float] = {}
    for name in ("operator_minutes", "supervised_minutes", "taught"):
        total[name] = sum(effort[name] for effort in efforts)
    for name in ("rewind", "recovery", "correction"):
        total[name] = sum(effort["frames"].get(name, 0) for effort in efforts)
    return total


def rac() -> dict[str, dict[str, Any]]:
    """All worlds of all training seeds as pairs; the least gain and the greatest p-value over both baselines."""
    before = wins(base(), EVALUATIONS)
    found: dict[str, dict[tuple[int, int], bool]] = {method: {} for method in METHODS}
    cost: dict[str, list[dict[str, float]]] = {method: [] for method in METHODS}
    for seed in SEEDS:
        for method in METHODS:
            run = improved(method, seed)
            cost[method].append(spent(run))
            found[method] |= {(seed, k): won for k, won in wins(run / f"round-{ROUNDS}/policy", EVALUATIONS).items()}
    rate = {method: 100 * sum(each.values()) / len(each) for method, each in found.items()}
    against: dict[str, Paired] = {method: pair(found[method], found["rac"]) for method in METHODS[1:]}  # type: ignore[arg-type]
    back = sum(each["rewind"] + each["recovery"] for each in cost["rac"])
    minutes = sum(each["supervised_minutes"] for each in cost["rac"]) / len(SEEDS)
    gained = (rate["rac"] - 100 * sum(before.values()) / len(before)) / minutes
    beside = {"base": 100 * sum(before.values()) / len(before), "rates": rate, "cost": cost, "trials": TRIALS,
              "seeds": SEEDS, "pairs": {method: vars(each) for method, each in against.items()}}  # fmt: skip
    text = ", ".join(f"{method} {value:.1f} %" for method, value in rate.items())
    return {
        "rac_gain_points": {"value": min(100 * each.difference for each in against.values()),
                            "peer": f"base {beside['base']:.1f} %, {text}", **beside},
        "rac_p_value": {"value": max(each.p_value for each in against.values()), "peer": None},
        "rac_correction_per_recovery": {"value": sum(each["correction"] for each in cost["rac"]) / back, "peer": None},
        "rac_operator_minutes": {"value": minutes, "peer": f"{gained:+.1f} points a minute, watching included"},
    }  # fmt: skip
