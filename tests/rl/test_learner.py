"""Actor, critics and the updates: the first actions are the base's, and it learns where the reward is."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from made import about, episode, small

from policies.rl import config as configs
from policies.rl.explorer import Explorer
from policies.rl.learner import Learner
from policies.rl.networks import Actor, EnsembleMlp, bounded
from policies.rl.weights import Published


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_first_actions_are_the_bases_bit_by_bit():
    actor = Actor(configs.residual(6, 4), generator())
    base = torch.randn(100, 4) * 0.6
    base[0] = torch.tensor([1.7, -2.0, 1.0, -1.0])  # out of the range: no residual, no change
    action, _ = actor(torch.randn(100, 6), base)
    assert torch.equal(action, base)


def test_residual_is_bounded_and_never_pulls_the_base_back():
    base = torch.tensor([[0.95, -1.5, 0.0]])
    assert torch.equal(bounded(base + 0.2, base), torch.tensor([[1.0, -1.3, 0.2]]))
    assert torch.equal(bounded(base - 0.2, base), torch.tensor([[0.75, -1.5, -0.2]]))


def test_an_ensemble_is_its_members_side_by_side():
    net = EnsembleMlp(4, 5, 16, 2, True, generator())
    x = torch.randn(7, 5)
    together = net(x)
    for k in range(4):
        alone = EnsembleMlp(1, 5, 16, 2, True, generator())
        alone.load_state_dict({name: value[k : k + 1] for name, value in net.state_dict().items()})
        assert torch.allclose(alone(x)[0], together[k], atol=1e-6)
    assert torch.allclose(net(x, torch.tensor([2, 0])), together[[2, 0]], atol=1e-6)


def test_log_probability_of_the_stochastic_actor_is_that_of_its_density():
    actor = Actor(configs.hil(3, 1), generator())
    observation, base = torch.randn(1, 3), torch.zeros(1, 1)
    u = torch.linspace(-8, 8, 4001)[:, None]
    raw = actor.net(torch.cat([observation, base], -1))[0]
    mean, log_std = raw.chunk(2, -1)
    noise = (u - mean) / log_std.exp()
    action, log_prob = actor(observation.expand(4001, -1), base.expand(4001, -1), noise)
    mass = torch.trapezoid(log_prob.exp(), action[:, 0].double())
    assert float(mass.detach()) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("kind", ["residual", "hil"])
def test_it_learns_where_the_reward_is(kind):
    """One step: the reward is 1 where the action's first number is above 0.1."""
    config = small(kind, observation_dim=3, action_dim=2, updates_per_step=1, warmup_steps=0, actor_every=1,
                   actor_learning_rate=3e-3, critic_learning_rate=1e-2, critic_only_updates=30)  # fmt: skip
    learner = Learner(config)
    rng = np.random.default_rng(0)
    for k in range(150):
        made = episode(1, end="success", seed=k)
        action = rng.uniform(-config.residual_scale, config.residual_scale, (1, 2)).astype(np.float32)
        base = np.zeros((2, 2), np.float32)
        learner.learn(dataclasses.replace(made, action=action, base=base,
                                          reward=(action[:, 0] > 0.1).astype(np.float32)))  # fmt: skip
    action, _ = learner.actor(torch.randn(200, 3, generator=generator()), torch.zeros(200, 2))
    assert (action[:, 0] > 0.1).float().mean() > 0.9


def test_a_residual_that_earns_nothing_is_given_up_where_it_has_to_earn():
    """The reward does not know the action: without a penalty noise in the critics decides."""
    used = []
    for penalty in (0.0, 1.0):
        learner = Learner(small("residual", warmup_steps=0, actor_every=1, actor_learning_rate=3e-3,
                                critic_only_updates=30, residual_penalty=penalty))  # fmt: skip
        for k in range(150):
            learner.learn(episode(1, end="success", seed=k))
        action, _ = learner.actor(torch.randn(200, 3, generator=generator()), torch.zeros(200, 2))
        used.append(float(action.detach().abs().mean()) / learner.config.residual_scale)
    assert used[1] < 0.3 * used[0]


@pytest.mark.parametrize("version", [0, 1], ids=["warm-up", "actor"])
def test_noise_lasts_as_long_as_it_is_held(version):
    base, changes = np.zeros(2, np.float32), []
    for held in (0.0, 0.8, 1.0):
        learner = Learner(small("residual", noise_held=held))
        published = Published(learner.actor, learner.critic, learner.gripper, about(), version)
        explorer = Explorer(learner.config, published, 0)
        actions = np.array([explorer.act(np.zeros(3, np.float32), base) for _ in range(300)])
        changes.append(float((np.diff(actions, axis=0) != 0.0).any(1).mean()))
    assert changes[0] == 1.0 and changes[1] == pytest.approx(0.2, abs=0.06) and changes[2] == 0.0


def test_the_grippers_head_learns_to_close():
    config = small("hil", observation_dim=3, action_dim=2, gripper=True, grasp_penalty=0.02, warmup_steps=0,
                   critic_learning_rate=1e-2)  # fmt: skip
    learner = Learner(config)
    for k in range(30):
        made = episode(3, end="success", seed=k)
        gripper = np.random.default_rng(k).integers(0, 3, 3).astype(np.uint8)
        learner.learn(dataclasses.replace(made, gripper=gripper, reward=(gripper == 0).astype(np.float32)))
    assert (learner.gripper(torch.randn(100, 3, generator=generator()))[0].argmax(-1) == 0).float().mean() > 0.9


@pytest.mark.parametrize(("name", "value"), [("n_step", 0), ("gamma", 1.5), ("n_target_critics", 9), ("tau", -0.1),
                                             ("stochastic", True)])  # fmt: skip
def test_configs_that_cannot_learn_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} .*allowed"):
        dataclasses.replace(configs.seeing(3, 2), **{name: value})
