"""`retake collect`: demonstrations of the scripted expert, several processes at once, resumable.

Each seed gives one episode; a seed that the output folder already has is skipped, so the same command goes on after a
Ctrl-C. Seeds from HELD_OUT_SEED on belong to evaluation and are refused.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from policies.episode_file import read_meta
from sim.demonstration import Demonstrator, Variation
from sim.evaluation import chosen_for
from sim.policy_recording import PolicyRecorder
from sim.tasks import HELD_OUT_SEED, TASKS
from sim.workers import over_processes

EXIT_INTERRUPTED = 130  # as shells report a process that SIGINT ended


class CollectError(ValueError):
    """Arguments that cannot be collected with; the text says what is allowed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", default="g1_box", help=f"what to demonstrate: {', '.join(TASKS)}")
    parser.add_argument("--episodes", type=int, default=200, help="how many seeds, from --seed on")
    parser.add_argument("--seed", type=int, default=0, help=f"the first seed; from {HELD_OUT_SEED} on: held out")
    parser.add_argument("--out", type=Path, help="folder that the episodes' folders go to; default data/TASK")
    parser.add_argument("--workers", type=int, default=2, help="processes, about one per core")
    parser.add_argument("--noise", type=float, default=0.0,
                        help="scale of a smooth disturbance of what is executed (0 off, 1 about 1 cm at the hands); "
                             "the label topic expert_action stays clean")
    parser.add_argument("--start-spread", type=float, default=0.0,
                        help="scale of random starting poses (0 off, 1 up to 8 cm per hand of the G1, 3 of an arm)")
    parser.add_argument("--policy", default="", help="record this checkpoint's own episodes, failures too, instead")
    parser.add_argument("--sensor-noise", action="store_true", help="encoders and IMU with noise")


def run(args: argparse.Namespace) -> int:
    """Collects what is missing; 0 when every asked seed has an episode."""
    args.out = args.out or Path("data") / args.task
    _check(args)
    args.out.mkdir(parents=True, exist_ok=True)
    seeds = range(args.seed, args.seed + args.episodes)
    done = {seed: outcome for seed, outcome in finished(args.out).items() if seed in seeds}
    outcomes = Counter(done.values())
    missing = [seed for seed in seeds if seed not in done]
    if done:
        print(f"{len(done)} of {len(seeds)} episodes are in {args.out} already")
    variation = Variation(args.noise, args.start_spread, args.sensor_noise)
    with _progress() as progress:
        bar = progress.add_task("collect", total=len(missing), outcome="")
        try:
            how = variation, args.task, args.policy, args.out
            for meta in over_processes(_recording, how, missing, args.workers):
                outcomes[meta["outcome"]] += 1
                progress.update(bar, advance=1, outcome=_summary(outcomes))
        except KeyboardInterrupt:
            progress.stop()
            print(f"interrupted with {_summary(outcomes)} in {args.out}; the same command goes on from here")
            return EXIT_INTERRUPTED
    print(f"{args.out}: {_summary(outcomes)}")
    return 0


def finished(root: Path) -> dict[int, str]:
    """Outcome by seed of the episodes under `root` that were judged; aborted and discarded ones do not count."""
    metas = [read_meta(path.parent) for path in sorted(root.glob("*/episode.json"))]
    return {meta["seed"]: meta["outcome"] for meta in metas if meta["outcome"] in ("success", "failure")}


def _recording(variation: Variation, task: str, policy: str, root: Path) -> Callable[[int], dict]:
    recorder = PolicyRecorder.of(policy, task) if policy else Demonstrator(variation, task)
    return partial(recorder.record, root=root)


def _check(args: argparse.Namespace) -> None:
    if args.task not in TASKS:
        raise CollectError(f"unknown task {args.task!r}; allowed: {', '.join(TASKS)}")
    if args.episodes < 1 or args.workers < 1:
        raise CollectError(f"--episodes {args.episodes} --workers {args.workers}: both must be at least 1")
    if args.seed < 0 or args.seed + args.episodes > HELD_OUT_SEED:
        raise CollectError(f"seeds {args.seed} to {args.seed + args.episodes - 1} are not allowed: seeds from "
                           f"{HELD_OUT_SEED} on are held out for evaluation; choose --seed and --episodes below")
    if args.policy:
        if args.noise or args.start_spread or args.sensor_noise:
            raise CollectError("--noise, --start-spread and --sensor-noise vary demonstrations; allowed with --policy: "
                               "none of them")
        chosen_for(args.policy, args.task)
    if not (0 <= args.noise <= 5 and 0 <= args.start_spread <= 2):
        raise CollectError(f"--noise {args.noise} --start-spread {args.start_spread}: allowed are 0..5 and 0..2")
    if args.out.exists() and not args.out.is_dir():
        raise CollectError(f"--out {args.out} is a file; give a folder")


def _progress() -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                    TimeRemainingColumn(), TextColumn("{task.fields[outcome]}"))


def _summary(outcomes: Counter) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())) or "nothing"
