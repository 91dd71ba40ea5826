"""`retake eval`: how often a policy succeeds on held-out seeds, and how sure that is.

`retake eval name:=value ...` runs the full graph in lockstep. `retake eval --one-process POLICY [POLICY]` runs the same
parts without processes and messages between them, faster, several seeds at once, and compares two policies seed by
seed. Seeds that OUT has already are not run again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from policies.execution import MODES
from policies.statistics import format_rate
from policies.trials import trial_rows
from retake import evaluate as graph
from retake.errors import UserError
from sim import parallel
from sim.evaluation import FILMS, ResultFile, Settings, settings_of
from sim.evaluation_page import write_page
from sim.evaluation_summary import compare, difference_text, predicted_text, summarise
from sim.rollout import LATENCY_S
from sim.tasks import HELD_OUT_SEED

EXIT_INTERRUPTED = 130  # as shells report a process that SIGINT ended
OUT = Path("build/eval")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    graph.add_arguments(parser)
    one = parser.add_argument_group("--one-process", "without the graph; POLICY or two instead of name:=value")
    one.add_argument("--one-process", action="store_true", help="world, controller, authority and policy in a process")
    one.add_argument("--episodes", type=int, default=100, help="how many seeds, from --seed on (%(default)s)")
    one.add_argument("--seed", type=int, default=HELD_OUT_SEED, help="the first one (%(default)s)")
    one.add_argument("--workers", type=int, default=1, help="processes, about one per core (%(default)s)")
    one.add_argument("--ray", metavar="ADDRESS", help="--workers on a Ray cluster: its address, or local")
    one.add_argument("--latency", type=float, default=LATENCY_S,
                     help="seconds from an observation until its chunk counts (%(default)s, as the graph in lockstep)")
    one.add_argument("--execution", default="", choices=("", *MODES),
                     help="how chunks follow each other; by default the policy's own way")
    one.add_argument("--tries", type=int, default=1, help="what looks failed is tried again, so often in all "
                                                          "(%(default)s)")
    one.add_argument("--verifier", default="", help="folder of the verifier that says what looks failed")
    one.add_argument("--task", default="", help="by default the one that the checkpoint was trained for")
    one.add_argument("--sensor-noise", action="store_true", help="encoders and IMU with noise")
    one.add_argument("--films", choices=FILMS, default="failures", help="which episodes to film (%(default)s)")
    parser.set_defaults(defaults={option.dest: option.default for option in one._group_actions})


def run(args: argparse.Namespace) -> int:
    """0 when every seed was run, whatever the rate."""
    if not args.one_process:
        _refuse_for_graph(args)
        return graph.run(args)
    evaluations = _settings(args)
    seeds = range(args.seed, args.seed + args.episodes)
    out = args.out or OUT
    results = [ResultFile(out, settings) for settings in evaluations]
    with _progress() as progress:
        try:
            for settings, result in zip(evaluations, results, strict=True):
                _run(settings, result, seeds, args, progress)
        except KeyboardInterrupt:
            progress.stop()
            print(f"interrupted; {out} keeps what was run, the same command goes on from here")
            return EXIT_INTERRUPTED
    figures = [summarise(settings, result, seeds) for settings, result in zip(evaluations, results, strict=True)]
    report: dict[str, Any] = {"policies": figures}
    if len(figures) == 2:
        report["paired"] = compare(*figures)
    (out / "eval.json").write_text(json.dumps(report, indent=1) + "\n")
    page = write_page(out, report)
    _show(report, page)
    return 0


def _refuse_for_graph(args: argparse.Namespace) -> None:
    """What the graph would not hear of is no wish to be passed over."""
    if folders := [word for word in args.arguments if ":=" not in word]:
        raise UserError(f"{folders[0]!r} is no name:=value; for policies without the graph add --one-process")
    if given := [name for name, default in args.defaults.items() if getattr(args, name) != default]:
        raise UserError(f"--{given[0].replace('_', '-')} is for --one-process; allowed for the graph: name:=value, as "
                        "in episodes:=50 seed:=100000")


def _settings(args: argparse.Namespace) -> list[Settings]:
    """One or two evaluations; the second beside the first."""
    if not 1 <= len(args.arguments) <= 2 or any(":=" in word for word in args.arguments):
        given = " ".join(args.arguments) or "no policy"
        raise UserError(f"--one-process with {given}; allowed: a checkpoint's folder, or two to compare; name:=value "
                        "is for the graph")
    if args.episodes < 1 or args.workers < 1:
        raise UserError(f"--episodes {args.episodes} --workers {args.workers}: both must be at least 1")
    if not args.latency >= 0.0:
        raise UserError(f"--latency {args.latency}; allowed: 0 and more seconds")
    if args.seed < HELD_OUT_SEED:
        raise UserError(f"--seed {args.seed} may have been trained on; allowed: from {HELD_OUT_SEED}; leave --seed out")
    how = {"latency_s": args.latency, "noise": args.sensor_noise, "execution": args.execution,
           "tries": args.tries}
    evaluations = [settings_of(word, args.task, args.verifier, **how) for word in args.arguments]
    if len({settings.task for settings in evaluations}) > 1:
        raise UserError(f"the policies are for {' and '.join(s.task for s in evaluations)}; compare two of one task")
    if len({settings.name for settings in evaluations}) < len(evaluations):
        raise UserError("both are the same policy; there is nothing to compare")
    return evaluations


def _run(settings: Settings, result: ResultFile, seeds: Sequence[int], args: argparse.Namespace,
         progress: Progress) -> None:
    """Run what is missing; each line is kept as soon as it is there."""
    missing = result.missing(seeds)
    done = [result.lines[seed]["outcome"] for seed in seeds if seed in result.lines]
    wins = done.count("success")
    bar = progress.add_task(settings.policy, total=len(seeds), completed=len(done), rate="")
    if not missing:
        return progress.update(bar, rate=format_rate(wins, len(done)))
    if args.ray:
        lines = parallel.on_ray(settings, missing, args.films, args.workers, args.ray)
    else:
        lines = parallel.in_processes(settings, missing, args.films, args.workers)
    for count, (line, film) in enumerate(lines, len(done) + 1):
        result.add(line, film)
        wins += line["outcome"] == "success"
        progress.update(bar, advance=1, rate=format_rate(wins, count))


def _progress() -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                    TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), TimeRemainingColumn())


def _show(report: Mapping[str, Any], page: Path) -> None:
    table = Table("", *(figures["policy"] for figures in report["policies"]))
    columns = [{
        "weights": figures["sha256"][:16], **trial_rows(figures),
        "tries, mean": f"{figures['retry']['tries_mean']:.2f}" if figures["retry"] else "1",
        "predicted if tries were independent": predicted_text(figures["retry"]),
        "times real time, a process": f"{figures['real_time_factor']:.1f}",
    } for figures in report["policies"]]  # fmt: skip
    for name in columns[0]:
        table.add_row(name, *(column[name] for column in columns))
    Console().print(table)
    if paired := report.get("paired"):
        print(f"second less first on the same seeds: {difference_text(paired)} (exact McNemar; Newcombe 95 %); "
              f"only the first {paired['first_only']}, only the second {paired['second_only']}")
    print(f"{page.with_name('eval.json')}, {page}")
