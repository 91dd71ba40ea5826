"""What a residual may do while its critics are not of one mind."""

from __future__ import annotations

import torch
from made import episode, small

from policies.rl.deployed import Deployed, agreed
from policies.rl.learner import Learner

SEEN, BASE = torch.randn(200, 3, generator=torch.Generator().manual_seed(1)), torch.zeros(200, 2)


def learnt(**changes: object) -> Learner:
    """From a few episodes whose rewards mean nothing, so that the critics have no common opinion."""
    learner = Learner(small("residual", unanimous=True, warmup_steps=0, actor_every=1, **changes))
    for k in range(5):
        learner.learn(episode(20, seed=k))
    return learner


def test_where_one_critic_objects_the_base_acts_bit_by_bit() -> None:
    learner = learnt()
    acted, proposed = learner.deployed(SEEN, BASE), learner.actor(SEEN, BASE)[0]
    gain = learner.critic(torch.cat([SEEN, proposed], -1)) - learner.critic(torch.cat([SEEN, BASE], -1))
    objects = (gain <= 0.0).any(0)[:, 0]
    assert 0 < objects.sum() < len(objects)  # the test sees both
    assert torch.equal(acted[objects], BASE[objects])
    assert torch.equal(acted[~objects], proposed[~objects])


def test_exploration_goes_on_around_whatever_was_chosen() -> None:
    learner = learnt()
    noise = torch.randn(200, 2, generator=torch.Generator().manual_seed(2))
    moved = learner.deployed(SEEN, BASE, noise) - learner.deployed(SEEN, BASE)
    limit = learner.config.noise_clip
    assert torch.allclose(moved, (learner.config.exploration_std * noise).clamp(-limit, limit), atol=1e-6)


def test_an_actor_that_proposes_nothing_leaves_the_base_alone() -> None:
    learner = Learner(small("residual", unanimous=True))
    base = torch.rand(200, 2) - 0.5
    assert torch.equal(Deployed(learner.actor, learner.critic)(SEEN, base), base)
    assert torch.equal(agreed(learner.critic, SEEN, base, base), base)
