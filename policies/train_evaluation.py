"""How well the policy of a run that is going on does its task: `retake eval` on the average weights so far."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

FIRST_SEED = 500_000  # beyond the seeds of final figures: whoever stops a run by this curve has tuned on them
FOLDER = "evaluation"
COMMAND = (sys.executable, "-m", "retake.cli", "eval", "--one-process", "--films", "none")


class EvaluationError(ValueError):
    """The evaluation did not come to an end; the text says why."""


def evaluation(
    checkpoint: Path, episodes: int, step: int, command: tuple[str, ...] = COMMAND
) -> dict[str, float]:
    """Success on the same seeds each time, with Wilson's 95 % interval, and falls; in a process of its own, at whose
    end training goes on. Episode by episode it is in `evaluation/STEP` beside the checkpoint."""
    out = checkpoint / FOLDER / f"{step:07d}"
    words = [*command, "--episodes", str(episodes), "--seed", str(FIRST_SEED), "--out", str(out), str(checkpoint)]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise EvaluationError(f"{done.stderr.strip() or f'exit code {done.returncode}'}; try: {' '.join(words)}")
    (figures,) = json.loads((out / "eval.json").read_text())["policies"]
    return {"success": figures["rate"], "low": figures["low"], "high": figures["high"], "falls": figures["falls"]}
