"""The loop around a trainer: progress, log, saving, stopping between steps, the end."""

from __future__ import annotations

import argparse
import signal
import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from policies.home import make_home, save_home
from policies.processes import Processes
from policies.train_evaluation import EvaluationError
from policies.train_log import NO_BOARD, TrainLog
from policies.trainer import VALIDATION_SAMPLES, Trainer

N_VALIDATIONS = 10
EXIT_INTERRUPTED = 130


class TrainRun:
    """Trains to the end, or to the end of the step in which Ctrl-C or SIGTERM comes: never half a step is saved.

    In a run of several processes each has one of these; they stop and end together, and the first alone writes.
    """

    def __init__(
        self,
        trainer: Trainer,
        args: argparse.Namespace,
        console: Console,
        same: dict,
        extra: dict,
        meta: dict,
        evaluate: Callable[[int], dict[str, float]] | None = None,
    ) -> None:
        """`same`: what a resumed run must agree in; `extra`: what the checkpoint says of the training; `meta`: robot
        and task; `evaluate` measures the checkpoint in args.out as it is after a number of steps."""
        self.trainer, self.args, self.console, self.same, self.extra = trainer, args, console, same, extra
        self.robot, self.task = meta["robot"], meta["task"]
        self.processes: Processes = trainer.processes
        self.evaluate = evaluate
        self.log = TrainLog(args.out, trainer.n_steps_done) if self.processes.is_first else None
        self.smooth_loss: float | None = None
        self.stopping = False

    def go(self) -> int:
        """Returns the exit code."""
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        if self.log and not self.log.has_board:
            self.console.print(NO_BOARD, markup=False)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        is_shown = self.processes.is_first and self.console.is_terminal
        try:
            for number in before:
                signal.signal(number, self._ask_to_stop)
            with Progress(*columns, console=self.console, disable=not is_shown) as progress:
                self._loop(progress)
            if self.log:
                return self._end()
            return EXIT_INTERRUPTED if self.stopping else 0
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            if self.log:
                self.log.close()

    def _end(self) -> int:
        trainer, out = self.trainer, self.args.out
        trainer.save(out, self.same)
        if self.stopping:
            self.console.print(
                f"stopped after step {trainer.n_steps_done}; continue with the same command and --resume"
            )
            return EXIT_INTERRUPTED
        final = trainer.validate(4 * VALIDATION_SAMPLES)
        sha256 = trainer.export(out, self.robot, self.task, {**self.extra, "validation": final})
        self._report("final", final)
        self._say_home()
        self.console.print(f"checkpoint {out} ({sha256[:12]}): try it with `retake eval policy:={out}`")
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
        while trainer.total_steps is None or trainer.n_steps_done < trainer.total_steps:
            if self._stops():
                return
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
            if self.log is None:
                continue
            self.log.step(done, loss, learning_rate=trainer.learning_rate(done - 1), samples_per_s=rate)
            if trainer.total_steps is None:
                continue
            if done < trainer.total_steps:
                self._look(f"step {done}/{trainer.total_steps}, {rate:.0f} samples/s")
            if now - saved > self.args.save_every:
                trainer.save(self.args.out, self.same)
                saved = now

    def _look(self, when: str) -> None:
        """Validation and evaluation, where they are due."""
        trainer, done = self.trainer, self.trainer.n_steps_done
        if trainer.validation and done % max(1, (trainer.total_steps or 0) // N_VALIDATIONS) == 0:
            self._report(when, trainer.validate())
        if self.evaluate and self.log and done % self.args.evaluate_every == 0:
            trainer.export(self.args.out, self.robot, self.task, self.extra)
            try:
                measured = self.evaluate(done)
            except EvaluationError as error:  # the training is worth more than one of its points
                self.console.print(f"step {done}: not evaluated, {error}", markup=False)
                return
            said = ", ".join(f"{name} {value:.3g}" for name, value in measured.items())
            self.console.print(f"step {done}: {said}")
            self.log.note(done, "evaluation", measured)

    def _stops(self) -> bool:
        """Whether any process was asked to stop: all stop after the same step."""
        self.stopping = self.processes.mean([float(self.stopping)])[0] > 0.0
        return self.stopping

    def _fix_total(self, elapsed_s: float) -> None:
        """Turn --minutes into steps halfway through warm-up, where the learning rate does not depend on them yet."""
        trainer, total = self.trainer, 0
        done, warmup = trainer.n_steps_done, trainer.config.warmup_steps
        seconds = 60.0 * self.args.minutes
        if done >= warmup // 2 or elapsed_s > seconds:
            total = max(done, round(0.97 * seconds * done / elapsed_s))
        trainer.total_steps = self.processes.agreed(total) or None

    def _report(self, when: str, measured: dict[str, float]) -> None:
        if not measured or self.log is None:
            return
        hands = ""
        if "hands_cm" in measured:
            hands = f", hands {measured['hands_cm']:.2f} cm (p90 {measured['hands_p90_cm']:.2f} cm)"
        self.console.print(
            f"{when}: held-out loss {measured['loss']:.4f}{hands}, training loss {self.smooth_loss or 0.0:.4f}"
        )
        self.log.note(self.trainer.n_steps_done, "validation", measured)
