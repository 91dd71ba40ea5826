"""Rollouts of several environments for PPO, in one process."""

from __future__ import annotations

import numpy as np
import torch

from policies.rl.ppo import Ppo, Rollout
from sim.rl_env import RlEnv


class Collector:
    """Steps its environments in turn; an episode that ends is followed by one of the next seed."""

    def __init__(self, envs: list[RlEnv], ppo: Ppo, first_seed: int) -> None:
        self._envs, self._ppo, self._next_seed = envs, ppo, first_seed
        self.ended: list[bool] = []  # success of every episode that is over
        self._now = [self._begin(env) for env in envs]

    def _begin(self, env: RlEnv) -> tuple[np.ndarray, np.ndarray]:
        self._next_seed += 1
        return env.reset(self._next_seed - 1)

    def _seen(self) -> tuple[torch.Tensor, torch.Tensor]:
        return tuple(torch.from_numpy(np.stack(part)) for part in zip(*self._now, strict=True))  # type: ignore

    def collect(self, n_steps: int) -> Rollout:
        """`n_steps` of every environment."""
        rows: list[tuple[torch.Tensor, ...]] = []
        for _ in range(n_steps):
            observation, base = self._seen()
            action, raw, log_prob, value = self._ppo.act(observation, base)
            reward, ends, after = (torch.zeros(len(self._envs)) for _ in range(3))
            for k, env in enumerate(self._envs):
                step = env.step(action[k].numpy())
                self._now[k] = step.observation, step.base
                reward[k] = step.reward
                if step.terminated or step.truncated:
                    ends[k] = 1.0
                    if step.truncated:
                        last = torch.from_numpy(step.observation)[None], torch.from_numpy(step.base)[None]
                        after[k] = self._ppo.values(*last)[0]
                    self.ended.append(step.reward > 0.0)
                    self._now[k] = self._begin(env)
            rows.append((observation, base, raw, log_prob, value, reward, ends, after))
        columns = [torch.stack(column) for column in zip(*rows, strict=True)]
        columns.append(self._ppo.values(*self._seen()))
        return Rollout(*columns)
