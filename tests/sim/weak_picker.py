"""A policy of arm_pick that fails now and then: the scripted expert, seen through chunks, with an aim that is off by
another draw at every try. No network, so that tests and measurements of retrying need no training."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from controllers.rigs import YAM
from policies.executed import Executed
from policies.inference import Answer
from policies.observation import Observation
from policies.policy import PolicyConfig
from sim.arm_experts import PickExpert
from sim.arm_pick import ArmPickTask

STEP_S, STEPS_A_POINT = 0.022, 3
NEXT = 16  # steps until the next observation


class WeakPicker:
    """`off_m`: standard deviation of the aim, m, in x and y; `stream`: of the random numbers."""

    def __init__(self, task: ArmPickTask, off_m: float, stream: int = 0) -> None:
        self.policy = SimpleNamespace(config=PolicyConfig(YAM.layout.channels, YAM.layout.channels, YAM.cameras))
        self._task, self._off_m, self._stream = task, off_m, stream
        self._seed, self._tries = -1, 0

    def begin(self) -> None:
        task = self._task
        self._tries = self._tries + 1 if task.seed == self._seed else 0
        self._seed = task.seed
        off = np.random.default_rng([self._seed, self._tries, self._stream]).normal(0.0, self._off_m, 2)
        self._expert: PickExpert | None = None
        self._seen = SimpleNamespace(scene=task.scene, cube=_Misjudged(task, np.array([*off, 0.0])))

    def answer(self, observation: Observation, executed: Executed, latency_s: float) -> Answer:
        reference = executed.references[-1]
        if self._expert is None:
            self._expert = PickExpert(self._seen, reference, self._seed)  # type: ignore[arg-type]
        expert, state, actions = self._expert, observation.state, []
        limiter = expert._hand._limiter
        self._seen.cube.held_at = None
        for k in range(1, self.policy.config.chunk_size * STEPS_A_POINT + 1):
            actions.append(expert.act(state, STEP_S))
            state = np.append(actions[-1][:7], observation.state[7])  # the gripper is where the cube lets it be
            self._seen.cube.held_at = state[:3] if expert.phase == "carry" else None
            if k == NEXT:
                kept = expert.phase, expert._closing_s, limiter.reference.copy(), limiter.velocity.copy()
        expert.phase, expert._closing_s, limiter.reference, limiter.velocity = kept
        return Answer(observation, np.array(actions[STEPS_A_POINT - 1 :: STEPS_A_POINT]), 0.0)


class _Misjudged:
    """The cube where the policy believes it to be; once it is lifted it is in the hand, `held_at` in what it plans."""

    def __init__(self, task: ArmPickTask, off: np.ndarray) -> None:
        self._task, self._off = task, off
        self.held_at: np.ndarray | None = None

    @property
    def position(self) -> np.ndarray:
        if self.held_at is not None:
            return self.held_at
        position = self._task.cube.position
        return position + self._off * (position[2] < 1.6 * self._task.scene.half)

    @property
    def quat_xyzw(self) -> np.ndarray:
        return self._task.cube.quat_xyzw
