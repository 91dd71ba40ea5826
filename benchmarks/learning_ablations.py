"""residual_nstep_gain_points, residual_ablation_*: what single choices of the residual's learner are worth, on a slow
base of arm_insert below 20 %, state observed. Each differs from ours in one setting, seed by seed.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from benchmarks.learning_runs import RUNS, SEEDS, TRIALS, Results, curve, learn, steps_to, success
from policies.rl.curve import Line, write
from policies.statistics import format_rate

BASE = "scripted:5.5,0.4"
STEPS = 2_500
OURS = "nstep3"
SET = ("n_step=3", "gamma=0.98")
VARIANTS = {
    "no_layer_norm": (("--set", *SET, "layer_norm=false"), "no LayerNorm"),
    "no_demos": (("--demos", "0", "--set", *SET), "no demonstrations"),
    "actor_rate_third": (("--set", *SET, "actor_learning_rate=3e-5"), "actor's rate 3e-5"),
    "actor_rate_triple": (("--set", *SET, "actor_learning_rate=3e-4"), "actor's rate 3e-4"),
    "actor_rate_tenfold": (("--set", *SET, "actor_learning_rate=1e-3"), "actor's rate 1e-3"),
}
T_95 = 4.303  # of Student's distribution with two degrees of freedom: three pairs


def run(name: str, *words: str) -> list[Path]:
    """The runs NAME-SEED, finished."""
    return [learn(f"{name}-{k}", "--base", BASE, "--seed", str(k), "--steps", str(STEPS), "--evaluate-every", "500",
                  *words) for k in SEEDS]  # fmt: skip


def ours() -> list[Path]:
    """What the others are compared with."""
    return run(OURS, "--set", *SET)


def over_curve(runs: list[Path]) -> np.ndarray:
    """(seeds,) success in points, averaged over what was looked at after the first step."""
    return np.array([100 * np.mean([wins / n for steps, wins, n in curve(each) if steps > 0]) for each in runs])


def n_step() -> Results:
    """n = 3 less n = 1; the least of the pairs."""
    gains = over_curve(ours()) - over_curve(run("nstep1", "--set", "n_step=1", "gamma=0.98"))
    return {"residual_nstep_gain_points": {"value": float(gains.min()),
                                           "peer": f"pairs {np.round(gains, 1).tolist()}"}}  # fmt: skip


def told(runs: list[Path]) -> str:
    """Steps to 90 % and what is left at the end."""
    steps = [steps_to(curve(each), STEPS) for each in runs]
    final = round(sum(TRIALS * success(BASE, each) for each in runs))
    return f"90 % after {steps} steps, {format_rate(final, TRIALS * len(runs))} at the end"


def ablations() -> Results:
    """Points over the curve by which each is ahead of ours (below 0: behind), with the 95 % interval of three pairs."""
    reference, results = ours(), {}
    mean, beside = over_curve(reference), told(reference)
    lines = [Line("ours, mean of 3", averaged(reference))]
    for name, (words, what) in VARIANTS.items():
        runs = run(name, *words)
        ahead = over_curve(runs) - mean
        spread = T_95 * float(ahead.std(ddof=1)) / math.sqrt(len(ahead))
        middle = float(ahead.mean())
        results[f"residual_ablation_{name}"] = {
            "value": middle, "interval": [middle - spread, middle + spread], "pairs": ahead.tolist(),
            "peer": f"{what}: [{middle - spread:.1f}, {middle + spread:.1f}], {told(runs)}; ours {beside}",
        }  # fmt: skip
        lines.append(Line(what, averaged(runs)))
    write(RUNS / "ablations.svg", "arm_insert, one choice less", lines)
    return results


def averaged(runs: list[Path]) -> list[tuple[int, int, int]]:
    """The curve of all seeds together; they are looked at after about the same steps."""
    curves = [curve(each) for each in runs]
    return [(round(float(np.mean([s for s, _, _ in at]))), sum(w for _, w, _ in at), sum(n for _, _, n in at))
            for at in zip(*curves, strict=False)]  # fmt: skip
