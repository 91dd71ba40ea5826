"""What `retake learn` needs of a task: which channels are corrected, how finely, on which base, seen how."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from controllers.rigs import Rig
from sim.arm_insert import ArmInsertTask
from sim.rl_env import RlEnv
from sim.rl_insert import BiasedInsertBase, InsertState, NoBase
from sim.rl_policy import Eyes, PolicyBase
from sim.tasks import task_spec

# What 1 means of an action, per camera period: about what a demonstrator does at most.
RANGE_M, RANGE_RAD = 0.015, 0.1
NO_BASE = "none"  # with the state observed
SCRIPTED = "scripted:"  # base of the comparison with the literature: scripted:3.4 aims 3.4 mm beside the hole


@dataclass(frozen=True)
class Bench:
    """An environment, the demonstrator of its task, and what gives its resources back."""

    env: RlEnv
    make_expert: Callable[[Any, np.ndarray, int], Any]
    close: Callable[[], None]


def corrected(rig: Rig) -> tuple[tuple[int, ...], np.ndarray]:
    """Rates of the rig that a residual acts on, its hands' positions and turns, and what 1 means of each."""
    rates: list[int] = []
    ranges: list[float] = []
    for part in rig.layout.parts:
        if part.kind != "scalar":
            rates += range(part.rates.start, part.rates.stop)
            ranges += [RANGE_M if part.kind == "position" else RANGE_RAD] * (part.rates.stop - part.rates.start)
    return tuple(rates), np.array(ranges)


def make_bench(task: str, base: str, run: str = "", noise: bool = True, eyes: Path | None = None) -> Bench:
    """`base`: a checkpoint's folder, which also makes the observation; or scripted:MILLIMETRES[,PACE] or none. With
    those the checkpoint `eyes` makes the observation, without one the state is observed.

    Raises:
        ValueError: the task, the base or a checkpoint cannot be used.
    """
    spec = task_spec(task)
    world = spec.make(noise, 0)
    rates, ranges = corrected(spec.rig)
    if base != NO_BASE and not base.startswith(SCRIPTED):
        if eyes is not None:
            raise ValueError(f"--eyes with --base {base}; allowed: one of them; a trained base sees by itself")
        policy = PolicyBase(world, Path(base))
        return Bench(RlEnv(world, policy, policy, rates, ranges, run), spec.make_expert, policy.close)
    if not isinstance(world, ArmInsertTask):
        raise ValueError(f"--base {base} with --task {task}; allowed: a checkpoint's folder; "
                         f"{base.partition(':')[0]} is for arm_insert")
    drives = NoBase() if base == NO_BASE else BiasedInsertBase(world, *scripted(base))
    if eyes is None:
        return Bench(RlEnv(world, drives, InsertState(world), rates, ranges, run), spec.make_expert, lambda: None)
    sees = Eyes(world, eyes)
    return Bench(RlEnv(world, drives, sees, rates, ranges, run), spec.make_expert, sees.close)


def scripted(base: str) -> tuple[float, float]:
    """Error, m, and pace of scripted:MILLIMETRES or scripted:MILLIMETRES,PACE."""
    error, _, pace = base.removeprefix(SCRIPTED).partition(",")
    try:
        numbers = 1e-3 * float(error), float(pace or 1.0)
    except ValueError:
        numbers = math.nan, math.nan
    if not (0.0 <= numbers[0] < math.inf and 0.0 < numbers[1] <= 1.0):
        raise ValueError(f"--base {base}; allowed: scripted:MILLIMETRES, as in scripted:3.4, or "
                         "scripted:MILLIMETRES,PACE with a pace above 0 up to 1, as in scripted:4,0.5")
    return numbers
