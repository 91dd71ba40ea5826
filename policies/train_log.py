"""What a training run leaves to look at: log.jsonl, one line per step, and TensorBoard files where tensorboardX is."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

LOG_NAME, BOARD_NAME = "log.jsonl", "tensorboard"
NO_BOARD = "tensorboardX is not installed: no TensorBoard files; `pip install 'retake[tensorboard]'` brings them"


class TrainLog:
    """Appends to the log of a run. A resumed run goes on where the saved state was: what came later is forgotten."""

    def __init__(self, folder: Path, n_steps_done: int) -> None:
        self._path = folder / LOG_NAME
        self._cut(n_steps_done)
        self._board = None
        self.has_board = find_spec("tensorboardX") is not None
        if self.has_board:
            from tensorboardX import SummaryWriter

            self._board = SummaryWriter(str(folder / BOARD_NAME), purge_step=n_steps_done + 1)

    def step(self, step: int, loss: float, **scalars: float) -> None:
        """One step; `scalars` go to TensorBoard alone, for they follow from the step or the clock."""
        self._append({"step": step, "loss": loss})
        self._show(step, {"loss": loss, **scalars})

    def note(self, step: int, what: str, measured: dict) -> None:
        """Something measured now and then: validation, an evaluation."""
        self._append({"step": step, what: measured})
        numbers = {name: value for name, value in measured.items() if isinstance(value, (int, float))}
        self._show(step, {f"{what}/{name}": value for name, value in numbers.items()})

    def close(self) -> None:
        if self._board is not None:
            self._board.close()

    def _append(self, entry: dict) -> None:
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def _show(self, step: int, scalars: dict[str, float]) -> None:
        if self._board is not None:
            for name, value in scalars.items():
                self._board.add_scalar(name, value, step)

    def _cut(self, n_steps_done: int) -> None:
        """Keep of the log what the restored state knows."""
        if self._path.exists():
            lines = [line for line in self._path.read_text().splitlines() if line.endswith("}")]
            kept = [line for line in lines if json.loads(line)["step"] <= n_steps_done]
            self._path.write_text("".join(line + "\n" for line in kept))
