"""How good is a chunk here? A small critic on what a frozen policy's encoder makes of an observation.

Q(observation, chunk) is the discounted success of the episodes in which that chunk was executed there (Monte-Carlo
regression: no bootstrapping, so nothing can diverge; what it values is the policy that recorded them). Checkpoints are
`critic.safetensors` and `critic.json`, and belong to one checkpoint of a policy.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn

from policies.atomic import replace_file
from policies.checkpoint import CheckpointError, fill, git_hash, read_weights
from policies.policy import PolicyConfig

FORMAT = 1
MODEL, DESCRIPTION = "critic.safetensors", "critic.json"


@dataclass(frozen=True)
class CriticConfig:
    """Sizes of the network: of its inputs as the policy has them, and of its two hidden layers."""

    context_dim: int
    chunk_size: int
    action_dim: int
    hidden_dim: int = 256

    @classmethod
    def of(cls, policy: PolicyConfig) -> CriticConfig:
        """For the observations and chunks of a policy."""
        return cls(policy.context_dim, policy.chunk_size, len(policy.action_channels))


class ChunkCritic(nn.Module):
    """Contexts (b, context_dim) and normalised chunks (b, chunk_size, a) to logits (b,); their sigmoid is Q in 0..1."""

    def __init__(self, config: CriticConfig) -> None:
        super().__init__()
        self.config = config
        hidden = config.hidden_dim
        self.layers = nn.Sequential(
            nn.Linear(config.context_dim + config.chunk_size * config.action_dim, hidden), nn.LayerNorm(hidden),
            nn.SiLU(), nn.Linear(hidden, hidden), nn.LayerNorm(hidden), nn.SiLU(), nn.Linear(hidden, 1),
        )  # fmt: skip

    def forward(self, context: torch.Tensor, chunk: torch.Tensor) -> torch.Tensor:
        return self.layers(torch.cat([context, chunk.flatten(1)], dim=1))[:, 0]

    def q(self, context: torch.Tensor, chunk: torch.Tensor) -> torch.Tensor:
        """Discounted success (b,) to expect, 0..1."""
        return torch.sigmoid(self(context, chunk))


def save_critic(folder: Path, critic: ChunkCritic, policy_sha256: str, train: dict) -> str:
    """Write both files, each in one step, and return the sha256 of the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = save({name: value.detach().contiguous() for name, value in critic.state_dict().items()})
    about = {"format": FORMAT, "policy": policy_sha256, "config": asdict(critic.config), "train": train,
             "git": git_hash(), "sha256": hashlib.sha256(weights).hexdigest()}  # fmt: skip
    replace_file(folder / MODEL, weights)
    replace_file(folder / DESCRIPTION, (json.dumps(about, indent=1) + "\n").encode())
    return str(about["sha256"])


def load_critic(folder: Path, policy: PolicyConfig, policy_sha256: str) -> ChunkCritic:
    """Read the critic of this policy, in evaluation mode.

    Raises:
        CheckpointError: the folder holds none, another policy's, or a damaged one.
    """
    if not (folder / MODEL).is_file() or not (folder / DESCRIPTION).is_file():
        raise CheckpointError(f"{folder} is no critic; allowed: a folder with {MODEL} and {DESCRIPTION}; make one with "
                              "`retake train-value`")
    path = folder / DESCRIPTION
    try:
        about = json.loads(path.read_text())
        found = (about["format"], about["policy"], about["config"], about["sha256"])
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is not what `retake train-value` writes ({error}); copy it again") from error
    wanted = CriticConfig.of(policy)
    if found[0] != FORMAT or found[1] != policy_sha256 or found[2] != asdict(wanted):
        raise CheckpointError(f"{folder} is format {found[0]} for the policy {str(found[1])[:12]}; allowed: format "
                              f"{FORMAT} for {policy_sha256[:12]}, whose encoder it looks through; train a critic for "
                              "this checkpoint with `retake train-value`")
    critic = ChunkCritic(wanted)
    fill(folder / MODEL, critic, read_weights(folder / MODEL, found[3], DESCRIPTION))
    return critic
