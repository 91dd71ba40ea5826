"""PPO: it starts as the base, its advantages are those of the definition, it finds the reward."""

from __future__ import annotations

import torch

from policies.rl.ppo import Ppo, PpoConfig, Rollout, advantages


def rollout(n: int, reward, ends, after, value, last) -> Rollout:
    column = [torch.tensor(x, dtype=torch.float32)[:, None] for x in (value, reward, ends, after)]
    empty = torch.zeros(n, 1, 1)
    return Rollout(empty, empty, empty, empty[..., 0], *column, last=torch.tensor([last]))


def test_the_first_deployed_actions_are_the_bases_bit_by_bit():
    ppo = Ppo(PpoConfig(3, 2))
    base = torch.randn(20, 2)
    assert torch.equal(ppo.deployed(torch.randn(20, 3), base), base)


def test_advantages_are_discounted_sums_that_stop_at_an_end_and_bootstrap_where_truncated():
    made = rollout(4, [0, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0.5], [0.1, 0.2, 0.3, 0.4], 9.0)
    found = advantages(made, gamma=0.9, gae_lambda=1.0)[:, 0]
    returns = torch.tensor([0.9, 1.0, 0.9 * 0.9 * 0.5, 0.9 * 0.5])
    assert torch.allclose(found, returns - made.value[:, 0], atol=1e-6)
    goes_on = rollout(2, [0, 0], [0, 0], [0, 0], [0.0, 0.0], 2.0)
    assert torch.allclose(advantages(goes_on, 0.9, 1.0)[:, 0], torch.tensor([2 * 0.81, 2 * 0.9]))


def test_it_learns_where_the_reward_is():
    ppo = Ppo(PpoConfig(3, 2, actor_learning_rate=3e-3, n_minibatches=2))
    for _ in range(12):
        observation, base = torch.randn(256, 3, generator=ppo.generator), torch.zeros(256, 2)
        action, raw, log_prob, value = ppo.act(observation, base)
        reward = (action[:, 0] > 0.1).float()
        ends, none = torch.ones(1, 256), torch.zeros(1, 256)
        ppo.update(Rollout(observation[None], base[None], raw[None], log_prob[None], value[None], reward[None], ends,
                           none, torch.zeros(256)))  # fmt: skip
    assert (ppo.deployed(torch.randn(200, 3), torch.zeros(200, 2))[:, 0] > 0.1).float().mean() > 0.9
