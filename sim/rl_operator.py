"""The person of sim/teleoperator.py beside a learning robot, in its environment's steps: sees late that it is stuck,
takes over, leads it back to where it has been and on from there, and lets go.

Recovery, then correction: rule 1 of RaC (arXiv 2509.07953). That a person's help ends before the task is done, so that
the policy practises the rest, is HIL-SERL's advice (arXiv 2410.21845).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from policies.timeline import SEGMENTS
from sim.progress import Progress, eye_of
from sim.rl_env import RlEnv
from sim.teleoperator import REACTION_S, Aim, Trouble, apart

RECOVERY, CORRECTION = SEGMENTS.index("recovery"), SEGMENTS.index("correction")
HELP_S = 2.5  # of correction before the robot may try again


class Operator:
    """One person over many episodes; `begin` each. What is random comes from the seed."""

    def __init__(self, make_expert: Callable[[Any, np.ndarray, int], Any]) -> None:
        self._make_expert = make_expert
        self.interventions = 0
        self.steps = 0  # in which the person moved the robot

    def begin(self, env: RlEnv, seed: int) -> None:
        """Watch an episode that was just reset.

        Raises:
            ValueError: nobody can judge its task.
        """
        self._eye, self._rng = eye_of(env.task.name), np.random.default_rng([seed, 0x0BE])
        self._path: list[np.ndarray] = []
        self._watch(env)

    def _watch(self, env: RlEnv) -> None:
        self._segment: int | None = None
        self._trouble = Trouble(self._eye, self._seen(env), env.task.world.time)
        self._reaction_s = float(self._rng.uniform(*REACTION_S))

    def _seen(self, env: RlEnv) -> Progress:
        return self._eye.look(env.task, env.loop.measured_action)

    def command(self, env: RlEnv) -> tuple[np.ndarray, int] | None:
        """Where the person leads the robot in the next camera period, and the segment that this is; None: watches."""
        now = env.task.world.time
        if self._segment is None:
            self._path.append(env.loop.measured_action)
            if self._trouble.watch(self._seen(env), now) < self._reaction_s:
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
        return self._led(env), CORRECTION

    def _take_over(self, env: RlEnv) -> None:
        """Backwards over poses that the robot has had, until far enough."""
        self.interventions += 1
        self._segment, self._aim = RECOVERY, Aim(self._eye, env.rig, self._rng)
        here, self._back = env.loop.measured_action, []
        for pose in reversed(self._path):
            self._back.append(pose)
            if apart(pose, here, env.rig) > self._eye.back_m:
                break
        del self._path[len(self._path) - len(self._back) + 1 :]

    def _led(self, env: RlEnv) -> np.ndarray:
        target = env.loop.reference
        for _ in range(round(env.rig.camera_dt / env.rig.reference_dt)):
            target = self._expert.act(env.loop.measured_action, env.rig.reference_dt)
        return self._aim.moved(target)
