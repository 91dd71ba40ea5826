"""How far a task has come, as somebody sees who watches it: the stage it is in, and the way that is left of it.

What a person looks at, never a policy: it reads the world itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from controllers import g1, rotations
from sim.arm_insert import INSERTED, SOCKET_HEIGHT
from sim.arm_pick import BIN_HALF
from sim.g1_box import SHELF_EDGE_X

LIFTED_M = 0.01  # a thing above where it lay by so much is in the hand
HELD_M = 0.04  # between a hand and the middle of what it holds, at most
SINK_M = 0.03  # arm_insert: how deep the peg's tip is wanted
SIDE_M = 0.10  # g1_box: between a palm and the middle of the side that it presses, at most
CLEAR_M = 0.03  # a box so high above the shelf can go over it; so far behind its edge it can be set down
RESTS_M = 0.02  # nearer than this to its place on the shelf it has been set down
FREE_M = 0.05  # palms so far from its sides have let go


@dataclass(frozen=True)
class Progress:
    """`stage` counts up; `left_m` of the way through it."""

    stage: int
    left_m: float


@dataclass(frozen=True)
class Eye:
    """What tells a person that something goes wrong in a task. `closer_m`: so much nearer is getting nearer;
    `farther_m`: so far back is going the wrong way; `patience_s`: without getting nearer. `back_m`: so far behind where
    it went wrong things were well. `aim_m`: standard deviation of where the person aims, per help and direction.
    `rewinds`: they go back there with the rewind button, which teaches no way back; else they lead the robot by hand.
    """

    look: Callable[[Any, np.ndarray], Progress]  # task, measured pose (dim,)
    closer_m: float
    farther_m: float
    patience_s: float
    back_m: float
    aim_m: float
    rewinds: bool = False


def pick(task: Any, measured: np.ndarray) -> Progress:
    """arm_pick and arm_pick_tight: to the cube, with it to the bin, in the bin."""
    cube, scene = task.cube.position, task.scene
    to_bin = cube[:2] - scene.bin_position
    if np.abs(to_bin).max() < BIN_HALF[0] and cube[2] < 2 * BIN_HALF[2]:
        return Progress(2, 0.0)
    away = float(np.linalg.norm(cube - measured[:3]))
    if cube[2] > scene.half + LIFTED_M and away < HELD_M:
        return Progress(1, float(np.linalg.norm(to_bin)))
    return Progress(0, away)


def insert(task: Any, measured: np.ndarray) -> Progress:
    """arm_insert: the peg's tip to the hole and down, in the hole."""
    tip = task.tip
    if tip[2] < SOCKET_HEIGHT - INSERTED:
        return Progress(1, 0.0)
    return Progress(0, float(np.linalg.norm(tip - np.array([0.0, 0.0, SOCKET_HEIGHT - SINK_M]))))


def box(task: Any, measured: np.ndarray) -> Progress:
    """g1_box: both hands to the box's sides; with it up; over the shelf; down onto it and away from it."""
    position, half, shelf = task.box_position, task.scene.half_size, task.scene.shelf_height
    across = rotations.matrix(task.box_quat_xyzw)[:, 1] * half[1]
    palms = np.stack([measured[g1.LEFT_POSITION], measured[g1.RIGHT_POSITION]])
    away = np.linalg.norm(palms - np.stack([position + across, position - across]), axis=1)
    above, behind = float(position[2] - half[2] - shelf), float(position[0] - SHELF_EDGE_X)
    if behind > CLEAR_M and above > -RESTS_M or behind > 0.0 and abs(above) < RESTS_M:
        return Progress(3, max(0.0, above) + max(0.0, FREE_M - float(away.min())))
    if position[2] < task.scene.position[2] + LIFTED_M or away.max() > SIDE_M:
        return Progress(0, float(away.max()))
    return Progress(1, CLEAR_M - above) if above < CLEAR_M else Progress(2, CLEAR_M - behind)


PICK = Eye(pick, closer_m=0.002, farther_m=0.03, patience_s=1.5, back_m=0.0, aim_m=0.002)
EYES = {
    "arm_pick": PICK,
    "arm_pick_tight": PICK,
    "arm_insert": Eye(insert, closer_m=0.001, farther_m=0.01, patience_s=1.2, back_m=0.02, aim_m=0.0004),
    "g1_box": Eye(box, closer_m=0.01, farther_m=0.04, patience_s=3.0, back_m=0.08, aim_m=0.004, rewinds=True),
}


def eye_of(task: str) -> Eye:
    """Of a task by name.

    Raises:
        ValueError: nobody can judge it.
    """
    if task not in EYES:
        raise ValueError(f"the scripted operator does not know {task}; allowed: {', '.join(EYES)}; let a person "
                         "correct it with `retake up`")  # fmt: skip
    return EYES[task]
