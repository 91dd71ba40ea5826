"""How far a task has come, as somebody sees who watches it: the stage it is in, and the way that is left of it.

What a person looks at, never a policy: it reads the world itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.arm_pick import BIN_HALF

LIFTED_M = 0.01  # a thing above where it lay by so much is in the hand
HELD_M = 0.04  # between a hand and the middle of what it holds, at most


@dataclass(frozen=True)
class Progress:
    """`stage` counts up; `left_m` of the way through it."""

    stage: int
    left_m: float


@dataclass(frozen=True)
class Eye:
    """What tells a person that something goes wrong in a task. `closer_m`: so much nearer is getting nearer;
    `farther_m`: so far back is going the wrong way; `patience_s`: without getting nearer. `back_m`: so far behind where
    it went wrong things were well; `aim_m`: standard deviation of where the person aims, per help and direction."""

    look: Callable[[Any, np.ndarray], Progress]  # task, measured pose (dim,)
    closer_m: float
    farther_m: float
    patience_s: float
    back_m: float
    aim_m: float


def pick(task: Any, measured: np.ndarray) -> Progress:
    """arm_pick: to the cube, with it to the bin, in the bin."""
    cube, scene = task.cube.position, task.scene
    to_bin = cube[:2] - scene.bin_position
    if np.abs(to_bin).max() < BIN_HALF[0] and cube[2] < 2 * BIN_HALF[2]:
        return Progress(2, 0.0)
    away = float(np.linalg.norm(cube - measured[:3]))
    if cube[2] > scene.half + LIFTED_M and away < HELD_M:
        return Progress(1, float(np.linalg.norm(to_bin)))
    return Progress(0, away)


EYES = {"arm_pick": Eye(pick, closer_m=0.002, farther_m=0.03, patience_s=1.5, back_m=0.05, aim_m=0.002)}


def eye_of(task: str) -> Eye:
    """Of a task by name.

    Raises:
        ValueError: nobody can judge it.
    """
    if task not in EYES:
        raise ValueError(f"the scripted operator does not know {task}; allowed: {', '.join(EYES)}; let a person "
                         "correct it with `retake up`")  # fmt: skip
    return EYES[task]
