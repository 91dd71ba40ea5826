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


def test_no_critic_finds_what_acts_worse_than_the_base_and_none_the_rest_better_for_all() -> None:
    learner = learnt()
    acted, proposed = Deployed(learner.actor, learner.critic)(SEEN, BASE), learner.actor(SEEN, BASE)[0]

    def gain(action: torch.Tensor) -> torch.Tensor:
        q = learner.critic(torch.cat([SEEN, action], -1)) - learner.critic(torch.cat([SEEN, BASE], -1))
        return q.amin(0)[:, 0]

    alone = (acted == BASE).all(-1)
    assert 0 < alone.sum() < len(alone)  # the test sees both
    assert (gain(acted)[~alone] > 0.0).all()
    for part in (0.25, 0.5, 1.0):
        assert (gain(BASE + part * (proposed - BASE)) <= gain(acted) + 1e-5).all()


def test_exploration_goes_on_around_whatever_was_chosen() -> None:
    learner = learnt()
    noise = torch.randn(200, 2, generator=torch.Generator().manual_seed(2))
    acts = Deployed(learner.actor, learner.critic)
    moved = acts(SEEN, BASE, noise) - acts(SEEN, BASE)
    limit = learner.config.noise_clip
    assert torch.allclose(moved, (learner.config.exploration_std * noise).clamp(-limit, limit), atol=1e-6)


def test_an_actor_that_proposes_nothing_leaves_the_base_alone() -> None:
    learner = Learner(small("residual", unanimous=True))
    base = torch.rand(200, 2) - 0.5
    assert torch.equal(Deployed(learner.actor, learner.critic)(SEEN, base), base)
    assert torch.equal(agreed(learner.critic, SEEN, base, base), base)


def test_a_trusted_residual_asks_nobody() -> None:
    learner = learnt()
    assert torch.equal(Deployed(learner.actor, learner.critic, alone=True)(SEEN, BASE), learner.actor(SEEN, BASE)[0])
