"""The policy that a learner has made so far: its actor, and where the config asks for it the consent of its critics.

From the first update on an actor goes to the end of its bound wherever its critics see the least slope, and they have
seen little. A robot pays for that: on arm_insert, from pictures, success fell from 15 to 0 to 4 of 30. So an actor's
action counts where each critic of the ensemble finds it better than the base's, which they have seen most of; elsewhere
the base acts alone. IBRL (arXiv 2311.02198) chooses so between two policies by one value; where critics differ nothing
is known yet. IBRL makes the same choice where critics bootstrap: asked for consent there, nothing more was learnt after
2,400 steps (22 of 30) than before them; without it 26 of 30 after 2,100.
"""

from __future__ import annotations

import torch

from policies.rl.networks import Actor, EnsembleMlp, bounded


def agreed(critic: EnsembleMlp, seen: torch.Tensor, proposed: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    """(b, a): the proposed action where all critics find it better, the base's elsewhere."""
    better = critic(torch.cat([seen, proposed], -1)) - critic(torch.cat([seen, base], -1))  # (critics, b, 1)
    return torch.where(better.amin(0) > 0.0, proposed, base)


class Deployed:
    """Total actions for observations as they come."""

    def __init__(self, actor: Actor, critic: EnsembleMlp) -> None:
        """`critic` is asked only where the actor's config says so."""
        self.actor, self.critic = actor, critic

    @torch.no_grad()
    def __call__(
        self, observation: torch.Tensor, base: torch.Tensor, noise: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(b, a) for observations (b, o) and the base's actions (b, a); `noise` (b, a) standard normal explores."""
        config, seen = self.actor.config, self.actor.shown(observation)
        if not config.unanimous:
            return self.actor(seen, base, noise)[0]
        chosen = agreed(self.critic, seen, self.actor(seen, base)[0], base)
        return chosen if noise is None else bounded(chosen + self.actor.explored(noise), base)
