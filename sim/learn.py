"""`retake learn`: a residual on a frozen policy, or without one a policy, from what the robot does, from demonstrations
and, with `--operator`, from a person's interventions.

Acting and learning in one process, in turn, so that the same arguments give the same weights; or as two, on one machine
or several, with the run's folder between them: `--role learner` here, `--role actor` there. The actor may also be the
launched graph: `retake up policy:=BASE residual:=OUT explore:=true root:=DIR`, and here `--recordings DIR`. Interrupted
or killed, the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import math
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from policies.heap import keep_freed_memory
from policies.rl import config as configs
from policies.rl.config import RlConfig
from policies.rl.episode import SUFFIX, save_episode
from policies.rl.recordings import Recordings
from policies.rl.run import LearnerRun, RunFolder
from policies.rl.success import Watch
from policies.rl.weights import load_weights
from policies.train_evaluation import FIRST_SEED as CURVE_SEED
from policies.verifier import Verifier, load_verifier
from sim.learn_curve import Curve
from sim.learn_tasks import NO_BASE, Bench, make_bench
from sim.rl_actor import demonstrate, evaluate, explore
from sim.rl_judge import JudgedEnv
from sim.rl_operator import Operator
from sim.rl_policy import Eyes, PolicyBase
from sim.tasks import TASKS

EXIT_INTERRUPTED = 130
FIRST_SEED = 1_000  # of the episodes; demonstrations have those before
WAIT_S = 0.5  # of a learner for episodes
ROLES = ("both", "actor", "learner")
STRAY_MAX_MM = 50.0
FIXED = ("seed", "observation_dim", "action_dim", "pose_dim", "behind_dim")  # of a config, by the task and the base


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", default="arm_insert", help=f"what to learn: {', '.join(TASKS)}")
    parser.add_argument("--base", required=True, help="the frozen policy's checkpoint; for arm_insert "
                        "also scripted:MM, and none to learn the whole action")  # fmt: skip
    parser.add_argument("--eyes", type=Path, metavar="CHECKPOINT", help="see through its frozen encoders, with --base "
                        "none or scripted:MM; by default these are told the simulation's state")
    parser.add_argument("--out", type=Path, required=True, help="the run's folder")
    parser.add_argument("--steps", type=int, default=30_000, help="of the robot, one per camera frame (%(default)s)")
    parser.add_argument("--demos", type=int, default=50, help="demonstrations of the scripted expert (%(default)s)")
    parser.add_argument("--stray", type=float, default=0.0, metavar="MM", help="demonstrations stray so far at times "
                        "and come back; from pictures 6 shows what beside the goal looks like")
    parser.add_argument("--limit", type=float, default=math.inf, metavar="S", help="cut an episode of learning off "
                        "after so many seconds, as who sees that it is stuck; by default with the task's own")
    parser.add_argument("--operator", action="store_true", help="a scripted person intervenes (arm_insert)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--recordings", type=Path, metavar="DIR", help="nothing acts here: learn from what the "
                        "launched graph (residual:=OUT) records there")
    parser.add_argument("--verifier", type=Path, metavar="FOLDER", help="tells the learner of success, by pictures and "
                        "where the hand is; by default the task itself or the label does")
    parser.add_argument("--role", choices=ROLES, default="both", help="act, learn or both in turn (%(default)s)")
    parser.add_argument("--evaluate-every", type=int, default=2_500, metavar="STEPS", help="0: never (%(default)s)")
    parser.add_argument("--episodes", type=int, default=50, help="held-out seeds of an evaluation (%(default)s)")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="of policies/rl/config.py")


def run(args: argparse.Namespace) -> int:
    """0 when the steps were made and learnt from."""
    if not 0.0 <= args.stray <= STRAY_MAX_MM:
        raise ValueError(f"--stray {args.stray}; allowed: 0 to {STRAY_MAX_MM:g} mm")
    if not args.limit > 0.0:
        raise ValueError(f"--limit {args.limit}; allowed: seconds above 0; leave it out for the task's own")
    if args.demos >= FIRST_SEED or args.demos < 0 or args.steps < 1:
        raise ValueError(f"--demos {args.demos} --steps {args.steps}; allowed: 0 to {FIRST_SEED - 1}, and 1 and more")
    torch.set_num_threads(1)  # sums of several threads depend on how many there are
    keep_freed_memory()
    bench = make_bench(args.task, args.base, run=args.out.resolve().name, eyes=args.eyes)
    try:
        made = preset(args.base, bench)(bench.env.observe.dim, len(bench.env.rates), args.seed)
        if isinstance(eyes := bench.env.observe, Eyes):
            made = replace(made, pose_dim=eyes.pose_dim, behind_dim=bench.env.layout.rate_dim)
        config = replace(made, **overrides(args.set, made))
        folder = RunFolder(args.out)
        folder.start(config, bench.env.about)
        return _Run(args, bench, config, folder).go()
    finally:
        bench.close()


def preset(base: str, bench: Bench) -> Callable[[int, int, int], RlConfig]:
    """What suits a base."""
    if base == NO_BASE:
        return configs.hil
    return configs.seeing if isinstance(bench.env.base, PolicyBase) else configs.residual


def recordings(args: argparse.Namespace, bench: Bench, folder: RunFolder, verifier: Verifier | None) -> Recordings:
    """What the launched graph records for this run."""
    base = bench.env.base
    if not isinstance(base, PolicyBase):
        raise ValueError(f"--recordings with --base {args.base}; allowed: a checkpoint's folder, as the graph's")
    reference_ns = round(bench.env.rig.reference_dt * 1e9)
    return Recordings(args.recordings, folder, base.policy, bench.env.layout, reference_ns, verifier)


def overrides(words: Sequence[str], config: RlConfig) -> dict[str, Any]:
    """NAME=VALUE of a config's numbers and switches."""
    known = configs.to_dict(config)
    found: dict[str, Any] = {}
    for word in words:
        name, _, text = word.partition("=")
        if name not in known or name in FIXED:
            raise ValueError(f"--set {word}; allowed: NAME=VALUE with a name of policies/rl/config.py")
        kind = type(known[name])
        try:
            found[name] = {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
        except (KeyError, ValueError):
            raise ValueError(f"--set {word}; allowed: {name}={known[name]}, another {kind.__name__}") from None
    return found


class _Run:
    """The loop of one process."""

    def __init__(self, args: argparse.Namespace, bench: Bench, config: RlConfig, folder: RunFolder) -> None:
        self._args, self._bench, self._config, self._folder = args, bench, config, folder
        self._operator = Operator(bench.make_expert) if args.operator else None
        verifier = None if args.verifier is None else load_verifier(args.verifier, bench.env.rig.name, args.task)
        self._recordings = None if args.recordings is None else recordings(args, bench, folder, verifier)
        self._acting = bench.env if verifier is None else JudgedEnv(bench.env, verifier, folder.path)
        self._watch = None if verifier is None else Watch(verifier, folder.path)
        self._stopping = False

    def go(self) -> int:
        """Ends after an episode, at the end or when asked to."""
        before = {s: signal.signal(s, self._ask_to_stop) for s in (signal.SIGINT, signal.SIGTERM)}
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("steps"),
                   TimeRemainingColumn(elapsed_when_finished=True))  # fmt: skip
        try:
            with Progress(*columns) as self._progress:
                self._bar = self._progress.add_task(self._args.role, total=self._args.steps)
                if self._args.role == "actor":
                    self._act()
                else:
                    with self._folder.alone():
                        self._learn()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if self._stopping:
            print(f"stopped; the same command goes on in {self._folder.path}")
            return EXIT_INTERRUPTED
        return 0

    def _ask_to_stop(self, number: int, frame: object) -> None:
        self._stopping = True

    def _act(self) -> None:
        steps = sum(line["steps"] for line in self._folder.log())
        while steps < self._args.steps and not self._stopping:
            steps += self._episode()
            self._progress.update(self._bar, completed=steps)

    def _episode(self) -> int:
        env = self._acting
        with self._folder.claimed() as number:
            published = load_weights(self._folder.path, env.about)
            seed = FIRST_SEED + number
            episode = explore(env, self._config, published, seed, self._operator, self._args.limit)
            self._folder.write(number, episode)
        return len(episode)

    def _learn(self) -> None:
        self._demonstrate()
        learning = LearnerRun(self._folder)
        learning.poll()  # what was written before a kill, before anything new is made of it
        curve = Curve(self._folder.path, self._args.evaluate_every, self._evaluate)
        learner, replay = learning.learner, learning.learner.replay
        while replay.online_steps < self._args.steps and not self._stopping:
            curve.measure_if_due(replay.online_steps, learning.deployed if learner.acts else None)
            if self._recordings is not None:
                self._recordings.poll()
            elif self._args.role == "both":
                self._episode()
            if not learning.poll():
                time.sleep(WAIT_S)
            self._progress.update(self._bar, completed=replay.online_steps, description=self._text(learning))
        if not self._stopping:
            curve.measure(replay.online_steps, learning.deployed)
            print(curve if self._watch is None else f"{curve}\n{self._watch}")

    def _text(self, learning: LearnerRun) -> str:
        newest = learning.journal[-20:]
        wins = sum(line["end"] == "success" for line in newest)
        person = sum(line["interventions"] * line["steps"] for line in newest) / max(sum(x["steps"] for x in newest), 1)
        helped = f", {100 * person:.0f} % by the person" if self._operator else ""
        hacked = ", the verifier is being fooled" if self._watch is not None and self._watch.is_hacked else ""
        asks = ", by consent" if learning.deployed.asks else ""
        return f"{wins}/{len(newest)} newest succeed{asks}{helped}{hacked}"

    def _evaluate(self, actor: Any) -> tuple[int, int]:
        seeds = range(CURVE_SEED, CURVE_SEED + self._args.episodes)
        found = evaluate(self._bench.env, actor, seeds)
        return sum(won for won, _ in found.values()), len(found)

    def _demonstrate(self) -> None:
        env = self._bench.env
        for seed in range(self._args.demos):
            path = self._folder.demos / f"{seed:06d}{SUFFIX}"
            if path.exists() or self._stopping:
                continue
            start = env.reset(seed)
            expert = self._bench.make_expert(env.task, env.loop.reference, seed)
            save_episode(path, demonstrate(env, expert, start, 1e-3 * self._args.stray))
