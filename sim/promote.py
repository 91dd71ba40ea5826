"""`retake promote`: a policy beside the deployed one on the same held-out seeds; deployed only if it is no worse.

Every verdict goes to the ledger, with what a person has put in. A policy that was judged beside the deployed one is
not judged again: asked often enough, every test says yes. Interrupted, the same command goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from policies.dataset import find_episodes
from policies.episode_meta import JUDGED
from policies.rl.gate import MARGIN, SEEDS_MIN, Verdict, judge
from policies.rl.ledger import Deployed, effort
from policies.statistics import format_rate
from policies.timeline import segments
from sim import parallel
from sim.evaluation import ResultFile, Settings, settings_of
from sim.tasks import HELD_OUT_SEED, task_spec

ROOT = Path("deployed")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("policy", help="folder of a checkpoint")
    parser.add_argument("--task", default="", help="by default the one that the checkpoint was trained for")
    parser.add_argument("--root", type=Path, default=ROOT, help="deployed policies, a folder per task (%(default)s)")
    parser.add_argument("--data", type=Path, nargs="+", metavar="FOLDER",
                        help="episodes that this policy learnt from and the deployed one did not")
    parser.add_argument("--margin", type=float, default=MARGIN, help="so much worse it may be (%(default)s)")
    parser.add_argument("--episodes", type=int, default=200, help=f"held-out seeds, {SEEDS_MIN} and more (%(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="processes, about one per core (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """0 when the policy is deployed now, 1 when it was refused."""
    if args.episodes < SEEDS_MIN:
        raise ValueError(f"--episodes {args.episodes} decide nothing; allowed: {SEEDS_MIN} and more; write "
                         "--episodes 200")  # fmt: skip
    if not Path(args.policy).is_dir():
        raise ValueError(f"{args.policy} is no folder; allowed: a checkpoint's, which can be kept and deployed again")
    candidate = settings_of(args.policy, args.task)
    deployed = Deployed(args.root / candidate.task)
    deployed.settle()
    spent = _effort(args.data, candidate.task)
    if deployed.current is None:
        deployed.record(Path(args.policy), candidate.sha256, "", None, (), spent)
        print(f"{candidate.sha256[:12]} is the first policy of {candidate.task}: deployed without a comparison")
        return 0
    now = settings_of(str(deployed.current), candidate.task)
    if now.sha256 == candidate.sha256:
        print(f"{candidate.sha256[:12]} is deployed already")
        return 0
    if known := deployed.judged(candidate.sha256, now.sha256):
        raise ValueError(f"{candidate.sha256[:12]} was {known['kind']} beside {now.sha256[:12]} on {known['time']}; "
                         "allowed: a policy that was not judged yet; train it further first")  # fmt: skip
    seeds = _fresh_seeds(deployed, args.episodes)
    before, after = (_wins(each, seeds, args.root / "evaluations", args.workers) for each in (now, candidate))
    verdict = judge(before, after, args.margin)
    deployed.record(Path(args.policy), candidate.sha256, now.sha256, verdict, seeds, spent)
    _say(verdict, candidate, deployed)
    return int(not verdict.promoted)


def _effort(data: list[Path] | None, task: str) -> dict[str, Any]:
    if data is None:
        return {"operator_minutes": 0.0, "frames": {}}
    return spent([source.meta for source in find_episodes(data, JUDGED, task)], task)


def spent(metas: Sequence[dict], task: str) -> dict[str, Any]:
    """What a person has put into episodes: minutes that they drove and, watching included, were there; camera frames by
    segment."""
    there_s = sum(span.seconds for meta in metas for span in segments(meta))
    return {**effort(metas, task_spec(task).rig.camera_dt), "supervised_minutes": round(there_s / 60.0, 3)}


def _fresh_seeds(deployed: Deployed, n: int) -> range:
    """Seeds that no verdict has used: one that was chosen by them may be good at just these."""
    used = [entry["seeds"][1] + 1 for entry in deployed.entries() if entry.get("seeds")]
    start = max(used, default=HELD_OUT_SEED)
    return range(start, start + n)


def _wins(settings: Settings, seeds: Sequence[int], folder: Path, workers: int) -> dict[int, bool]:
    result = ResultFile(folder, settings)
    missing = result.missing(seeds)
    with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task(settings.sha256[:12], total=len(seeds), completed=len(seeds) - len(missing))
        for line, film in parallel.in_processes(settings, missing, "none", workers):
            result.add(line, film)
            bar.advance(task)
    return {seed: result.lines[seed]["outcome"] == "success" for seed in seeds}


def _say(verdict: Verdict, candidate: Settings, deployed: Deployed) -> None:
    paired, n = verdict.paired, verdict.paired.trials
    print(f"deployed  {format_rate(paired.both + paired.first_only, n)}")
    print(f"candidate {format_rate(paired.both + paired.second_only, n)}")
    print(f"{candidate.sha256[:12]} {'promoted' if verdict.promoted else 'refused'}: {verdict}; {deployed.folder}")
