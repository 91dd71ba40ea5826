"""A world whose success is told by a verifier, as on a robot: the truth is not looked at until the episode is over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from policies.rl.success import Detector, Watch
from policies.verifier import Verifier, VerifierError
from sim.rl_env import RlEnv, Step
from sim.rl_policy import Eyes


class JudgedEnv(RlEnv):
    """An RlEnv in which an episode ends with success when the verifier says so, or as a failure when the task has
    become hopeless, which a person would see. `watch` counts what it said beside the truth."""

    def __init__(self, env: RlEnv, verifier: Verifier, folder: Path) -> None:
        """The same world as `env`, which is seen through the verifier's cameras too; `folder` of the run.

        Raises:
            VerifierError: it does not, or the verifier cannot tell a learner.
        """
        super().__init__(env.task, env.base, env.observe, env.rates.tolist(), env.action_range, env.about.run)
        if not isinstance(env.observe, Eyes):
            raise VerifierError("a verifier looks at pictures; allowed: a checkpoint as the base, or as --eyes, not "
                                f"{env.observe.name}")  # fmt: skip
        self._seen_by, self._cameras = env.observe, verifier.config.cameras
        self._detector = Detector(verifier, self.layout.channels, env.observe.policy.config.cameras)
        self.watch = Watch(verifier, folder)

    def reset(self, seed: int, sees: bool = True) -> tuple[np.ndarray, np.ndarray]:
        self._detector.begin()
        self._was_done = False
        return super().reset(seed, sees)

    def step(self, action: np.ndarray) -> Step:
        return self._judged(super().step(action))

    def step_person(self, target: np.ndarray) -> Step:
        return self._judged(super().step_person(target))

    def _judged(self, step: Step) -> Step:
        self._was_done |= step.reward > 0.0
        says = self._detector.says([self._seen_by.jpegs[name] for name in self._cameras], self.loop.measured_action)
        is_hopeless = step.terminated and step.reward == 0.0
        is_late = self.task.world.time >= self.task.max_episode_s
        judged = replace(step, reward=float(says), terminated=says or is_hopeless,
                         truncated=is_late and not says and not is_hopeless)
        if judged.terminated or judged.truncated:
            self.watch.add(said=says, true=self._was_done)
        return judged
