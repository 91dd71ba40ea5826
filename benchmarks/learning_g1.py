"""g1_box_failures_ratio: what ten minutes of a person do to a weak policy of g1_box, watching included. One round of
RaC, then 100 held-out worlds for both policies, paired."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.learning_rac import retake
from policies.paired import pair
from policies.statistics import format_rate, wilson_interval
from sim import parallel
from sim.evaluation import ResultFile, settings_of
from sim.tasks import HELD_OUT_SEED

RUNS = Path("build/learning/g1")
SHIPPED = Path("policies/checkpoints/g1_box")  # 97 of 100: too good to halve its failures measurably; it lends its eyes
DEMOS, FIRST_DEMO = 12, 1_000
BASE_STEPS, STEPS = 600, 1_200
WATCH = 48  # episodes: the ten minutes that a person is there
FRAMES = 9_090  # in their hands at most: those ten minutes
# without the ways back: with them the policy, which remembers nothing, turns back wherever it approaches the box
SEGMENTS = "untouched,recovery:2,correction:2"
TRIALS, WORKERS = 100, 2


def train(out: Path, kind: str, start: Path, steps: int) -> Path:
    """A policy that sees as `start` does, from the demonstrations; finished."""
    if not (out / "policy.json").exists():
        resume = ["--resume"] if (out / "training.safetensors").exists() else []
        retake("train", "--data", RUNS / "demos", "--out", out, "--policy", kind, "--start", start,
               "--freeze-encoders", "--steps", steps, "--validation", 0, "--threads", 1, *resume)  # fmt: skip
    return out


def base() -> Path:
    """A weak policy: it sees as the shipped one, but has been shown few boxes. Only what sees passes from one kind of
    policy to another, so a detour through another kind leaves the answers of the shipped one behind."""
    retake("collect", "--task", "g1_box", "--episodes", DEMOS, "--seed", FIRST_DEMO, "--out", RUNS / "demos")
    return train(RUNS / "base", "act", train(RUNS / "eyes", "flow", SHIPPED, 1), BASE_STEPS)


def improved(policy: Path) -> Path:
    """The run of one round, finished."""
    out = RUNS / "rac"
    retake("improve", "--base", policy, "--data", RUNS / "demos", "--out", out, "--method", "rac", "--rounds", 1,
           "--frames", FRAMES, "--watch", WATCH, "--segments", SEGMENTS, "--steps", STEPS, "--gate", 0,
           "--threads", 1)  # fmt: skip
    return out / "round-1"


def wins(policy: Path) -> dict[int, bool]:
    """Success by world."""
    settings, seeds = settings_of(str(policy)), range(HELD_OUT_SEED, HELD_OUT_SEED + TRIALS)
    result = ResultFile(RUNS / "evaluations", settings)
    for line, film in parallel.in_processes(settings, result.missing(seeds), "none", WORKERS):
        result.add(line, film)
    return {seed: result.lines[seed]["outcome"] == "success" for seed in seeds}


def g1() -> dict[str, dict[str, Any]]:
    """Failures after the round for each failure before it."""
    policy = base()
    folder = improved(policy)
    before, after = wins(policy), wins(folder / "policy")
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
