"""`retake improve`: rounds of watching a policy, helping it, learning from the help, and the gate (RaC, 2509.07953).

A round records episodes in which a scripted person helps the newest policy that was promoted, at first the base, until
enough camera frames were in their hands; trains the base anew on its demonstrations and the help of every round so far;
and deploys the result if it is no worse (`retake promote`). Interrupted or killed, the same command goes on. With
`--recorded` the help is what people have recorded (`retake up policy:=... rac:=true`), in one round.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from policies import train
from policies.checkpoint import DESCRIPTION, KINDS, Checkpoint, load_checkpoint
from policies.consistency import ConsistencyPolicy
from policies.dataset import find_episodes
from policies.episode_meta import JUDGED
from policies.rl.ledger import Deployed
from policies.segments import parse_segments
from policies.sources import sources_of
from policies.timeline import INTERVENTIONS
from policies.train_state import STATE_NAME
from sim import promote
from sim.improve_methods import METHODS
from sim.improve_run import ImproveError, ImproveFolder, Round
from sim.progress import eye_of
from sim.tasks import HELD_OUT_SEED

FIRST_SEED, SEEDS = 30_000, 1_000  # of the first round; of each
EXIT_INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--base", type=Path, required=True, help="checkpoint that the first round begins with")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="FOLDER",
                        help="the demonstrations that it comes from")
    parser.add_argument("--out", type=Path, required=True, help="the run's folder")
    parser.add_argument("--method", default="rac", choices=METHODS,
                        help="rac: back, then on, then the episode ends; hg-dagger: on from where the robot is, then "
                             "the policy again; demos: more demonstrations instead (%(default)s)")
    parser.add_argument("--recorded", type=Path, nargs="+", default=[], metavar="FOLDER",
                        help="episodes in which people helped: learn from these, in one round, and record nothing")
    parser.add_argument("--rounds", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--frames", type=int, default=1_500,
                        help="camera frames in the person's hands per round (%(default)s)")
    parser.add_argument("--watch", type=int, default=200, help="at most so many episodes per round (%(default)s)")
    parser.add_argument("--segments", default="", metavar="NAME[:WEIGHT],...",
                        help="what to learn from, as in `retake train`; by default the method's")
    parser.add_argument("--steps", type=int, default=2_000, help="of training per round (%(default)s)")
    parser.add_argument("--train-encoders", action="store_true",
                        help="learn to see as well: many times slower, and more steps are needed")
    parser.add_argument("--seed", type=int, default=0, help="of training, and which worlds the rounds see")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of training (%(default)s)")
    parser.add_argument("--gate", type=int, default=200, metavar="SEEDS",
                        help="held-out seeds of `retake promote`; 0: no gate, the newest policy goes on (%(default)s)")
    parser.add_argument("--root", type=Path, default=promote.ROOT, help="of deployed policies (%(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="processes of the gate (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """0 when every round is over."""
    base = _checked_base(args)
    try:
        return _Run(args, base).go()
    except KeyboardInterrupt:
        print(f"interrupted; the same command goes on in {args.out}")
        return EXIT_INTERRUPTED


def _checked_base(args: argparse.Namespace) -> Checkpoint:
    """The base policy, when it and the data go together."""
    for name in ("rounds", "frames", "watch", "steps"):
        if getattr(args, name) < 1:
            raise ImproveError(f"--{name} {getattr(args, name)}; allowed: 1 and more")
    last = FIRST_SEED + SEEDS * (args.seed + 1) * args.rounds
    if args.watch > SEEDS or args.seed < 0 or last > HELD_OUT_SEED:
        raise ImproveError(f"--watch {args.watch} --seed {args.seed} --rounds {args.rounds}; allowed: {SEEDS} episodes "
                           f"a round, and worlds below {HELD_OUT_SEED}; choose smaller ones")  # fmt: skip
    args.rounds = 1 if args.recorded else args.rounds
    args.segments = args.segments or METHODS[args.method].segments
    parse_segments(args.segments)
    base = load_checkpoint(args.base)
    if isinstance(base.policy, ConsistencyPolicy):
        raise ImproveError(f"{args.base} was distilled from another policy; allowed: its teacher; improve that, then "
                           "distil it again")  # fmt: skip
    if METHODS[args.method].style and not args.recorded:
        eye_of(base.task)
    meta = find_episodes([*args.data, *args.recorded], JUDGED, segments=args.segments)[0].meta
    if (meta["robot"], meta["task"]) != (base.robot, base.task):
        raise ImproveError(f"{args.data[0]} holds {meta['task']} of {meta['robot']}; allowed: {base.task} of "
                           f"{base.robot}, which {args.base} is for; give the demonstrations that it comes from")
    channels = tuple(meta.get("action_channels") or base.policy.config.action_channels)
    if channels != base.policy.config.action_channels:
        raise ImproveError(f"{args.data[0]} has the channels {', '.join(channels)}; allowed: those of {args.base}, "
                           f"{', '.join(base.policy.config.action_channels)}; record with that robot")  # fmt: skip
    return base


class _Run:
    """The rounds, one after the other."""

    def __init__(self, args: argparse.Namespace, base: Checkpoint) -> None:
        self._args, self._base, self._task, self._method = args, base, base.task, METHODS[args.method]
        self._folder = ImproveFolder(args.out)
        self._rounds = [self._folder.round(number) for number in range(1, args.rounds + 1)]

    def go(self) -> int:
        args = self._args
        same = ("method", "frames", "watch", "segments", "steps", "train_encoders", "seed", "gate")
        folders = {name: [str(path) for path in getattr(args, name)] for name in ("data", "recorded")}
        settings = {name: getattr(args, name) for name in same}
        self._folder.start({"base": self._base.sha256, **folders, **settings})
        if args.gate and self._deployed.current is None:
            promote.run(self._promotion(args.base, []))
        for each in self._rounds:
            if each.result is None and (code := self._round(each)):
                return code
            print(_told(each.result or {}))
        return 0

    @property
    def _deployed(self) -> Deployed:
        return Deployed(self._args.root / self._task)

    def _round(self, each: Round) -> int:
        """0 when it is over."""
        spent = self._taken(self._args.recorded) if self._args.recorded else self._record(each)
        if code := self._train(each):
            return code
        result = {"round": each.number, "effort": spent, "policy": str(each.policy), "promoted": True}
        if self._args.gate:
            result |= self._judge(each)
        each.finish(result)
        return 0

    def _acting(self, each: Round) -> Path:
        """The policy that is watched: of the newest round that was promoted, at first the base."""
        done = [before for before in self._rounds[: each.number - 1] if (before.result or {}).get("promoted")]
        return done[-1].policy if done else self._args.base

    def _help(self, each: Round) -> list[Path]:
        """Where the help of a round is."""
        return self._args.recorded or [each.episodes]

    def _taken(self, folders: list[Path]) -> dict[str, Any]:
        """What people have recorded."""
        every = [source.meta for folder in folders for source in sources_of(folder)]
        if unjudged := [meta["id"] for meta in every if meta["outcome"] not in (*JUDGED, "discarded")]:
            print(f"{len(unjudged)} episodes have no outcome and are left out, {unjudged[0]} the first of them; judge "
                  "them with `retake episodes relabel`")  # fmt: skip
        return {**self._method.spent(every, self._task), "episodes": len(every) - len(unjudged)}

    def _record(self, each: Round) -> dict[str, Any]:
        args, first = self._args, FIRST_SEED + SEEDS * (self._args.seed * self._args.rounds + each.number - 1)
        known = each.recorded()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("frames"),
                   TimeRemainingColumn())  # fmt: skip
        record: Callable[[int, Path], dict] | None = None
        metas: list[dict] = []
        with Progress(*columns) as progress:
            bar = progress.add_task(f"round {each.number}: {args.method}", total=args.frames)
            for seed in range(first, first + args.watch):
                spent = self._method.spent(metas, self._task)
                progress.update(bar, completed=min(spent["taught"], args.frames))
                if spent["taught"] >= args.frames:
                    break
                if seed not in known:
                    torch.set_num_threads(1)  # sums of several threads depend on how many there are
                    record = record or self._method.recorder(self._acting(each), self._task)
                    known[seed] = record(seed, each.episodes)
                metas.append(known[seed])
        return {**self._method.spent(metas, self._task), "episodes": len(metas)}

    def _train(self, each: Round) -> int:
        if (each.policy / DESCRIPTION).exists():
            return 0
        args = self._args
        data = [*args.data, *(folder for before in self._rounds[: each.number] for folder in self._help(before))]
        kind = next(name for name, kind in KINDS.items() if type(self._base.policy) is kind)
        words = [
            "--data", *map(str, data), "--out", str(each.policy), "--start", str(args.base), "--policy", kind,
            "--task", self._task, "--outcomes", "success", "failure", "--segments", args.segments,
            "--steps", str(args.steps), "--seed", str(args.seed), "--validation", "0", "--threads", str(args.threads),
        ]  # fmt: skip
        words += [] if args.train_encoders else ["--freeze-encoders"]
        words += ["--resume"] if (each.policy / STATE_NAME).exists() else []
        parser = argparse.ArgumentParser()
        train.add_arguments(parser)
        return train.run(parser.parse_args(words))

    def _judge(self, each: Round) -> dict[str, Any]:
        """The gate's verdict, asked only once."""
        deployed, sha256 = self._deployed, load_checkpoint(each.policy).sha256
        waiting: list[Path] = []  # what the deployed policy has not learnt from
        for before in self._rounds[: each.number - 1]:
            waiting = [] if (before.result or {}).get("promoted") else [*waiting, *self._help(before)]
        entry = _verdict(deployed, sha256)
        if entry is None:
            promote.run(self._promotion(each.policy, [*waiting, *self._help(each)]))
            entry = _verdict(deployed, sha256)
        assert entry is not None  # promote.run has written it
        told = ("before", "after", "low", "points_per_operator_minute")
        return {"promoted": entry["kind"] == "promoted", **{name: entry.get(name) for name in told}}

    def _promotion(self, policy: Path, data: list[Path]) -> argparse.Namespace:
        args = self._args
        words = [str(policy), "--task", self._task, "--root", str(args.root), "--episodes", str(args.gate),
                 "--workers", str(args.workers), *(["--data", *map(str, data)] if data else [])]  # fmt: skip
        parser = argparse.ArgumentParser()
        promote.add_arguments(parser)
        return parser.parse_args(words)


def _verdict(deployed: Deployed, sha256: str) -> dict[str, Any] | None:
    """What the ledger says of a policy."""
    return next((entry for entry in reversed(deployed.entries()) if entry.get("sha256") == sha256), None)


def _told(result: dict[str, Any]) -> str:
    """A finished round in a line."""
    spent = result["effort"]
    frames = ", ".join(f"{name} {count}" for name, count in spent["frames"].items() if name in INTERVENTIONS)
    parts = [f"round {result['round']}: {spent['episodes']} episodes, {spent['supervised_minutes']:.1f} minutes of a "
             f"person, {spent['operator_minutes']:.1f} of them driving ({frames or 'nothing'} frames)"]  # fmt: skip
    if result.get("before"):
        before, after = (100 * result[name][0] for name in ("before", "after"))
        parts.append(f"success {before:.1f} -> {after:.1f} %, {'promoted' if result['promoted'] else 'refused'}")
    return "; ".join([*parts, result["policy"]])
