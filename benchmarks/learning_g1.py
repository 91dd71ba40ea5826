"""g1_box_failures_ratio: what ten minutes at the controls do to a weak policy of g1_box; how long the person watched
for them stands beside. One round of RaC, then 100 held-out worlds for both policies, paired. Those worlds are fresh:
what is learnt from was chosen by looking at how others fared in those before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.learning_runs import FINAL, TRIALS, retake, train, wins
from policies.paired import pair
from policies.statistics import format_rate, wilson_interval

RUNS = Path("build/learning/g1")
SHIPPED = Path("policies/checkpoints/g1_box")  # 97 of 100: too good to halve its failures measurably; it lends its eyes
WORLDS = range(FINAL.stop + 2 * TRIALS, FINAL.stop + 3 * TRIALS)
DEMOS, FIRST_DEMO = 6, 1_000
BASE_STEPS, STEPS = 600, 2_400
WATCH = 204  # episodes, in which this base needs ten minutes of driving
FRAMES = 9_090  # in their hands at most: those ten minutes
# without the ways back: with them the policy, which remembers nothing, turns back wherever it approaches the box
SEGMENTS = "untouched,recovery:4,correction:4"  # twice as often as by default: 25 of 30 other worlds beside 21
WORKERS = 2


def base() -> Path:
    """A weak policy: it sees as the shipped one, but has been shown few boxes. Only what sees passes from one kind of
    policy to another, so a detour through another kind leaves the answers of the shipped one behind."""
    retake("collect", "--task", "g1_box", "--episodes", DEMOS, "--seed", FIRST_DEMO, "--out", RUNS / "demos")
    eyes = train(RUNS / "eyes", RUNS / "demos", "flow", SHIPPED, 1)
    return train(RUNS / "base", RUNS / "demos", "act", eyes, BASE_STEPS)


def improved(policy: Path) -> Path:
    """The run of one round, finished."""
    out = RUNS / "rac"
    retake("improve", "--base", policy, "--data", RUNS / "demos", "--out", out, "--method", "rac", "--rounds", 1,
           "--frames", FRAMES, "--watch", WATCH, "--segments", SEGMENTS, "--steps", STEPS, "--gate", 0,
           "--threads", 1)  # fmt: skip
    return out / "round-1"


def g1() -> dict[str, dict[str, Any]]:
    """Failures after the round for each failure before it."""
    policy = base()
    folder = improved(policy)
    before, after = (wins(each, RUNS / "evaluations", WORKERS, WORLDS) for each in (policy, folder / "policy"))
    effort, paired = json.loads((folder / "round.json").read_text())["effort"], pair(before, after)
    rates = {"base": sum(before.values()), "improved": sum(after.values())}
    text = ", ".join(f"{name} {format_rate(won, TRIALS)}" for name, won in rates.items())
    minutes = f"{effort['operator_minutes']:.1f} minutes driving, {effort['supervised_minutes']:.1f} there"
    return {
        "g1_box_failures_ratio": {
            "value": (TRIALS - rates["improved"]) / (TRIALS - rates["base"]),
            "peer": f"{text}, p = {paired.p_value:.2g}; {minutes}",
            "rates": {name: [won / TRIALS, *wilson_interval(won, TRIALS)] for name, won in rates.items()},
            "pairs": vars(paired), "p_value": paired.p_value, "effort": effort, "trials": TRIALS,
        },
    }  # fmt: skip
