"""Value-guided re-ranking (V-GPS, Nakamoto et al. 2024, arXiv 2410.13816): a frozen policy draws several chunks, of
which a critic chooses. The policy decides what is possible, the critic what is better; nothing is trained at run time.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from policies.checkpoint import Checkpoint
from policies.policy import ChunkPolicy, PolicyConfig, generator_of
from policies.prefix import ActionPrefix
from policies.value import ChunkCritic, load_critic

MAX_SAMPLES = 64  # what a critic has not seen it may take for good, and more so the more it may choose from


class RerankedPolicy:
    """Draws one of n_samples chunks with probability softmax(Q / beta); beta 0: the best. A Predictor."""

    def __init__(self, policy: ChunkPolicy, critic: ChunkCritic, n_samples: int = 10, beta: float = 0.1) -> None:
        """
        Raises:
            ValueError: a number out of range, or the policy has but one answer.
        """
        if not 1 <= n_samples <= MAX_SAMPLES or not 0.0 <= beta < np.inf:
            raise ValueError(f"rerank {n_samples} with beta {beta}; allowed: 1 to {MAX_SAMPLES} samples, of which 1 is "
                             "the policy as it is, and a beta from 0, the best, up")
        if not policy.takes_prefix:
            raise ValueError("this policy has one answer to an observation; allowed: flow, diffusion or consistency, "
                             "which draw; leave rerank out")
        self.policy, self.n_samples, self.beta = policy, n_samples, beta
        self.critic = critic.to(policy.device).eval()

    @property
    def config(self) -> PolicyConfig:
        return self.policy.config

    @property
    def execution(self) -> str:
        return self.policy.execution

    @property
    def takes_prefix(self) -> bool:
        return self.policy.takes_prefix

    def predict(
        self, pictures: Sequence[np.ndarray], state: np.ndarray, seed: int, prefix: ActionPrefix | None = None
    ) -> np.ndarray:
        """As ChunkPolicy.predict; with one sample it is that. The observation is encoded once for all samples."""
        if self.n_samples == 1:
            return self.policy.predict(pictures, state, seed, prefix)
        policy, generator = self.policy, generator_of(seed)
        agreed = None if prefix is None else prefix.normalised(policy.action_normaliser, policy.device)
        with torch.no_grad():
            context = policy.context_of(*policy.inputs(pictures, state)).expand(self.n_samples, -1)
            chunks = policy.draw(context, generator, agreed)
            chosen = self.choose(self.critic.q(context, chunks), generator)
        return policy.action_normaliser.decode(chunks[chosen].cpu().numpy())

    def choose(self, q: torch.Tensor, generator: torch.Generator) -> int:
        """Index of the chunk that is executed, from the values (n_samples,) of all."""
        if self.beta == 0.0:
            return int(q.argmax())
        return int(torch.multinomial(torch.softmax(q.cpu() / self.beta, dim=0), 1, generator=generator))


def reranked(checkpoint: Checkpoint, critic: Path, n_samples: int, beta: float = 0.1) -> RerankedPolicy:
    """The checkpoint's policy, re-ranked by the critic in that folder, which must be its own.

    Raises:
        ValueError: they do not go together, or a number is out of range.
    """
    loaded = load_critic(critic, checkpoint.policy.config, checkpoint.sha256)
    return RerankedPolicy(checkpoint.policy, loaded, n_samples, beta)
