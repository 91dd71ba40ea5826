"""Every task by name: how its world is made, seen, demonstrated and varied. The only list of the simulated tasks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from controllers import g1, rotations
from controllers.rigs import BIMANUAL_YAM, G1, YAM, Rig
from sim import arm_insert, arm_pick, arm_table
from sim.arm_cameras import arm_view
from sim.arm_experts import InsertExpert, PickExpert
from sim.arm_insert import ArmInsertTask
from sim.arm_pick import ArmPickTask, TightPickTask
from sim.arm_table import ArmTableTask
from sim.cameras import G1_VIEW, View
from sim.expert import going_on
from sim.g1_box import MAX_EPISODE_S, G1BoxTask
from sim.g1_world import G1World
from sim.reference_noise import HandNoise, ReferenceNoise
from sim.task_env import Task


class Expert(Protocol):
    """A demonstrator: where the reference shall be after `dt` more seconds, from the pose that the robot has.

    `is_clear`: nothing is in the way any more; from here a demonstration goes on."""

    is_clear: bool

    def act(self, measured: np.ndarray, dt: float) -> np.ndarray: ...


class Noise(Protocol):
    """A smooth disturbance of actions, one step of REFERENCE_DT a call."""

    def disturb(self, action: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class TaskSpec:
    """One task. `start_pose(home, rng, spread)` draws where a demonstration begins."""

    name: str
    rig: Rig
    view: View
    make: Callable[[bool, int], Task]  # sensor noise, command delay in control steps
    make_expert: Callable[[Any, np.ndarray, int], Expert]  # task, reference at the start, seed
    make_noise: Callable[[np.random.Generator, float], Noise]  # scale
    start_pose: Callable[[np.ndarray, np.random.Generator, float], np.ndarray]
    max_episode_s: float
    make_direct: Callable[[Any, np.ndarray, int], Expert]  # who goes on from where a robot is stuck, never back


class TimedExpert:
    """BoxExpert plays its plan by the clock, from the reference at the start, wherever that is."""

    is_clear = True

    def __init__(self, task: G1BoxTask, start: np.ndarray, seed: int) -> None:
        yaw = rotations.yaw_of(task.box_quat_xyzw)
        self._plan, self._start = going_on(task.scene, task.box_position, yaw, start, seed), start
        self._steps = 0

    def act(self, measured: np.ndarray, dt: float) -> np.ndarray:
        """The action (17,) that is due now."""
        action = self._plan.act(self._steps * dt, self._start)
        self._steps += 1
        return action


# Half ranges of a perturbed start at spread 1: hands (m), their turn (rad), pelvis (m, downwards only), torso (rad).
G1_HAND_M, G1_TURN, G1_HEIGHT_M, G1_PITCH = 0.08, 0.25, 0.12, 0.15
ARM_HAND_M, ARM_TURN = 0.03, 0.15


def _spread_hands(home: np.ndarray, rng: np.random.Generator, rig: Rig, metres: float, turn: float) -> np.ndarray:
    """`home` (dim,) with each hand moved and turned for itself."""
    pose = home.copy()
    for position, quat in zip(rig.layout.positions, rig.layout.quats, strict=True):
        pose[position] += rng.uniform(-metres, metres, 3)
        pose[quat] = rotations.multiply(rotations.from_rotvec(rng.uniform(-turn, turn, 3)), home[quat])
    return pose


def g1_start_pose(home: np.ndarray, rng: np.random.Generator, spread: float) -> np.ndarray:
    """(17,) action around `home` (17,)."""
    pose = _spread_hands(home, rng, G1, spread * G1_HAND_M, spread * G1_TURN)
    pose[g1.BASE_HEIGHT] -= spread * rng.uniform(0.0, G1_HEIGHT_M)
    pose[g1.TORSO_PITCH] += spread * rng.uniform(-0.3, 1.0) * G1_PITCH
    return G1.layout.validated(pose)


def _arm_task(name: str, rig: Rig, scene: Any, task: Any, expert: Any, direct: Any = None) -> TaskSpec:
    def noise(rng: np.random.Generator, scale: float) -> Noise:
        return HandNoise(rng, scale, rig)

    def start_pose(home: np.ndarray, rng: np.random.Generator, spread: float) -> np.ndarray:
        return rig.layout.validated(_spread_hands(home, rng, rig, spread * ARM_HAND_M, spread * ARM_TURN))

    view = arm_view(rig, scene.add_scene)
    return TaskSpec(name, rig, view, task, expert, noise, start_pose, scene.MAX_EPISODE_S, direct or expert)


class Resting:
    """The demonstrator of a task with nothing to do."""

    is_clear = True

    def __init__(self, task: Task, start: np.ndarray, seed: int) -> None:
        self._start = start

    def act(self, measured: np.ndarray, dt: float) -> np.ndarray:
        """Where it was."""
        return self._start


def _g1_box(noise: bool, command_delay: int) -> Task:
    return G1BoxTask(G1World(noise, command_delay))


TASKS = {
    spec.name: spec
    for spec in (
        TaskSpec("g1_box", G1, G1_VIEW, _g1_box, TimedExpert, ReferenceNoise, g1_start_pose, MAX_EPISODE_S,
                 TimedExpert),
        _arm_task("arm_pick", YAM, arm_pick, ArmPickTask, PickExpert),
        _arm_task("arm_pick_tight", YAM, arm_pick, TightPickTask, PickExpert),
        _arm_task("arm_insert", YAM, arm_insert, ArmInsertTask, InsertExpert, partial(InsertExpert, in_place=True)),
        _arm_task("arm_table", BIMANUAL_YAM, arm_table, ArmTableTask, Resting),
    )
}
HELD_OUT_SEED = 100_000  # seeds from here on are for evaluation, in every task


def task_spec(name: str) -> TaskSpec:
    """The task of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}; allowed: {', '.join(TASKS)}")
    return TASKS[name]
