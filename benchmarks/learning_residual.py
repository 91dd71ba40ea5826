"""What a residual learns on a base of arm_insert that succeeds half of the time. residual_*: seen through the frozen
encoders of a trained base; residual_state_*: for comparison with the literature, of the state, on a scripted base.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.learning_runs import RUNS, SEEDS, TRIALS, WORTH, Points, Results, curve, learn, steps_to, success
from policies.rl.curve import Line, write
from policies.rl.ppo import Ppo, PpoConfig
from policies.train_evaluation import FIRST_SEED as CURVE_SEED
from sim.learn_tasks import make_bench
from sim.rl_actor import evaluate
from sim.rl_ppo import Collector

PICTURES = Path("build/policies/arm_insert/base")  # README "Measured" makes it
SCRIPTED = "scripted:3.3"  # 40-60 % by itself
STEPS, PPO_STEPS = 2_000, 100_000
SEEN = ("--steps", "9000", "--evaluate-every", "750", "--episodes", "40", "--demos", "200", "--stray", "6",
        "--limit", "5")  # fmt: skip
# Where the observation is small, demonstrations make up for a warm-up, and updates cost less than steps.
EAGER = ("--set", "warmup_steps=100", "updates_per_step=16")
STATE = ("--steps", str(STEPS), "--evaluate-every", "100", *EAGER)
DITHER = 0.2
PPO_TRIALS = 50
PPO_SEED = 50_000  # of PPO's worlds


@dataclass(frozen=True)
class Residuals:
    """On one base: its success, with dither, and those of the learner's seeds; the worst dip of a curve, points below
    its beginning."""

    base: float
    dither: float
    final: Sequence[float]
    curves: Sequence[Points]

    @property
    def gain(self) -> float:
        """Points of the worst seed above the better of base and dither."""
        return 100 * (min(self.final) - max(self.base, self.dither))

    @property
    def dip(self) -> float:
        """Points of the worst moment of all curves below their base."""
        worst = min(min(wins / n - c[0][1] / c[0][2] for _, wins, n in c) for c in self.curves)
        return max(0.0, -100 * worst)


def measured(name: str, base: str, *words: str) -> Residuals:
    """The runs NAME-SEED on a base, finished, and their picture."""
    runs = [learn_on(name, base, k, *words) for k in SEEDS]
    curves = [curve(run) for run in runs]
    write(RUNS / f"{name}.svg", f"arm_insert, {name}",
          [Line(f"seed {k}", points) for k, points in zip(SEEDS, curves, strict=True)], curves[0][0][1:])  # fmt: skip
    return Residuals(success(base), success(base, noise=DITHER), [success(base, run) for run in runs], curves)


def learn_on(name: str, base: str, seed: int, *words: str) -> Path:
    """One of them."""
    return learn(f"{name}-{seed}", "--base", base, "--seed", str(seed), *words)


def seeing_base() -> str:
    """Raises ValueError where nobody has trained it yet."""
    if not (PICTURES / "policy.json").is_file():
        raise ValueError(f"{PICTURES} is missing; make it with the commands for arm_insert in README's 'Measured'")
    return str(PICTURES)


def told(of: Residuals, prefix: str) -> Results:
    """Final success, its gain over base and dither, the worst moment on the way."""
    beside = {"base": of.base, "dither": of.dither, "seeds": list(of.final), "trials": TRIALS}
    steps = [steps_to(points, points[-1][0]) for points in of.curves]
    return {
        f"{prefix}_success": {"value": min(of.final), "peer": f"base {of.base:.2f}, dither {of.dither:.2f}, seeds "
                              f"{of.final}", **beside},
        f"{prefix}_gain_points": {"value": of.gain, "peer": None, **beside},
        f"{prefix}_dither_points": {"value": 100 * (of.dither - of.base), "peer": None, **beside},
        f"{prefix}_worst_dip_points": {"value": of.dip, "peer": None},
        f"{prefix}_steps_to_90": {"value": float(np.median(steps)), "peer": f"seeds {steps}"},
    }  # fmt: skip


def of_state() -> Results:
    """With the state observed, on a scripted base."""
    return told(measured("state", SCRIPTED, *STATE), "residual_state")


def residual() -> Results:
    """What the machine has: a trained base, seen through its frozen encoders."""
    return told(measured("pictures", seeing_base(), *SEEN), "residual")


def ppo_steps(seed: int) -> Points:
    """The learning curve of a PPO residual on the scripted base, a point after each iteration, until WORTH."""
    path = RUNS / f"ppo-{seed}.json"
    if path.exists():
        return [(s, wins, n) for s, wins, n in json.loads(path.read_text())]
    torch.set_num_threads(1)
    benches = [make_bench("arm_insert", SCRIPTED) for _ in range(8)]
    env = benches[0].env
    ppo = Ppo(PpoConfig(env.observe.dim, len(env.rates), seed))
    collector = Collector([bench.env for bench in benches[1:]], ppo, PPO_SEED + 10_000 * seed)
    points: Points = []
    done = 0
    while done < PPO_STEPS and not (points and points[-1][1] >= WORTH * points[-1][2]):
        ppo.update(collector.collect(ppo.config.n_steps))
        done += ppo.config.n_steps * (len(benches) - 1)
        found = evaluate(env, lambda o, b, noise: ppo.deployed(o, b), range(CURVE_SEED, CURVE_SEED + PPO_TRIALS))
        points.append((done, sum(won for won, _ in found.values()), PPO_TRIALS))
    path.write_text(json.dumps(points))
    return points


def against_ppo() -> Results:
    """How many times the steps PPO needs until WORTH, the median over seeds of each; on the state, since PPO's 100,000
    steps with pictures would take half an hour for every seed."""
    ours = [steps_to(curve(learn_on("state", SCRIPTED, k, *STATE)), STEPS) for k in SEEDS]
    theirs = [steps_to(ppo_steps(k), PPO_STEPS) for k in SEEDS]
    return {"residual_steps_vs_ppo": {"value": float(np.median(theirs) / np.median(ours)),
                                      "peer": f"PPO {theirs}, ours {ours} steps, state observed"}}  # fmt: skip
