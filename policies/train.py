"""`retake train`: recorded episodes in, a policy checkpoint out, with progress, resumable exactly after a kill."""

from __future__ import annotations

import argparse
import json
import signal
import time
from dataclasses import fields
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from policies.checkpoint import KINDS
from policies.dataset import find_episodes, load_samples, split_episodes
from policies.episode_meta import OUTCOMES
from policies.home import make_home, save_home
from policies.train_state import STATE_NAME, ResumeError
from policies.trainer import VALIDATION_SAMPLES, TrainConfig, Trainer

N_VALIDATIONS = 10
CACHE_NAME = ".cache"
EXIT_INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `retake train`; the defaults are meant for a few hundred demonstrations on 2 cores."""
    config = TrainConfig()
    parser.add_argument("--data", type=Path, default=Path("data/g1_box"), help="folder of episodes")
    parser.add_argument("--out", type=Path, default=Path("runs/g1_box"), help="checkpoint, log and training state")
    parser.add_argument(
        "--minutes", type=float, default=60.0, help="stop after about this long (fixes the steps early on)"
    )
    parser.add_argument("--steps", type=int, help="exactly this many steps instead of --minutes")
    parser.add_argument("--policy", default=config.policy, choices=sorted(KINDS), help="kind of policy")
    parser.add_argument("--seed", type=int, default=config.seed)
    parser.add_argument("--batch-size", type=int, default=config.batch_size)
    parser.add_argument("--learning-rate", type=float, default=config.learning_rate)
    parser.add_argument("--size", default="128x96", help="pictures for the policy, WIDTHxHEIGHT, multiples of 4")
    parser.add_argument("--cameras", nargs="+", help="default: every camera of the first episode")
    parser.add_argument("--outcomes", nargs="+", default=["success"], choices=OUTCOMES, help="episodes to learn from")
    parser.add_argument("--task", help="only episodes of this task")
    parser.add_argument("--validation", type=float, default=0.1, help="fraction of the episodes held out")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of torch; 2 leaves nothing idle on 2 cores")
    parser.add_argument("--save-every", type=float, default=60.0, metavar="S", help="seconds between training states")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out exactly where it was saved")


def run(args: argparse.Namespace) -> int:
    """Train as the arguments say; returns the exit code."""
    _check(args)
    torch.set_num_threads(args.threads)
    console = Console()
    episodes = find_episodes(args.data, tuple(args.outcomes), args.task)
    about = episodes[0].meta
    cameras = tuple(args.cameras or sorted(episodes[0].read().pictures))
    width, height = _size(args.size)
    parts = split_episodes(episodes, args.validation, args.seed)
    cache = args.data / CACHE_NAME
    quiet = not console.is_terminal
    train = load_samples(parts[0], cache, cameras, width, height, quiet)
    validation = load_samples(parts[1], cache, cameras, width, height, quiet) if parts[1] else None
    config = TrainConfig(**{f.name: getattr(args, f.name) for f in fields(TrainConfig) if hasattr(args, f.name)})
    trainer = Trainer(config, train, validation, cameras)
    args.out.mkdir(parents=True, exist_ok=True)
    same = {"episodes": [p.name for part in parts for p in part], "size": args.size, "cameras": list(cameras)}
    if args.resume:
        trainer.restore(args.out, same)
    elif args.steps is not None:
        trainer.total_steps = args.steps
    n_weights = sum(p.numel() for p in trainer.policy.parameters())
    console.print(
        f"{len(train.names)} episodes ({len(train.where)} frames) to learn from, {len(parts[1])} held out, cameras "
        f"{', '.join(cameras)} at {args.size}, {n_weights / 1e6:.1f} M weights, {args.threads} threads"
    )
    extra = {"episodes": len(train.names), "frames": len(train.where), "held_out_episodes": len(parts[1])}
    return _Run(trainer, args, console, same, about, extra).go()


def _check(args: argparse.Namespace) -> None:
    for name in ("minutes", "steps", "batch_size", "learning_rate", "threads", "save_every"):
        value = getattr(args, name)
        if value is not None and not value > 0:
            raise ValueError(f"--{name.replace('_', '-')} {value}; allowed: above 0; leave it out for the default")
    if not 0.0 <= args.validation < 1.0:
        raise ValueError(f"--validation {args.validation}; allowed: 0 to below 1, a fraction of the episodes")
    if (args.out / STATE_NAME).exists() and not args.resume:
        raise ResumeError(f"{args.out} holds a run already; allowed: --resume to continue it, or another --out")


def _size(text: str) -> tuple[int, int]:
    numbers = text.split("x")
    if len(numbers) != 2 or not all(n.isdecimal() and int(n) >= 16 and int(n) % 4 == 0 for n in numbers):
        raise ValueError(f"--size {text}; allowed: WIDTHxHEIGHT, multiples of 4 from 16 up, as in 128x96")
    return int(numbers[0]), int(numbers[1])


class _Run:
    """The loop around a trainer: progress, log, saving, the end."""

    def __init__(
        self, trainer: Trainer, args: argparse.Namespace, console: Console, same: dict, about: dict, extra: dict
    ) -> None:
        self.trainer, self.args, self.console, self.same, self.extra = trainer, args, console, same, extra
        self.robot, self.task = about["robot"], about["task"]
        self.log_path = args.out / "log.jsonl"
        self.smooth_loss: float | None = None
        self.stopping = False
        self._cut_log()

    def go(self) -> int:
        """Train to the end, or to the end of the step in which Ctrl-C or SIGTERM comes: never half a step is saved."""
        trainer, before = self.trainer, {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        try:
            for number in before:
                signal.signal(number, self._ask_to_stop)
            with Progress(*columns, console=self.console, disable=not self.console.is_terminal) as progress:
                self._loop(progress)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        trainer.save(self.args.out, self.same)
        if self.stopping:
            self.console.print(
                f"stopped after step {trainer.n_steps_done}; continue with the same command and --resume"
            )
            return EXIT_INTERRUPTED
        final = trainer.validate(4 * VALIDATION_SAMPLES)
        sha256 = trainer.export(self.args.out, self.robot, self.task, {**self.extra, "validation": final})
        self._report("final", final)
        self._say_home()
        self.console.print(
            f"checkpoint {self.args.out} ({sha256[:12]}): try it with `retake eval policy:={self.args.out}`"
        )
        return 0

    def _say_home(self) -> None:
        """Where the policy is at home, for the person who watches it."""
        samples = self.trainer.train
        if len(samples.names) > 1:
            home = make_home(samples.states, samples.where[:, 0], self.trainer.policy.state_normaliser)
            save_home(self.args.out, home)

    def _ask_to_stop(self, number: int, frame: object) -> None:
        self.stopping = True

    def _loop(self, progress: Progress) -> None:
        trainer, first, start = self.trainer, self.trainer.n_steps_done, time.monotonic()
        bar = progress.add_task("training", total=trainer.total_steps, completed=first, rate="")
        saved = start
        while not self.stopping and (trainer.total_steps is None or trainer.n_steps_done < trainer.total_steps):
            loss = trainer.step()
            done, now = trainer.n_steps_done, time.monotonic()
            if trainer.total_steps is None:
                self._fix_total(now - start)
                progress.update(bar, total=trainer.total_steps)
            rate = (done - first) * trainer.config.batch_size / (now - start)
            self.smooth_loss = loss if self.smooth_loss is None else 0.98 * self.smooth_loss + 0.02 * loss
            progress.update(
                bar, completed=done, description=f"loss {self.smooth_loss:.4f}", rate=f"{rate:.0f} samples/s"
            )
            self._log({"step": done, "loss": loss})
            if trainer.total_steps is None:
                continue
            if (
                trainer.validation
                and done % max(1, trainer.total_steps // N_VALIDATIONS) == 0
                and done < trainer.total_steps
            ):
                self._report(f"step {done}/{trainer.total_steps}, {rate:.0f} samples/s", trainer.validate())
            if now - saved > self.args.save_every:
                trainer.save(self.args.out, self.same)
                saved = now

    def _fix_total(self, elapsed_s: float) -> None:
        """Turn --minutes into steps halfway through warm-up, where the learning rate does not depend on them yet."""
        trainer = self.trainer
        done, warmup = trainer.n_steps_done, trainer.config.warmup_steps
        seconds = 60.0 * self.args.minutes
        if done >= warmup // 2 or elapsed_s > seconds:
            trainer.total_steps = max(done, round(0.97 * seconds * done / elapsed_s))

    def _report(self, when: str, measured: dict[str, float]) -> None:
        if measured:
            self.console.print(
                f"{when}: held-out loss {measured['loss']:.4f}, hands {measured['hands_cm']:.2f} cm "
                f"(p90 {measured['hands_p90_cm']:.2f} cm), training loss {self.smooth_loss or 0.0:.4f}"
            )
            self._log({"step": self.trainer.n_steps_done, "validation": measured})

    def _log(self, entry: dict) -> None:
        with open(self.log_path, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def _cut_log(self) -> None:
        """Keep of the log what the restored state knows."""
        if not self.log_path.exists():
            return
        lines = [line for line in self.log_path.read_text().splitlines() if line.endswith("}")]
        kept = [line for line in lines if json.loads(line)["step"] <= self.trainer.n_steps_done]
        self.log_path.write_text("".join(line + "\n" for line in kept))
