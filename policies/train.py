"""`retake train`: recorded episodes in, a policy checkpoint out, with progress, resumable exactly after a kill."""

from __future__ import annotations

import argparse
from dataclasses import fields
from functools import partial
from pathlib import Path

import torch
from rich.console import Console

from policies.checkpoint import KINDS
from policies.consistency import ConsistencyPolicy
from policies.dataset import Samples, find_episodes, load_samples, split_episodes
from policies.distillation import read_teacher
from policies.episode_meta import OUTCOMES
from policies.processes import Processes, joined
from policies.sampling import WEIGHTINGS
from policies.segments import UNTOUCHED
from policies.sources import NOBODY, Source
from policies.timeline import SEGMENTS
from policies.train_evaluation import evaluation
from policies.train_run import TrainRun
from policies.train_state import STATE_NAME, ResumeError
from policies.trainer import PRECISIONS, TrainConfig, Trainer
from policies.warm_start import read_start

CACHE_NAME = ".cache"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `retake train`; the defaults are meant for a few hundred demonstrations on 2 cores."""
    config = TrainConfig()
    parser.add_argument("--data", type=Path, nargs="+", default=[Path("data/g1_box")], metavar="FOLDER",
                        help="folders of episodes, or LeRobot v3 datasets")
    parser.add_argument("--out", type=Path, default=Path("runs/g1_box"), help="checkpoint, log and training state")
    parser.add_argument("--minutes", type=float, default=60.0,
                        help="stop after about this long (fixes the steps early on)")
    parser.add_argument("--steps", type=int, help="exactly this many steps instead of --minutes")
    parser.add_argument("--policy", default=config.policy, choices=sorted(KINDS), help="kind of policy")
    parser.add_argument("--teacher", type=Path, metavar="CHECKPOINT",
                        help="flow or diffusion policy that --policy consistency learns to do in one step, with its "
                             "cameras and size")
    parser.add_argument("--start", type=Path, metavar="CHECKPOINT",
                        help="go on from its weights, as after new corrections; of another kind of policy from how it "
                             "sees. With its cameras, size and statistics")
    parser.add_argument("--freeze-encoders", action="store_true",
                        help="of --start: every picture is encoded once, and what follows from it trained in minutes")
    parser.add_argument("--seed", type=int, default=config.seed)
    parser.add_argument("--batch-size", type=int, default=config.batch_size, help="samples per step, of all processes")
    parser.add_argument("--learning-rate", type=float, default=config.learning_rate)
    parser.add_argument("--size", default="128x96", help="pictures for the policy, WIDTHxHEIGHT, multiples of 4")
    parser.add_argument("--cameras", nargs="+", help="default: every camera of the first episode")
    parser.add_argument("--outcomes", nargs="+", default=["success"], choices=OUTCOMES, help="episodes to learn from")
    parser.add_argument("--task", help="only episodes of this task")
    parser.add_argument("--segments", default=config.segments, metavar="NAME[:WEIGHT],...",
                        help=f"what to learn from: {', '.join(SEGMENTS)}, or {UNTOUCHED}, a success in which nobody "
                             "took over; frames of weight 2 are seen twice as often (%(default)s)")
    parser.add_argument("--weighting", default=config.weighting, choices=WEIGHTINGS,
                        help="see episodes of a higher return, or of a higher one than their start lets expect, more "
                             "often: exp(A / temperature) (%(default)s)")
    parser.add_argument("--temperature", type=float, default=config.temperature, help="of --weighting (%(default)s)")
    parser.add_argument("--validation", type=float, default=0.1, help="fraction of the episodes held out")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of torch; 2 leaves nothing idle on 2 cores")
    parser.add_argument("--precision", default=config.precision, choices=PRECISIONS,
                        help="of the forward pass; bfloat16 pays where the processor has it (%(default)s)")
    parser.add_argument("--compile", action="store_true", help="compile the image encoders with torch.compile")
    parser.add_argument("--micro-batches", type=int, metavar="N",
                        help="take each batch in N parts and average their gradients; processes share the parts, so "
                             "equal N gives equal training (default: one per process)")
    parser.add_argument("--save-every", type=float, default=60.0, metavar="S", help="seconds between training states")
    parser.add_argument("--evaluate-every", type=int, metavar="STEPS",
                        help="measure success with `retake eval --one-process` so often, on seeds of their own")
    parser.add_argument("--evaluate-episodes", type=int, default=20, help="of each such evaluation (%(default)s)")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out exactly where it was saved")


def run(args: argparse.Namespace) -> int:
    """Train as the arguments say; returns the exit code."""
    _check(args)
    torch.set_num_threads(args.threads)
    with joined() as processes:
        return _train(args, processes)


def _train(args: argparse.Namespace, processes: Processes) -> int:
    console = Console(quiet=not processes.is_first)
    episodes = find_episodes(args.data, tuple(args.outcomes), args.task, args.segments)
    robot = episodes[0].meta["robot"]
    teacher, start = read_teacher(args.policy, args.teacher, robot), read_start(args.policy, args.start, robot)
    cameras = tuple(args.cameras or sorted(episodes[0].read().pictures))
    if source := teacher or start:
        theirs = source.policy.config
        cameras, args.size = theirs.cameras, f"{theirs.width}x{theirs.height}"
    args.micro_batches = args.micro_batches or processes.count
    config = TrainConfig(**{f.name: getattr(args, f.name) for f in fields(TrainConfig) if hasattr(args, f.name)})
    parts = split_episodes(episodes, args.validation, args.seed)
    with processes.first_goes_first():  # one decodes into the cache, the others find it there
        train = _load(parts[0], args, cameras, console)
        validation = _load(parts[1], args, cameras, console) if parts[1] else None
    policy = start.policy.to(processes.device) if start else None
    if policy and args.freeze_encoders:
        policy.encoders.requires_grad_(False)
    if teacher:
        policy = ConsistencyPolicy.distilling(teacher.policy.to(processes.device))
    trainer = Trainer(config, train, validation, cameras, processes, policy)
    same = {"episodes": [e.name for part in parts for e in part], "size": args.size, "cameras": list(cameras)}
    taught = {"teacher": teacher.sha256} if teacher else {}
    if start:
        taught = {"start": start.sha256, "freeze_encoders": args.freeze_encoders}
    same |= taught
    args.out.mkdir(parents=True, exist_ok=True)
    if args.resume:
        trainer.restore(args.out, same)
    elif args.steps is not None:
        trainer.total_steps = args.steps
    n_weights = sum(p.numel() for p in trainer.policy.parameters())
    if any(e.meta["outcome_by"] == NOBODY for e in episodes):
        console.print("the dataset does not say how its episodes ended: all are taken for successes")
    several = f"{processes.count} processes, " if processes.count > 1 else ""
    frames = ", ".join(f"{n} {name}" for name, n in train.frames_of().items())
    console.print(
        f"{len(train.names)} episodes ({len(train.where)} frames: {frames}) to learn from, {len(parts[1])} held out, "
        f"cameras {', '.join(cameras)} at {args.size}, {n_weights / 1e6:.1f} M weights, {several}"
        f"{processes.device.type}, {args.threads} threads"
    )
    extra = {"episodes": len(train.names), "frames": len(train.where), "held_out_episodes": len(parts[1]), **taught}
    evaluate = partial(evaluation, args.out, args.evaluate_episodes) if args.evaluate_every else None
    return TrainRun(trainer, args, console, same, extra, episodes[0].meta, evaluate).go()


def _load(episodes: list[Source], args: argparse.Namespace, cameras: tuple[str, ...], console: Console) -> Samples:
    return load_samples(
        episodes, args.data[0] / CACHE_NAME, cameras, *_size(args.size), not console.is_terminal or console.quiet,
        args.segments, args.weighting, args.temperature,
    )  # fmt: skip


def _check(args: argparse.Namespace) -> None:
    for name in ("minutes", "steps", "batch_size", "learning_rate", "threads", "save_every", "temperature",
                 "micro_batches", "evaluate_every", "evaluate_episodes"):  # fmt: skip
        value = getattr(args, name)
        if value is not None and not value > 0:
            raise ValueError(f"--{name.replace('_', '-')} {value}; allowed: above 0; leave it out for the default")
    _size(args.size)
    if args.start and (args.teacher or args.cameras):
        raise ValueError("--start with --teacher or --cameras; allowed: one of them; the cameras are the checkpoint's")
    if args.freeze_encoders and not args.start:
        raise ValueError("--freeze-encoders without --start; allowed: with the checkpoint that has learnt to see")
    if not 0.0 <= args.validation < 1.0:
        raise ValueError(f"--validation {args.validation}; allowed: 0 to below 1, a fraction of the episodes")
    if (args.out / STATE_NAME).exists() and not args.resume:
        raise ResumeError(f"{args.out} holds a run already; allowed: --resume to continue it, or another --out")


def _size(text: str) -> tuple[int, int]:
    numbers = text.split("x")
    if len(numbers) != 2 or not all(n.isdecimal() and int(n) >= 16 and int(n) % 4 == 0 for n in numbers):
        raise ValueError(f"--size {text}; allowed: WIDTHxHEIGHT, multiples of 4 from 16 up, as in 128x96")
    return int(numbers[0]), int(numbers[1])
