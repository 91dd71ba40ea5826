"""A scripted person beside a learning robot: sees late that it is stuck, takes over, leads it back to where it has been
and on from there, and lets go.

Recovery, then correction: rule 1 of RaC (arXiv 2509.07953). That a person's help ends before the task is done, so that
the policy practises the rest, is HIL-SERL's advice (arXiv 2410.21845).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from policies.timeline import SEGMENTS
from sim.arm_insert import SOCKET_HEIGHT, ArmInsertTask
from sim.rl_env import RlEnv

RECOVERY, CORRECTION = SEGMENTS.index("recovery"), SEGMENTS.index("correction")
REACTION_S = (0.3, 0.5)  # between what there is to see and the hand's first motion
STUCK_S = 1.2  # without getting closer: a person sees that nothing happens
PROGRESS_M = 0.001  # closer by this is getting closer
BACK_M = 0.02  # so far back along the way it came
AIM_M = 0.0004  # standard deviation of where a person's hand aims, per intervention
HELP_S = 2.5  # of correction before the robot may try again
FARTHER_M = 0.01  # away from the nearest it has been: a person sees that at once


def distance(task: Any) -> float:
    """m from being done, of the tasks that the person knows.

    Raises:
        ValueError: another task.
    """
    if not isinstance(task, ArmInsertTask):
        raise ValueError(f"the scripted operator does not know {task.name}; allowed: arm_insert")
    return float(np.linalg.norm(task.tip - np.array([0.0, 0.0, SOCKET_HEIGHT - 0.03])))


class Operator:
    """One person over many episodes; `begin` each. What is random comes from the seed."""

    def __init__(self, make_expert: Callable[[Any, np.ndarray, int], Any]) -> None:
        self._make_expert = make_expert
        self.interventions = 0
        self.steps = 0  # in which the person moved the robot

    def begin(self, env: RlEnv, seed: int) -> None:
        """Watch an episode that was just reset."""
        self._rng = np.random.default_rng([seed, 0x0BE])
        self._path: list[np.ndarray] = []
        self._watch(env)

    def _watch(self, env: RlEnv) -> None:
        self._segment: int | None = None
        self._nearest, self._since = distance(env.task), env.task.world.time
        self._reaction_s = float(self._rng.uniform(*REACTION_S))

    def command(self, env: RlEnv) -> tuple[np.ndarray, int] | None:
        """Where the person leads the robot in the next camera period, and the segment that this is; None: watches."""
        now = env.task.world.time
        if self._segment is None:
            self._path.append(env.loop.measured_action)
            if not self._sees_trouble(env, now):
                return None
            self._take_over(env)
        self.steps += 1
        if self._segment == RECOVERY and self._back:
            return self._back.pop(0), RECOVERY
        if self._segment == RECOVERY:
            self._segment, self._until = CORRECTION, now + HELP_S
            self._expert = self._make_expert(env.task, env.loop.reference, int(self._rng.integers(2**31)))
        if now >= self._until:
            self._watch(env)
            return None
        return self._aimed(env), CORRECTION

    def _sees_trouble(self, env: RlEnv, now: float) -> bool:
        """True a reaction time after there was something to see."""
        away = distance(env.task)
        if away < self._nearest - PROGRESS_M:
            self._nearest, self._since = away, now
        patience = 0.0 if away > self._nearest + FARTHER_M else STUCK_S
        return now - self._since >= patience + self._reaction_s

    def _take_over(self, env: RlEnv) -> None:
        """Backwards over poses that the robot has had, until far enough."""
        self.interventions += 1
        self._segment = RECOVERY
        self._aim = self._rng.normal(0.0, AIM_M, 3)
        position, here = env.layout.positions[0], env.loop.measured_action
        self._back = []
        for pose in reversed(self._path):
            self._back.append(pose)
            if np.linalg.norm(pose[position] - here[position]) > BACK_M:
                break
        del self._path[len(self._path) - len(self._back) + 1 :]

    def _aimed(self, env: RlEnv) -> np.ndarray:
        target = env.loop.reference
        for _ in range(round(env.rig.camera_dt / env.rig.reference_dt)):
            target = self._expert.act(env.loop.measured_action, env.rig.reference_dt)
        target = target.copy()
        target[env.layout.positions[0]] += self._aim
        return target
