"""`make bench-learning`: what is learnt from how many steps of the robot, into build/bench-learning.json.

Every run is a `retake learn` in build/learning, so an interrupted benchmark goes on where it was. Seeds are those of
the learner; success is measured on held-out worlds that no run has learnt from.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.learning_ablations import ablations, n_step
from benchmarks.learning_g1 import g1
from benchmarks.learning_gate import false_promotions
from benchmarks.learning_rac import rac, rac_tight
from benchmarks.learning_residual import against_ppo, of_state, residual
from benchmarks.learning_runs import FINAL, RUNS, SEEDS, SELDOM, TRIALS, Results, curve, learn, tried
from benchmarks.learning_scratch import from_scratch
from benchmarks.learning_speed import learner_speed
from policies.rl.curve import Line, write
from policies.rl.run import RunFolder
from sim.learn_tasks import make_bench
from sim.rl_actor import demonstrate

OUT = Path("build/bench-learning.json")
HIL_STEPS = 9_000
LAST_EPISODES = 50


def demonstrator_steps() -> float:
    """The median until success in the held-out worlds."""
    bench = make_bench("arm_insert", "none")
    env, steps = bench.env, []
    for seed in FINAL:
        start = env.reset(seed)
        made = demonstrate(env, bench.make_expert(env.task, env.loop.reference, seed), start)
        steps += [len(made)] if made.end == "success" else []
    return float(np.median(steps))


def hil() -> Results:
    """From demonstrations and a scripted person's interventions, without a base."""
    runs = [learn(f"hil-{k}", "--base", "none", "--operator", "--demos", "30", "--seed", str(k), "--steps",
                  str(HIL_STEPS), *SELDOM) for k in SEEDS]  # fmt: skip
    found = [tried("none", run) for run in runs]
    final = [sum(won for won, _ in trials) / TRIALS for trials in found]
    steps, theirs = [float(np.median([n for won, n in trials if won])) for trials in found], demonstrator_steps()
    logs = [RunFolder(run).log() for run in runs]
    person = [sum(x["interventions"] * x["steps"] for x in log[-LAST_EPISODES:]) for log in logs]
    rates = [p / sum(x["steps"] for x in log[-LAST_EPISODES:]) for p, log in zip(person, logs, strict=True)]
    write(RUNS / "hil.svg", "arm_insert from 30 demonstrations and interventions",
          [Line(f"seed {k}", curve(run)) for k, run in zip(SEEDS, runs, strict=True)])
    return {"hilrl_success": {"value": min(final), "peer": None, "seeds": dict(zip(SEEDS, final, strict=True))},
            "hilrl_intervention_rate": {"value": max(rates), "peer": None},
            "hilrl_time_ratio": {"value": max(steps) / theirs, "peer": f"demonstrator {theirs:g} steps, ours {steps}"}}


MEASURES: dict[str, Callable[[], Results]] = {
    "gate": false_promotions, "speed": learner_speed, "residual": residual, "state": of_state, "ppo": against_ppo,
    "hil": hil, "rac": rac, "rac_tight": rac_tight, "g1": g1, "scratch": from_scratch, "nstep": n_step,
    "ablations": ablations,
}  # fmt: skip


def main() -> int:
    """Measures what is asked for, quick things first, and writes after each."""
    parser = argparse.ArgumentParser(prog="make bench-learning", description=__doc__)
    parser.add_argument("--only", default=",".join(MEASURES), help="of: %(default)s")
    asked = parser.parse_args().only.split(",")
    if unknown := [name for name in asked if name not in MEASURES]:
        print(f"unknown {', '.join(unknown)}; allowed: {', '.join(MEASURES)}; try --only gate")
        return 2
    RUNS.mkdir(parents=True, exist_ok=True)
    for name in asked:
        print(f"measuring {name}", flush=True)
        measured = MEASURES[name]()
        stored = json.loads(OUT.read_text()) if OUT.is_file() else {}
        OUT.write_text(json.dumps(stored | measured, indent=1) + "\n")
        for key, result in measured.items():
            print(f"{key} {result['value']:.3g}  {result.get('peer') or ''}", flush=True)
    print(OUT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
