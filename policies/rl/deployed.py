"""The policy that a learner has made so far: its actor, and where the config asks for it the consent of its critics.

From the first update on an actor goes to the end of its bound wherever its critics see the least slope, and they have
seen little. A robot pays for that: on arm_insert, from pictures, success fell from 15 to 0 to 4 of 30. So as much of
its residual acts as all critics find better than the base's action alone, which they have seen most of: the part whose
least gain over the critics is greatest, nothing where one of them objects to every part. IBRL (arXiv 2311.02198)
chooses so between two policies by one value; where critics differ nothing is known yet. One learner after 3,200 steps,
40 worlds: the whole residual 30, all or nothing by the mean of the critics 32, by consent 33, in parts by consent 35.
IBRL makes its choice where critics bootstrap too: with consent there, 22 of 30 after 2,400 steps, without it 26.

Consent has its price later, and is given up then: policies/rl/trust.py.
"""

from __future__ import annotations

import torch

from policies.rl.networks import Actor, EnsembleMlp, bounded

PARTS = torch.arange(9) / 8.0  # of a residual that critics are asked for; the first is the base alone


def agreed(critic: EnsembleMlp, seen: torch.Tensor, proposed: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    """(b, a): the base's action and the part of the way to the proposed one that all critics find better by most."""
    parts = base + PARTS[:, None, None] * (proposed - base)  # (parts, b, a)
    asked = torch.cat([seen.expand(len(parts), -1, -1), parts], -1)
    values = critic(asked.flatten(0, 1)).reshape(-1, len(parts), len(base))  # (critics, parts, b)
    best = (values - values[:, :1]).amin(0).argmax(0)  # (b,), the first of equals
    return parts[best, torch.arange(len(base))]


class Deployed:
    """Total actions for observations as they come."""

    def __init__(self, actor: Actor, critic: EnsembleMlp, alone: bool = False) -> None:
        """The critics are asked only where the actor's config says so, unless it is trusted to act `alone`."""
        self.actor, self.critic = actor, critic
        self.asks = actor.config.unanimous and not alone

    @torch.no_grad()
    def __call__(
        self, observation: torch.Tensor, base: torch.Tensor, noise: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(b, a) for observations (b, o) and the base's actions (b, a); `noise` (b, a) standard normal explores."""
        seen = self.actor.shown(observation)
        if not self.asks:
            return self.actor(seen, base, noise)[0]
        chosen = agreed(self.critic, seen, self.actor(seen, base)[0], base)
        return chosen if noise is None else bounded(chosen + self.actor.explored(noise), base)
