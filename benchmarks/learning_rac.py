"""rac_*, rac_tight_*: three ways to spend a person's time on a policy, for the same camera frames in their hands: RaC,
HG-DAgger, more demonstrations. Three rounds each, then 100 held-out worlds, paired.

arm_insert snags: a peg beside the hole stands on the socket, and the policy presses. Lifted off, it is where
demonstrations have been (RaC); or it slides on to the hole from where it is (HG-DAgger, which frees it as surely and
as soon: all of 258 and of 268 helps, medians of 1.0 and 1.2 s). arm_pick_tight is beside it because nothing snags
there: a hand that has closed on nothing goes on by itself, and what a person does next is the same in both.

The base has seen clean demonstrations only. It is flow matching, as in the paper (arXiv 2509.07953): where help leads
up and demonstrations lead down, regression answers with the middle. All methods go on from this base for as many steps.
One seed after the other, so that a run that is cut short has whole seeds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.learning_runs import RUNS, SEEDS, TRIALS, retake, train, wins
from policies.paired import Paired, pair

STEPS, ROUNDS, FRAMES = 1_000, 3, 600  # of training and per round: of 10 to 26 demonstrations
METHODS = ("rac", "hg-dagger", "demos")


@dataclass(frozen=True)
class Setting:
    """A task, and the base that rounds begin with: who sees for it, frozen, and what it has been shown."""

    prefix: str  # of the figures
    task: str
    eyes: Path  # README "Measured" makes it
    demos: tuple[object, ...]  # of `retake collect`
    steps: int

    @property
    def folder(self) -> Path:
        return RUNS / self.prefix

    def wins(self, policy: Path) -> dict[int, bool]:
        """Success by held-out world."""
        return wins(policy, self.folder / "evaluations")

    def base(self) -> Path:
        """It sees well and has seen many demonstrations, none of them stuck."""
        if not self.eyes.is_dir():
            raise ValueError(f"{self.eyes} is missing; make it with README's commands for {self.eyes.parent.name}, in "
                             "'Measured'")
        retake("collect", "--task", self.task, "--out", self.folder / "demos", *self.demos)
        return train(self.folder / "base", self.folder / "demos", "flow", self.eyes, self.steps)

    def improved(self, method: str, seed: int) -> Path:
        """The run of a method, finished."""
        out = self.folder / f"{method}-{seed}"
        retake("improve", "--base", self.folder / "base", "--data", self.folder / "demos", "--out", out, "--method",
               method, "--rounds", ROUNDS, "--frames", FRAMES, "--steps", STEPS, "--seed", seed, "--gate", 0,
               "--threads", 1)  # fmt: skip
        return out


SNAG = Setting("rac", "arm_insert", Path("build/policies/arm_insert/base"),
               ("--episodes", 150, "--seed", 20_000, "--noise", 0.6, "--start-spread", 0.6), 1_500)  # fmt: skip
TIGHT = Setting("rac_tight", "arm_pick_tight", Path("build/policies/arm_pick/diffusion"),
                ("--episodes", 120, "--seed", 1_000), 2_400)  # fmt: skip


def spent(run: Path) -> dict[str, float]:
    """Over all rounds: minutes of a person, and frames by segment."""
    efforts = [json.loads((run / f"round-{k}/round.json").read_text())["effort"] for k in range(1, ROUNDS + 1)]
    total: dict[str, float] = {}
    for name in ("operator_minutes", "supervised_minutes", "taught"):
        total[name] = sum(effort[name] for effort in efforts)
    for name in ("rewind", "recovery", "correction"):
        total[name] = sum(effort["frames"].get(name, 0) for effort in efforts)
    return total


def measured(setting: Setting) -> dict[str, dict[str, Any]]:
    """All worlds of all training seeds as pairs; the least gain and the greatest p-value over both baselines."""
    before = setting.wins(setting.base())
    found: dict[str, dict[tuple[int, int], bool]] = {method: {} for method in METHODS}
    cost: dict[str, list[dict[str, float]]] = {method: [] for method in METHODS}
    for seed in SEEDS:
        for method in METHODS:
            run = setting.improved(method, seed)
            cost[method].append(spent(run))
            found[method] |= {(seed, k): won for k, won in setting.wins(run / f"round-{ROUNDS}/policy").items()}
    rate = {method: 100 * sum(each.values()) / len(each) for method, each in found.items()}
    against: dict[str, Paired] = {method: pair(found[method], found["rac"]) for method in METHODS[1:]}  # type: ignore[arg-type]
    back = sum(each["rewind"] + each["recovery"] for each in cost["rac"])
    minutes = sum(each["supervised_minutes"] for each in cost["rac"]) / len(SEEDS)
    gained = (rate["rac"] - 100 * sum(before.values()) / len(before)) / minutes
    beside = {"base": 100 * sum(before.values()) / len(before), "rates": rate, "cost": cost, "trials": TRIALS,
              "seeds": SEEDS, "pairs": {method: vars(each) for method, each in against.items()}}  # fmt: skip
    text = ", ".join(f"{method} {value:.1f} %" for method, value in rate.items())
    results: dict[str, dict[str, Any]] = {
        "gain_points": {"value": min(100 * each.difference for each in against.values()),
                        "peer": f"base {beside['base']:.1f} %, {text}", **beside},
        "p_value": {"value": max(each.p_value for each in against.values()), "peer": None},
        "correction_per_recovery": {"value": sum(each["correction"] for each in cost["rac"]) / back, "peer": None},
        "operator_minutes": {"value": minutes, "peer": f"{gained:+.1f} points a minute, watching included"},
    }  # fmt: skip
    return {f"{setting.prefix}_{name}": result for name, result in results.items()}


rac = partial(measured, SNAG)
rac_tight = partial(measured, TIGHT)
