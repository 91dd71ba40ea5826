"""The learning curve of a run: success on held-out seeds, measured now and then, kept as numbers and as a picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from policies.atomic import replace_file
from policies.rl.curve import Line, write
from policies.statistics import format_rate

CURVE_NAME, PICTURE_NAME = "curve.json", "curve.svg"


class Curve:
    """Points (steps, successes, trials); the first, at 0 steps, is the base alone. Goes on from what a run has."""

    def __init__(self, folder: Path, every: int, evaluate: Callable[[Any], tuple[int, int]]) -> None:
        """`every` so many steps, 0: only when asked; `evaluate` an actor, None being the base."""
        self._folder, self._every, self._evaluate = folder, every, evaluate
        path = folder / CURVE_NAME
        self.points: list[list[int]] = json.loads(path.read_text()) if path.exists() else []

    def measure_if_due(self, steps: int, actor: Any) -> None:
        """A point where one is due; None while nothing acts but the base, which is measured once."""
        if not self._every:
            return
        if not self.points:
            self._add(0, None)
        if actor is not None and steps >= self.points[-1][0] + self._every:
            self._add(steps, actor)

    def measure(self, steps: int, actor: Any) -> None:
        """A point at the end, unless there is one."""
        if not self.points or self.points[-1][0] != steps:
            self._add(steps, actor)

    def _add(self, steps: int, actor: Any) -> None:
        self.points.append([steps, *self._evaluate(actor)])
        replace_file(self._folder / CURVE_NAME, json.dumps(self.points))
        points = [(s, wins, n) for s, wins, n in self.points]
        base = next(((wins, n) for s, wins, n in points if s == 0), None)
        write(self._folder / PICTURE_NAME, f"{self._folder.name}: success on held-out seeds",
              [Line("learnt", points)], base)  # fmt: skip

    def __str__(self) -> str:
        """`base 20/50 = ..., after 30000 steps 49/50 = ...`"""
        texts = [f"after {s} steps {format_rate(wins, n)}" if s else f"base {format_rate(wins, n)}"
                 for s, wins, n in (self.points[0], self.points[-1])]  # fmt: skip
        return f"{'; '.join(texts)}; {self._folder / PICTURE_NAME}"
