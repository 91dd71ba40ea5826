"""The off-policy learner: a fold over episodes. Every episode is added to the replay and followed by the updates that
its steps make due, so that the weights are a function of the config and the sequence of episodes, however often the
process is killed and started again.

Critic, n-step target over a random subset of target critics (REDQ, arXiv 2101.05982), LayerNorm, half demonstrations
(RLPD, arXiv 2302.02948), the total action of base and residual as the critic's input (ResFiT, arXiv 2509.19301).
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import get_ema_multi_avg_fn

from policies.rl.adam import Adam
from policies.rl.config import RlConfig
from policies.rl.episode import RlEpisode
from policies.rl.networks import Actor, EnsembleMlp, critics
from policies.rl.replay import Replay, Transitions

GRIPPER_ACTIONS = 3


class Learner:
    """Networks, their optimisers and the replay of one run."""

    def __init__(self, config: RlConfig) -> None:
        self.config = config
        generator = torch.Generator().manual_seed(config.seed)
        o, a, hidden = config.observation_dim, config.action_dim, config.hidden_dim
        self.actor = Actor(config, generator)
        self.critic, self.target = critics(config, generator), critics(config, generator)
        self.target.load_state_dict(self.critic.state_dict())
        self.log_temperature = nn.Parameter(torch.tensor(config.initial_temperature).log())
        self.gripper, self.gripper_target = (
            EnsembleMlp(1, o, hidden, GRIPPER_ACTIONS, config.layer_norm, generator) for _ in range(2)
        )
        self.gripper_target.load_state_dict(self.gripper.state_dict())
        self._learnt = {
            "critic": list(self.critic.parameters()),
            "actor": list(self.actor.parameters()),
            "gripper": list(self.gripper.parameters()),
            "temperature": [self.log_temperature],
        }
        self._averages = {"critic": list(self.target.parameters()), "gripper": list(self.gripper_target.parameters())}
        rates = {"critic": config.critic_learning_rate, "actor": config.actor_learning_rate,
                 "gripper": config.critic_learning_rate, "temperature": config.actor_learning_rate}  # fmt: skip
        self.optimizers = {name: Adam(learnt, rates[name], math.inf if name == "temperature" else config.grad_clip)
                           for name, learnt in self._learnt.items()}  # fmt: skip
        penalty = config.grasp_penalty if config.gripper else 0.0
        self.replay = Replay(o, a, config.n_step, config.gamma, penalty)
        self.n_updates = 0
        self._average = get_ema_multi_avg_fn(1.0 - config.tau)

    @property
    def updates_due(self) -> int:
        """How many updates the steps seen so far have earned that are not done yet."""
        c, steps = self.config, self.replay.online_steps - self.config.warmup_steps
        return max(c.critic_only_updates + c.updates_per_step * steps - self.n_updates, 0) if steps >= 0 else 0

    @property
    def acts(self) -> bool:
        """True once the actor has been updated: from then on it is worth publishing."""
        return self.n_updates > self.config.critic_only_updates

    def learn(self, episode: RlEpisode) -> dict[str, float]:
        """Add the episode and do the updates that are due; what `update` measured, of the last one that did."""
        self.replay.add(episode)
        measured: dict[str, float] = {}
        for _ in range(self.updates_due):
            measured |= self.update()
        return measured

    def update(self) -> dict[str, float]:
        """One update of the critics, and of the actor where it is its turn. Random numbers: of (seed, update) alone."""
        config = self.config
        generator = torch.Generator().manual_seed((config.seed << 32) + self.n_updates + 1)
        batch = self.replay.sample(config.batch_size, config.demo_fraction, generator)
        measured = self._update_critic(batch, generator)
        if config.gripper:
            self._update_gripper(batch)
        self.n_updates += 1
        if self.acts and self.n_updates % config.actor_every == 0:
            measured |= self._update_actor(batch, generator)
        return measured

    def _update_critic(self, batch: Transitions, generator: torch.Generator) -> dict[str, float]:
        config = self.config
        with torch.no_grad():
            noise = torch.randn(batch.action.shape, generator=generator)
            following, log_prob = self.actor(batch.next_observation, batch.next_base, noise)
            members = None  # all
            if config.n_target_critics < config.n_critics:
                members = torch.randperm(config.n_critics, generator=generator)[: config.n_target_critics]
            value = self.target(torch.cat([batch.next_observation, following], -1), members).amin(0)  # (b, 1)
            if config.stochastic and config.backup_entropy:
                value = value - self.log_temperature.exp() * log_prob[:, None]
            wanted = batch.reward + batch.discount * value
        q = self.critic(torch.cat([batch.observation, batch.action], -1))  # (critics, b, 1)
        loss = functional.mse_loss(q, wanted.expand_as(q))
        self._step("critic", config.n_critics * loss)  # each critic's own mean
        return {"critic_loss": float(loss.detach()), "q": float(q.detach().mean())}

    def _update_gripper(self, batch: Transitions) -> None:
        """Double DQN (arXiv 1509.06461): the online net chooses, the target net values."""
        with torch.no_grad():
            best = self.gripper(batch.next_observation)[0].argmax(-1, keepdim=True)
            value = self.gripper_target(batch.next_observation)[0].gather(1, best)
            wanted = batch.reward + batch.discount * value
        q = self.gripper(batch.observation)[0].gather(1, batch.gripper[:, None])
        self._step("gripper", functional.mse_loss(q, wanted))

    def _update_actor(self, batch: Transitions, generator: torch.Generator) -> dict[str, float]:
        config = self.config
        noise = torch.randn(batch.action.shape, generator=generator) if config.stochastic else None
        action, log_prob = self.actor(batch.observation, batch.base, noise)
        value = self.critic(torch.cat([batch.observation, action], -1)).mean()  # of all critics
        loss = self.log_temperature.exp().detach() * log_prob.mean() - value
        if config.residual_penalty:
            used = (action - batch.base) / config.residual_scale  # of the bound, -1..1
            loss = loss + config.residual_penalty * used.square().mean()
        self._step("actor", loss)
        if config.stochastic:
            entropy = -float(log_prob.detach().mean())
            wanted = -0.5 * config.action_dim  # as RLPD has it
            self.optimizers["temperature"].step([(self.log_temperature.exp() * (entropy - wanted)).detach()])
        return {"actor_loss": float(loss.detach()), "residual": float((action - batch.base).detach().abs().mean())}

    def _step(self, name: str, loss: torch.Tensor) -> None:
        """Gradients of this part alone: an actor's loss goes through the critics, whose weights need none."""
        learnt = self._learnt[name]
        self.optimizers[name].step(torch.autograd.grad(loss, learnt))
        if name in self._averages:
            self._average(self._averages[name], learnt, 0)
