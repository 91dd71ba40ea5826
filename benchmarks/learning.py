"""`make bench-learning`: what is learnt from how many steps of the robot, into build/bench-learning.json.

Every run is a `retake learn` in build/learning, so an interrupted benchmark goes on where it was. Seeds are those of
the learner; success is measured on held-out worlds that no run has learnt from.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.learning_gate import false_promotions
from benchmarks.learning_rac import rac
from benchmarks.learning_scratch import sac_success
from benchmarks.learning_speed import learner_speed
from policies.rl.curve import Line, write
from policies.rl.ppo import Ppo, PpoConfig
from policies.rl.run import RunFolder
from policies.rl.weights import load_weights
from policies.train_evaluation import FIRST_SEED as CURVE_SEED
from sim.learn_tasks import make_bench
from sim.rl_actor import demonstrate, evaluate
from sim.rl_ppo import Collector
from sim.tasks import HELD_OUT_SEED

OUT, RUNS = Path("build/bench-learning.json"), Path("build/learning")
BASE, HARD_BASE = "scripted:3.3", "scripted:4"  # 40-60 % and below 20 % by themselves
SEEDS = (0, 1, 2)
STEPS, HARD_STEPS, HIL_STEPS, PPO_STEPS = 4_000, 4_000, 9_000, 100_000
EVERY, PPO_EVERY = "500", 2_000  # steps from one point of a curve to the next
SELDOM = ("--evaluate-every", "2000", "--episodes", "20")  # where nothing succeeds at first, which takes time to see
TRIALS, CURVE_TRIALS = 100, 50
FINAL = range(HELD_OUT_SEED, HELD_OUT_SEED + TRIALS)
DITHER = 0.2
WORTH = 0.9  # success whose steps are counted
LAST_EPISODES = 50
PPO_SEED = 50_000  # of PPO's worlds
Results = dict[str, dict[str, Any]]


def learn(name: str, *words: str) -> Path:
    """The run of that name, finished."""
    out = RUNS / name
    command = (sys.executable, "-m", "retake.cli", "learn", "--out", str(out), "--evaluate-every", EVERY)
    subprocess.run([*command, *words], check=True)
    return out


def learn_residual(seed: int) -> Path:
    """On BASE."""
    return learn(f"residual-{seed}", "--base", BASE, "--seed", str(seed), "--steps", str(STEPS))


def curve(run: Path) -> list[tuple[int, int, int]]:
    """(steps, successes, trials)."""
    return [(s, wins, n) for s, wins, n in json.loads((run / "curve.json").read_text())]


def tried(base: str, run: Path | None = None, noise: float = 0.0) -> list[tuple[bool, int]]:
    """Success and steps in TRIALS held-out worlds; without a run, of the base."""
    actor = load_weights(run).actor if run is not None else None
    return list(evaluate(make_bench("arm_insert", base).env, actor, FINAL, noise).values())


def success(base: str, run: Path | None = None, noise: float = 0.0) -> float:
    """The share of `tried` that succeeded."""
    return sum(won for won, _ in tried(base, run, noise)) / TRIALS


def steps_to(points: list[tuple[int, int, int]], most: int) -> int:
    """At the first point of WORTH; `most` where none is."""
    return next((s for s, wins, n in points if wins >= WORTH * n), most)


def residual() -> Results:
    """Off-policy residual: final success, its gain over base and dither, the worst moment on the way."""
    runs = [learn_residual(k) for k in SEEDS]
    base, dither = success(BASE), success(BASE, noise=DITHER)
    final = [success(BASE, run) for run in runs]
    curves = [curve(run) for run in runs]
    worst = min(min(wins / n - points[0][1] / points[0][2] for _, wins, n in points) for points in curves)
    write(RUNS / "residual.svg", "residual on a base of arm_insert",
          [Line(f"seed {k}", points) for k, points in zip(SEEDS, curves, strict=True)], curves[0][0][1:])  # fmt: skip
    beside = {"base": base, "dither": dither, "seeds": dict(zip(SEEDS, final, strict=True)), "trials": TRIALS}
    return {"residual_success": {"value": min(final), "peer": f"base {base:.2f}, dither {dither:.2f}", **beside},
            "residual_gain_points": {"value": 100 * (min(final) - max(base, dither)), "peer": None, **beside},
            "residual_dither_points": {"value": 100 * (dither - base), "peer": None, **beside},
            "residual_worst_dip_points": {"value": max(0.0, -100 * worst), "peer": None}}  # fmt: skip


def ppo_steps(seed: int) -> list[tuple[int, int, int]]:
    """The learning curve of a PPO residual on the same base."""
    path = RUNS / f"ppo-{seed}.json"
    if path.exists():
        return [(s, wins, n) for s, wins, n in json.loads(path.read_text())]
    torch.set_num_threads(1)
    benches = [make_bench("arm_insert", BASE) for _ in range(8)]
    env = benches[0].env
    ppo = Ppo(PpoConfig(env.observe.dim, len(env.rates), seed))
    collector = Collector([bench.env for bench in benches[1:]], ppo, PPO_SEED + 10_000 * seed)
    points: list[tuple[int, int, int]] = []
    done, measured = 0, 0
    while done < PPO_STEPS and not (points and points[-1][1] >= WORTH * points[-1][2]):
        ppo.update(collector.collect(ppo.config.n_steps))
        done += ppo.config.n_steps * (len(benches) - 1)
        if done - measured >= PPO_EVERY:
            measured = done
            seeds = range(CURVE_SEED, CURVE_SEED + CURVE_TRIALS)
            found = evaluate(env, lambda o, b, noise: (ppo.deployed(o, b),), seeds)
            points.append((done, sum(won for won, _ in found.values()), CURVE_TRIALS))
    path.write_text(json.dumps(points))
    return points


def against_ppo() -> Results:
    """How many times the steps PPO needs until WORTH, the median over seeds of each."""
    ours = [steps_to(curve(learn_residual(k)), STEPS) for k in SEEDS]
    theirs = [steps_to(ppo_steps(k), PPO_STEPS) for k in SEEDS]
    return {"residual_steps_vs_ppo": {"value": float(np.median(theirs) / np.median(ours)),
                                      "peer": f"PPO {theirs}, ours {ours} steps"}}  # fmt: skip


def from_scratch() -> Results:
    """As many steps without a base: the learner on the same demonstrations, and SAC; the best of each one's seeds."""
    runs = [learn(f"scratch-{k}", "--base", "none", "--seed", str(k), "--steps", str(STEPS), *SELDOM)
            for k in SEEDS]  # fmt: skip
    ours = [success("none", run) for run in runs]
    sizes = RunFolder(runs[0]).read()[0]
    sac = [sac_success(k, STEPS, sizes.hidden_dim, sizes.batch_size, sizes.gamma, FINAL) for k in SEEDS]
    return {"rl_from_scratch_success": {"value": max(ours), "peer": f"demonstrations {ours}, SAC {sac}"}}


def n_step() -> Results:
    """n = 3 less n = 1 on the hard base, success averaged over the curve; the least of the pairs."""
    gains = []
    for k in SEEDS:
        means = []
        for n in (3, 1):
            run = learn(f"nstep{n}-{k}", "--base", HARD_BASE, "--seed", str(k), "--steps", str(HARD_STEPS), "--set",
                        f"n_step={n}", "gamma=0.98")  # fmt: skip
            means.append(float(np.mean([wins / trials for s, wins, trials in curve(run) if s > 0])))
        gains.append(100 * (means[0] - means[1]))
    return {"residual_nstep_gain_points": {"value": min(gains), "peer": f"pairs {np.round(gains, 1).tolist()}"}}


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
    "gate": false_promotions, "speed": learner_speed, "residual": residual, "ppo": against_ppo, "hil": hil, "rac": rac,
    "scratch": from_scratch, "nstep": n_step,
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
