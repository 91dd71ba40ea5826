"""A task for reinforcement learning: a frozen chunk policy drives, an action corrects it at every camera frame.

An action is normalised: where the reference shall be one camera period on, as the way from where it is, in units of
`action_range`. The base's action has the same form, so that their difference is the residual. An action equal to the
base's executes the base's own point, bit by bit. What is kept as executed is the way that the reference really went,
after all limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from policies.rl import observation as terms
from policies.rl.episode import KEEP_GRIPPER, About, RlEpisode
from policies.rl.observation import Rates
from policies.timeline import SEGMENTS
from sim.control_loop import ControlLoop
from sim.task_env import Task

POLICY = SEGMENTS.index("policy")


class Base(Protocol):
    """A frozen chunk policy in a task's world."""

    name: str  # sha256 of its weights, or what a scripted one is called

    def begin(self, seed: int) -> None:
        """A new episode, or a person has let go: nothing from before counts."""

    def chunk(self, reference: np.ndarray) -> np.ndarray:
        """Points (k, dim) in the rig's channels, one camera period apart, the first one period from now."""


class Observe(Protocol):
    """How an observation is made of what the robot has."""

    name: str
    dim: int

    def __call__(self, loop: ControlLoop) -> np.ndarray:
        """(dim,) float32."""


@dataclass(frozen=True)
class Step:
    """After an action: what is seen and proposed now, what was executed (a,), and how it stands."""

    observation: np.ndarray
    base: np.ndarray
    executed: np.ndarray
    reward: float
    terminated: bool
    truncated: bool


class RlEnv:
    """One world with its base policy; `rates` are the entries of the rig's rate vector that an action has."""

    def __init__(self, task: Task, base: Base, observe: Observe, rates: Sequence[int], action_range: np.ndarray,
                 run: str = "") -> None:  # fmt: skip
        """`action_range` (a,) m or rad per camera period: what 1 means."""
        self.task, self.base, self.observe = task, base, observe
        self.rig, self.layout = task.rig, task.rig.layout
        self.rates, self.action_range = np.array(rates), np.array(action_range, np.float64)
        if self.action_range.shape != self.rates.shape or not (self.action_range > 0.0).all():
            raise ValueError(f"action_range {action_range}; allowed: {len(rates)} numbers above 0, one per rate")
        self._own = Rates(self.layout, self.rates, self.action_range)
        self.loop = ControlLoop(task.world)
        self._ticks = round(self.rig.camera_dt / self.rig.reference_dt)
        self._tick_steps = round(self.rig.reference_dt / self.rig.control_dt)
        self.about = About(self.rig.name, task.name, self._own.names, observe.name, base.name, run,
                           tuple(float(r) for r in self.action_range), self.rig.camera_dt)  # fmt: skip

    def reset(self, seed: int, sees: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """The world of `seed`; the first observation (o,) and the base's action (a,). Without `sees` observations are
        0 where the base by itself looks at nothing, as long as the episode lasts."""
        self._sees = sees
        self.task.randomise(seed)
        self.loop.reset()
        self.seed = seed
        self._forget(seed)
        return self._look()

    def _forget(self, seed: int) -> None:
        self.base.begin(seed)
        self._queue: list[np.ndarray] = []

    def _look(self) -> tuple[np.ndarray, np.ndarray]:
        due = not self._queue
        observation = self.observe(self.loop) if self._sees or due else np.zeros(self.observe.dim, np.float32)
        if due:
            self._queue = list(self.base.chunk(self.loop.reference))
        self._point = self._queue.pop(0)
        self._base = self.normalised(self._point)
        return observation, self._base

    def normalised(self, target: np.ndarray) -> np.ndarray:
        """Action (a,) float32 that leads from the reference to `target` (dim,)."""
        return self._own.action(self.loop.reference, target)

    def step(self, action: np.ndarray) -> Step:
        """One camera period by an action (a,), in the channels it does not have by the base."""
        if np.array_equal(action, self._base):
            return self._advance(self._point)
        way = self.layout.difference(self.loop.reference, self._point)
        way[self.rates] = action * self.action_range
        return self._advance(self.layout.moved(self.loop.reference, way))

    def step_person(self, target: np.ndarray) -> Step:
        """One camera period by a person, towards `target` (dim,). The base starts anew from what comes of it."""
        self._forget(self.seed)
        return self._advance(target)

    def _advance(self, target: np.ndarray) -> Step:
        task, before = self.task, self.loop.reference
        target = self.layout.validated(target)
        for tick in range(1, self._ticks + 1):
            task.update()
            point = target if tick == self._ticks else self.layout.interpolate(before, target, tick / self._ticks)
            for _ in range(self._tick_steps):
                self.loop.advance(point)
        task.update()
        executed = self._own.action(before, self.loop.reference)
        success, failure = task.success(), task.failure()
        is_over = task.world.time >= task.max_episode_s
        terminated = bool(success or failure)
        observation, base = self._look()
        return Step(observation, base, executed, float(success), terminated,
                    is_over and not terminated)  # fmt: skip


def behind(loop: ControlLoop) -> np.ndarray:
    """(rate_dim,) how far the pose is behind the reference; see policies/rl/observation.py."""
    return terms.behind(loop.rig.layout, loop.reference, loop.measured_action)


class EpisodeBuilder:
    """Collects the steps of one episode."""

    def __init__(self, env: RlEnv, observation: np.ndarray, base: np.ndarray, weights_version: int = 0) -> None:
        self._env, self._version = env, weights_version
        self._observations, self._bases = [observation], [base]
        self._actions: list[np.ndarray] = []
        self._rewards: list[float] = []
        self._segments: list[int] = []
        self._end = ""

    def add(self, step: Step, segment: int = POLICY) -> bool:
        """True when the episode is over."""
        self._observations.append(step.observation)
        self._bases.append(step.base)
        self._actions.append(step.executed)
        self._rewards.append(step.reward)
        self._segments.append(segment)
        if step.terminated:
            self._end = "success" if step.reward > 0.0 else "failure"
        elif step.truncated:
            self._end = "truncated"
        return bool(self._end)

    def episode(self, is_demo: bool = False) -> RlEpisode:
        """What was collected."""
        env, n = self._env, len(self._actions)
        return RlEpisode(
            env.about, np.array(self._observations, np.float32), np.array(self._bases, np.float32),
            np.array(self._actions, np.float32), np.array(self._rewards, np.float32),
            np.array(self._segments, np.uint8), np.full(n, KEEP_GRIPPER, np.uint8), self._end, self._version, env.seed,
            is_demo,
        )  # fmt: skip
