"""Runs of retake's commands in build/learning, which go on where they were interrupted, and what they are worth on
worlds that no run has learnt from."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from policies.atomic import replace_file
from policies.rl.weights import load_weights
from sim import parallel
from sim.evaluation import ResultFile, settings_of
from sim.learn_tasks import make_bench
from sim.rl_actor import evaluate
from sim.tasks import HELD_OUT_SEED

RUNS = Path("build/learning")
SEEDS = (0, 1, 2)  # of the learner
TRIALS = 100
FINAL = range(HELD_OUT_SEED, HELD_OUT_SEED + TRIALS)
WORTH = 0.9  # success whose steps are counted
SELDOM = ("--evaluate-every", "2000", "--episodes", "20")  # where nothing succeeds at first, which takes time to see
Points = list[tuple[int, int, int]]  # (steps, successes, trials)
Results = dict[str, dict[str, Any]]


def retake(*words: object) -> None:
    """One command, which goes on where it was interrupted."""
    subprocess.run([sys.executable, "-m", "retake.cli", *map(str, words)], check=True)


def learn(name: str, *words: str) -> Path:
    """The run of that name, finished."""
    out = RUNS / name
    retake("learn", "--out", out, *words)
    return out


def train(out: Path, data: Path, kind: str, start: Path, steps: int) -> Path:
    """A policy of that kind that sees as `start` does, from demonstrations; finished."""
    if not (out / "policy.json").exists():
        resume = ["--resume"] if (out / "training.safetensors").exists() else []
        retake("train", "--data", data, "--out", out, "--policy", kind, "--start", start, "--freeze-encoders",
               "--steps", steps, "--validation", 0, "--threads", 1, *resume)  # fmt: skip
    return out


def wins(policy: Path, out: Path, workers: int = 1, worlds: range = FINAL) -> dict[int, bool]:
    """Success of a policy by world, each run once; the results are kept in `out`."""
    settings = settings_of(str(policy))
    result = ResultFile(out, settings)
    for line, film in parallel.in_processes(settings, result.missing(worlds), "none", workers):
        result.add(line, film)
    return {seed: result.lines[seed]["outcome"] == "success" for seed in worlds}


def curve(run: Path) -> Points:
    """Of a run."""
    return [(s, wins, n) for s, wins, n in json.loads((run / "curve.json").read_text())]


def steps_to(points: Points, most: int) -> int:
    """At the first point of WORTH; `most` where none is."""
    return next((s for s, wins, n in points if wins >= WORTH * n), most)


def tried(base: str, run: Path | None = None, noise: float = 0.0) -> list[tuple[bool, int]]:
    """Success and steps in the worlds of FINAL; without a run, of the base, dithered by `noise`. Measured once."""
    published = None if run is None else load_weights(run)
    bench = make_bench("arm_insert", base)
    try:
        acts = "base" if published is None else published.sha256[:16]
        about = f"{bench.env.base.name}-{acts}-{noise:g}-{TRIALS}".replace(" ", "-")
        path = RUNS / "trials" / f"{about}.json"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            found = evaluate(bench.env, None if published is None else published.deployed, FINAL, noise)
            replace_file(path, json.dumps(list(found.values())))
        return [(won, steps) for won, steps in json.loads(path.read_text())]
    finally:
        bench.close()


def success(base: str, run: Path | None = None, noise: float = 0.0) -> float:
    """The share of `tried` that succeeded."""
    return sum(won for won, _ in tried(base, run, noise)) / TRIALS
