"""PPO on a residual, the on-policy baseline: ResiP (arXiv 2407.16677), with its clip, its fixed exploration noise and
its zero-initialised last layer without offset.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class PpoConfig:
    """`n_envs` x `n_steps` of the environment per iteration."""

    observation_dim: int
    action_dim: int
    seed: int = 0
    residual_scale: float = 0.2
    log_std: float = -1.0  # of the residual before scaling; fixed
    hidden_dim: int = 64
    n_envs: int = 8
    n_steps: int = 64
    epochs: int = 10
    n_minibatches: int = 4
    kl_stop: float = 0.1  # no further epoch beyond
    clip: float = 0.2
    gamma: float = 0.97
    gae_lambda: float = 0.95
    actor_learning_rate: float = 3e-3  # 1e-3 took longer on arm_insert
    critic_learning_rate: float = 1e-3
    grad_clip: float = 1.0


@dataclass(frozen=True)
class Rollout:
    """(steps, envs, .) float32. `raw`: residuals before scaling; `ends` 1 where the episode ended with that step;
    `after` (steps, envs): the value of what was seen last where it was truncated, else 0; `last` (envs,): the value of
    what is seen now."""

    observation: torch.Tensor
    base: torch.Tensor
    raw: torch.Tensor
    log_prob: torch.Tensor
    value: torch.Tensor
    reward: torch.Tensor
    ends: torch.Tensor
    after: torch.Tensor
    last: torch.Tensor


def advantages(rollout: Rollout, gamma: float, gae_lambda: float) -> torch.Tensor:
    """Generalised advantage estimates (steps, envs) (arXiv 1506.02438); truncated episodes bootstrap, terminated do
    not."""
    result = torch.zeros_like(rollout.reward)
    running, following = torch.zeros_like(rollout.last), rollout.last
    for t in reversed(range(len(rollout.reward))):
        goes_on = 1.0 - rollout.ends[t]
        wanted = rollout.reward[t] + gamma * (goes_on * following + rollout.after[t])
        running = wanted - rollout.value[t] + gamma * gae_lambda * goes_on * running
        result[t], following = running, rollout.value[t]
    return result


class Ppo:
    """Actor, critic and their optimiser; random numbers come from the generator alone."""

    def __init__(self, config: PpoConfig) -> None:
        self.config = config
        self.generator = torch.Generator().manual_seed(config.seed)
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            inputs = config.observation_dim + config.action_dim
            self.actor = _mlp(inputs, config.hidden_dim, config.action_dim, last_bias=False)
            self.critic = _mlp(inputs, config.hidden_dim, 1, last_bias=True)
        nn.init.zeros_(self.actor[-1].weight)  # type: ignore[arg-type]
        self.optimizer = torch.optim.Adam(
            [{"params": self.actor.parameters(), "lr": config.actor_learning_rate},
             {"params": self.critic.parameters(), "lr": config.critic_learning_rate}]
        )  # fmt: skip

    @torch.no_grad()
    def act(self, observation: torch.Tensor, base: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Actions (b, a) with noise, their raw residuals, log-probabilities (b,) and values (b,)."""
        seen = torch.cat([observation, base], -1)
        mean = self.actor(seen)
        raw = mean + math.exp(self.config.log_std) * torch.randn(mean.shape, generator=self.generator)
        return self.total(base, raw), raw, self._log_prob(mean, raw), self.critic(seen)[:, 0]

    @torch.no_grad()
    def deployed(self, observation: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
        """Actions (b, a) without noise."""
        return self.total(base, self.actor(torch.cat([observation, base], -1)))

    def total(self, base: torch.Tensor, raw: torch.Tensor) -> torch.Tensor:
        """Base and residual; the raw residual counts up to 3."""
        return base + self.config.residual_scale * raw.clamp(-3.0, 3.0)

    @torch.no_grad()
    def values(self, observation: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
        """(b,)"""
        return self.critic(torch.cat([observation, base], -1))[:, 0]

    def _log_prob(self, mean: torch.Tensor, raw: torch.Tensor) -> torch.Tensor:
        z = (raw - mean) / math.exp(self.config.log_std)
        return (-0.5 * z**2 - self.config.log_std - 0.5 * math.log(2.0 * math.pi)).sum(-1)

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Some epochs over the rollout, until the policy has moved by `kl_stop`."""
        config = self.config
        advantage = advantages(rollout, config.gamma, config.gae_lambda)
        wanted = (advantage + rollout.value).flatten()
        gain = ((advantage - advantage.mean()) / (advantage.std() + 1e-8)).flatten()
        seen = torch.cat([rollout.observation, rollout.base], -1).flatten(0, 1)
        raw, before = rollout.raw.flatten(0, 1), rollout.log_prob.flatten()
        measured: dict[str, float] = {}
        for _ in range(config.epochs):
            for rows in torch.randperm(len(seen), generator=self.generator).chunk(config.n_minibatches):
                log_ratio = self._log_prob(self.actor(seen[rows]), raw[rows]) - before[rows]
                ratio = log_ratio.exp()
                clipped = ratio.clamp(1.0 - config.clip, 1.0 + config.clip)
                policy_loss = -torch.minimum(ratio * gain[rows], clipped * gain[rows]).mean()
                value_loss = functional.mse_loss(self.critic(seen[rows])[:, 0], wanted[rows])
                self.optimizer.zero_grad(set_to_none=True)
                (policy_loss + value_loss).backward()
                for net in (self.actor, self.critic):
                    nn.utils.clip_grad_norm_(net.parameters(), config.grad_clip)
                self.optimizer.step()
            kl = float((ratio - 1.0 - log_ratio).mean().detach())
            measured = {"kl": kl, "policy_loss": float(policy_loss.detach()), "value_loss": float(value_loss.detach())}
            if kl > config.kl_stop:
                break
        return measured


def _mlp(inputs: int, hidden: int, outputs: int, last_bias: bool) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(),
        nn.Linear(hidden, outputs, bias=last_bias),
    )  # fmt: skip
