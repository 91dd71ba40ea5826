"""What a killed learner continues from exactly: weights, Adam moments, how many updates, which episodes in which order.
One safetensors file, replaced in one step. The episodes are read again from their own files.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from policies.atomic import replacing
from policies.rl.config import from_dict, to_dict
from policies.rl.learner import Learner
from policies.train_state import ResumeError

STATE_NAME = "learner.safetensors"


def _modules(learner: Learner) -> dict[str, nn.Module]:
    return {"actor": learner.actor, "critic": learner.critic, "target": learner.target, "gripper": learner.gripper,
            "gripper_target": learner.gripper_target}  # fmt: skip


def _tensors(learner: Learner) -> dict[str, torch.Tensor]:
    """Everything by name, as the live tensors."""
    named = {f"{part}.{name}": value for part, module in _modules(learner).items()
             for name, value in module.state_dict().items()}  # fmt: skip
    named["log_temperature"] = learner.log_temperature.data
    for name, optimizer in learner.optimizers.items():
        for key, values in optimizer.state.items():
            named |= {f"adam.{name}.{key}.{k}": value for k, value in enumerate(values)}
    return named


def save_learner(path: Path, learner: Learner, journal: list[dict], demos: list[str]) -> None:
    """Write the state; `journal`: a line per episode, in the order in which they were learnt from."""
    about = {"config": to_dict(learner.config), "demos": demos, "n_updates": learner.n_updates,
             "journal": journal}  # fmt: skip
    tensors = {name: value.detach().clone().contiguous() for name, value in _tensors(learner).items()}
    with replacing(path) as part:
        save_file(tensors, part, metadata={"about": json.dumps(about)})


def load_learner(path: Path, learner: Learner, demos: list[str]) -> list[dict]:
    """Restore weights and moments into a new learner of the same config; returns the journal. The
    caller adds the journal's episodes to the replay."""
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()["about"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ResumeError(f"{path} is no learner's state ({error}); allowed: one that a learner wrote; start a new "
                          "run in another folder") from error  # fmt: skip
    wanted = to_dict(learner.config) | {"demos": demos}
    have = to_dict(from_dict(about["config"])) | {"demos": about["demos"]}
    if changed := [name for name in wanted if wanted[name] != have.get(name)]:
        name = changed[0]
        raise ResumeError(f"{path} was learnt with {name} {have.get(name)!r}, now {wanted[name]!r}; allowed: the same "
                          "again; give the same arguments or start a new run in another folder")  # fmt: skip
    for part, module in _modules(learner).items():
        module.load_state_dict({n.removeprefix(f"{part}."): v for n, v in tensors.items() if n.startswith(f"{part}.")})
    learner.log_temperature.data.copy_(tensors["log_temperature"])
    for name, optimizer in learner.optimizers.items():
        for key, values in optimizer.state.items():
            for k, value in enumerate(values):
                if (stored := tensors.get(f"adam.{name}.{key}.{k}")) is not None:  # older states: none before a step
                    value.copy_(stored)
    learner.n_updates = about["n_updates"]
    return about["journal"]
