"""The actor's weights as a file between processes: the learner publishes, actors read before each episode."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from policies.atomic import replacing
from policies.rl.config import from_dict, to_dict
from policies.rl.deployed import Deployed
from policies.rl.episode import About, about_from, check_about
from policies.rl.learner import GRIPPER_ACTIONS, Learner
from policies.rl.networks import Actor, EnsembleMlp, critics
from policies.rl.trust import Trust

FORMAT = "1"
NAMED = 16  # hex digits of a hash that name weights in messages
WEIGHTS_NAME = "actor.safetensors"


class WeightsError(ValueError):
    """Weights that must not act; the text says what, what is allowed and what to do."""


@dataclass(frozen=True)
class Published:
    """An actor, the critics that it asks and its gripper's head in evaluation mode, what they belong to, how many
    updates made them, and the sha256 (hex) of all that."""

    actor: Actor
    critic: EnsembleMlp
    gripper: EnsembleMlp
    about: About
    version: int
    sha256: str = ""
    trust: Trust = Trust()

    @property
    def deployed(self) -> Deployed:
        """What acts."""
        return Deployed(self.actor, self.critic, self.trust.deployed)

    @property
    def exploring(self) -> Deployed:
        """What acts in episodes that are learnt from."""
        return Deployed(self.actor, self.critic, self.trust.explored)


def publish(folder: Path, learner: Learner, about: About, trust: Trust | None = None) -> None:
    """Replace the folder's weights in one step; without `trust` they act by consent where the config wants that."""
    tensors = {f"actor.{name}": value.contiguous() for name, value in learner.actor.state_dict().items()}
    tensors |= {f"gripper.{name}": value.contiguous() for name, value in learner.gripper.state_dict().items()}
    if learner.config.unanimous:  # else they take no part in acting
        tensors |= {f"critic.{name}": value.contiguous() for name, value in learner.critic.state_dict().items()}
    facts = {"config": to_dict(learner.config), "about": asdict(about), "version": learner.n_updates,
             "trust": asdict(trust or Trust())}  # fmt: skip
    with replacing(folder / WEIGHTS_NAME) as part:
        save_file(tensors, part, metadata={"format": FORMAT, "weights": json.dumps(facts)})


def load_weights(folder: Path, about: About | None = None) -> Published:
    """The newest weights of a folder; `about`, if given, is what they must belong to.

    Raises:
        WeightsError: there are none, they are damaged, of another format, or hold NaN.
        EpisodeError: they belong to another robot, base, observation or run.
    """
    path = folder / WEIGHTS_NAME
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise WeightsError(f"{path}: format {metadata.get('format')}; allowed: {FORMAT}; update actor and "
                                   "learner to one release")  # fmt: skip
            facts = json.loads(metadata["weights"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        config, trust = from_dict(facts["config"]), Trust(**facts.get("trust", {}))
        found = about_from(facts["about"])
        generator = torch.Generator()
        actor, critic = Actor(config, generator), critics(config, generator)
        gripper = EnsembleMlp(
            1, config.observation_dim, config.hidden_dim, GRIPPER_ACTIONS, config.layer_norm, generator
        )
        actor.show_by(tensors.get("actor.centre"), tensors.get("actor.axes"))
        parts = {"actor.": actor, "gripper.": gripper} | ({"critic.": critic} if config.unanimous else {})
        for part, module in parts.items():
            module.load_state_dict({n.removeprefix(part): v for n, v in tensors.items() if n.startswith(part)})
    except (OSError, SafetensorError, KeyError, TypeError, RuntimeError, json.JSONDecodeError) as error:
        raise WeightsError(f"{path} holds no weights of an actor ({error}); allowed: what a learner publishes; start "
                           "the learner first") from error  # fmt: skip
    if not all(torch.isfinite(value).all() for value in tensors.values()):
        raise WeightsError(f"{path} holds NaN or infinity; allowed: finite weights; start the run again")
    if about is not None:
        check_about(found, about)
    return Published(actor.eval(), critic.eval(), gripper.eval(), found, int(facts["version"]),
                     _digest(metadata["weights"], tensors), trust)  # fmt: skip


def _digest(facts: str, tensors: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256(facts.encode())
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].numpy().tobytes())
    return digest.hexdigest()
