"""The transitions of all episodes in memory, ready for sampling: demonstrations and what was collected online.

A person's transitions are in both buffers, the policy's in the online one only (HIL-SERL, section IV). Nothing is kept
twice: a buffer is a list of rows. A row is a step; each episode has one row more, which is where its last step leads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from policies.rl.episode import KEEP_GRIPPER, RlEpisode

FIRST_ROWS = 4096


@dataclass(frozen=True)
class Transitions:
    """A batch, float32 (b, .) except gripper (b,) int64. `discount` (b, 1) is gamma^k towards `next_*`, k steps on, and
    0 where the episode terminated; `reward` (b, 1) is the discounted sum of those k steps."""

    observation: torch.Tensor
    base: torch.Tensor
    action: torch.Tensor
    reward: torch.Tensor
    discount: torch.Tensor
    gripper: torch.Tensor
    next_observation: torch.Tensor
    next_base: torch.Tensor


class Replay:
    """Grows with every episode; 200,000 steps of 300 numbers take 240 MB."""

    def __init__(
        self, observation_dim: int, action_dim: int, n_step: int, gamma: float, grasp_penalty: float = 0.0
    ) -> None:
        self._n_step, self._gamma, self._penalty = n_step, gamma, grasp_penalty
        o, a = observation_dim, action_dim
        self._parts = [o, a, a, 1, 1, 1]  # observation, base, action, reward, discount, gripper
        self._rows = torch.zeros(FIRST_ROWS, sum(self._parts))
        self._next = torch.zeros(FIRST_ROWS, dtype=torch.int64)
        self._used = 0
        self._demo = _Rows()
        self._online = _Rows()

    @property
    def demo_steps(self) -> int:
        """Steps in the buffer of demonstrations and interventions."""
        return self._demo.count

    @property
    def online_steps(self) -> int:
        """Steps collected while the learner ran."""
        return self._online.count

    def add(self, episode: RlEpisode) -> None:
        """Append a checked episode."""
        n, start = len(episode), self._used
        self._reserve(start + n + 1)
        steps, following = self._reward_and_next(episode)
        rows = torch.zeros(n + 1, sum(self._parts))
        observation, base, action, reward, discount, gripper = rows.split(self._parts, dim=1)
        observation[:] = torch.from_numpy(episode.observation)
        base[:] = torch.from_numpy(episode.base)
        action[:n] = torch.from_numpy(episode.action)
        reward[:n, 0], discount[:n, 0] = torch.from_numpy(steps[0]), torch.from_numpy(steps[1])
        gripper[:n, 0] = torch.from_numpy(episode.gripper.astype(np.float32))
        self._rows[start : start + n + 1] = rows
        self._next[start : start + n] = start + torch.from_numpy(following)
        self._used = start + n + 1
        mine = np.arange(start, start + n)
        if episode.is_demo:
            self._demo.extend(mine)
        else:
            self._online.extend(mine)
            self._demo.extend(mine[episode.intervention])

    def _reward_and_next(self, episode: RlEpisode) -> tuple[np.ndarray, np.ndarray]:
        """n-step rewards and discounts (2, n) float32, and the rows (n,) they lead to, counted from the episode's."""
        n = len(episode)
        moved = episode.gripper != KEEP_GRIPPER
        reward = episode.reward.astype(np.float64) - self._penalty * moved
        following = np.minimum(np.arange(n) + self._n_step, n)
        total = np.zeros(n)
        for k in range(self._n_step):
            total[: max(n - k, 0)] += self._gamma**k * reward[k:]
        discount = self._gamma ** (following - np.arange(n)).astype(np.float64)
        if episode.end != "truncated":
            discount[following == n] = 0.0
        return np.stack([total, discount]).astype(np.float32), following

    def sample(self, batch_size: int, demo_fraction: float, generator: torch.Generator) -> Transitions:
        """A batch: `demo_fraction` of it from the demonstrations where there are any, the rest online where any.

        Raises:
            ValueError: there is nothing to sample from.
        """
        if not self._demo.count and not self._online.count:
            raise ValueError("the replay is empty; collect or import an episode first")
        wanted = round(demo_fraction * batch_size) if self._online.count else batch_size
        from_demo = wanted if self._demo.count else 0
        rows = torch.cat([self._demo.draw(from_demo, generator), self._online.draw(batch_size - from_demo, generator)])
        now, then = (self._rows.index_select(0, which) for which in (rows, self._next[rows]))
        observation, base, action, reward, discount, gripper = now.split(self._parts, dim=1)
        next_observation, next_base = then.split(self._parts, dim=1)[:2]
        return Transitions(observation, base, action, reward, discount, gripper[:, 0].long(), next_observation,
                           next_base)  # fmt: skip

    def _reserve(self, rows: int) -> None:
        if rows <= len(self._rows):
            return
        size = max(rows, 2 * len(self._rows))
        grown, following = torch.zeros(size, self._rows.shape[1]), torch.zeros(size, dtype=torch.int64)
        grown[: self._used], following[: self._used] = self._rows[: self._used], self._next[: self._used]
        self._rows, self._next = grown, following


class _Rows:
    """A growing list of row numbers to draw from."""

    def __init__(self) -> None:
        self._rows = torch.zeros(FIRST_ROWS, dtype=torch.int64)
        self.count = 0

    def extend(self, rows: np.ndarray) -> None:
        if self.count + len(rows) > len(self._rows):
            size = max(2 * len(self._rows), self.count + len(rows))
            self._rows = torch.cat([self._rows, torch.zeros(size - len(self._rows), dtype=torch.int64)])
        self._rows[self.count : self.count + len(rows)] = torch.from_numpy(rows)
        self.count += len(rows)

    def draw(self, k: int, generator: torch.Generator) -> torch.Tensor:
        if k == 0:
            return torch.zeros(0, dtype=torch.int64)
        return self._rows[torch.randint(self.count, (k,), generator=generator)]
