"""Acting in one process: episodes with the newest weights for the learner, demonstrations, and paired evaluation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch

from policies.rl.config import RlConfig
from policies.rl.episode import RlEpisode
from policies.rl.explorer import ActsOn, Explorer, act
from policies.rl.networks import bounded
from policies.rl.weights import Published
from policies.timeline import SEGMENTS
from sim.rl_env import POLICY, EpisodeBuilder, RlEnv, Step
from sim.rl_operator import Operator
from sim.tasks import Expert

PERSON = SEGMENTS.index("teleop")


def explore(
    env: RlEnv, config: RlConfig, published: Published, seed: int, operator: Operator | None = None,
    limit_s: float = np.inf,
) -> RlEpisode:  # fmt: skip
    """One episode for the learner, in the world of `seed`, cut off at `limit_s`; an operator may intervene."""
    explorer = Explorer(config, published, seed)
    observation, base = env.reset(seed)
    if operator is not None:
        operator.begin(env, seed)
    builder = EpisodeBuilder(env, observation, base, published.version)
    while True:
        told = None if operator is None else operator.command(env)
        step = env.step(explorer.act(observation, base)) if told is None else env.step_person(told[0])
        if env.task.world.time >= limit_s and not step.terminated:
            step = replace(step, truncated=True)
        observation, base = step.observation, step.base
        if builder.add(step, POLICY if told is None else told[1]):
            return builder.episode()


def demonstrate(
    env: RlEnv, expert: Expert, start: tuple[np.ndarray, np.ndarray], stray_m: float = 0.0
) -> RlEpisode:
    """What the expert does after `env.reset`, whose answer is `start`, with the base's actions beside it. At times its
    hands stray up to `stray_m` from where it wants them, half of that along the third axis, and it sees and corrects
    that."""
    builder, strays = EpisodeBuilder(env, *start), Strays(env, stray_m)
    while not builder.add(person_step(env, expert, strays.next()), PERSON):
        pass
    return builder.episode(is_demo=True)


class Strays:
    """How far the hands are beside where they are wanted, from step to step."""

    APART, STEPS = 6, (3, 9)  # steps from one to the next at least; of one, the end excluded
    CHANCE = 0.15  # of each step after those that the next begins

    def __init__(self, env: RlEnv, most_m: float) -> None:
        self._rng, self._most_m = np.random.default_rng([env.seed, 0x57]), most_m
        self._positions = [part.rates for part in env.layout.parts if part.kind == "position"]
        self._way, self._left = np.zeros(env.layout.rate_dim), 0

    def next(self) -> np.ndarray:
        """(rate_dim,) m."""
        self._left -= 1
        if self._most_m and self._left < -self.APART and self._rng.random() < self.CHANCE:
            self._left = int(self._rng.integers(*self.STEPS))
            for rates in self._positions:
                self._way[rates] = self._rng.uniform(-self._most_m, self._most_m, 3) * (1.0, 1.0, 0.5)
        return self._way if self._left > 0 else np.zeros_like(self._way)


def person_step(env: RlEnv, expert: Expert, stray: np.ndarray | None = None) -> Step:
    """One camera period towards where the expert is at its end, `stray` (rate_dim,) beside it."""
    target = env.loop.reference
    for _ in range(round(env.rig.camera_dt / env.rig.reference_dt)):
        target = expert.act(env.loop.measured_action, env.rig.reference_dt)
    if stray is not None and stray.any():
        target = env.layout.moved(target, stray)
    return env.step_person(target)


def evaluate(
    env: RlEnv, actor: ActsOn | None, seeds: Iterable[int], noise: float = 0.0
) -> dict[int, tuple[bool, int]]:
    """Success and steps by seed, of the base alone (None) or with the actor's own actions; `noise` dithers the base
    uniformly, as a control."""
    found = {}
    for seed in seeds:
        rng = np.random.default_rng([seed, 0xD1])
        observation, base = env.reset(seed, sees=actor is not None)
        for n in range(1, 1_000_000):
            action = base
            if noise:
                proposed = torch.from_numpy(base + rng.uniform(-noise, noise, base.shape).astype(np.float32))
                action = bounded(proposed, torch.from_numpy(base)).numpy()
            if actor is not None:
                action = act(actor, observation, base)
            step = env.step(action)
            observation, base = step.observation, step.base
            if step.terminated or step.truncated:
                found[seed] = (step.reward > 0.0, n)
                break
    return found
