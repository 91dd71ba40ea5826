"""What a training run needs to continue exactly: weights, average weights, Adam moments, step. One safetensors file,
replaced in one step, so that a kill at any instant leaves the previous or the next state, never a mixture.

Random numbers need no state: shuffle, augmentation and noise of step k are functions of (seed, k).
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from policies.atomic import replacing

STATE_NAME = "training.safetensors"
MOMENTS = ("exp_avg", "exp_avg_sq")


class ResumeError(ValueError):
    """A run that cannot be continued; the text says what, what is allowed and what to do."""


def save_state(
    folder: Path, model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, about: dict
) -> None:
    """Write the state; `about` (JSON) says the step and everything that must be equal on resume."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.state_dict().items()}
    for name, parameter in _learning(model):
        tensors |= {f"{moment}.{name}": optimizer.state[parameter][moment] for moment in MOMENTS}
    with replacing(folder / STATE_NAME) as part:
        save_file(
            {name: value.contiguous() for name, value in tensors.items()}, part, metadata={"about": json.dumps(about)}
        )


def load_state(
    folder: Path, model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, same: dict
) -> dict:
    """Restore the state in place and return its `about`; `same` must be what the run was started with."""
    path = folder / STATE_NAME
    if not path.is_file():
        raise ResumeError(
            f"{folder} has no {STATE_NAME}; allowed: a folder of a started run; leave --resume out to start one"
        )
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()["about"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ResumeError(f"{path} is not a training state ({error}); start again with another --out") from error
    changed = [name for name, value in same.items() if about["same"].get(name) != value]
    if changed:
        name = changed[0]
        raise ResumeError(
            f"--resume with another {name}: {same[name]!r}; allowed: {about['same'].get(name)!r} as at the "
            "start of the run; give the same arguments and data, or start a new --out"
        )
    for prefix, module in (("model.", model), ("average.", average)):
        module.load_state_dict({n[len(prefix) :]: v for n, v in tensors.items() if n.startswith(prefix)})
    for name, parameter in _learning(model):
        state = {moment: torch.empty_like(parameter).copy_(tensors[f"{moment}.{name}"]) for moment in MOMENTS}
        # In the parameter's own memory layout: the fused optimizer walks all of them in step.
        step = torch.tensor(float(about["step"]), device=parameter.device)
        optimizer.state[parameter] = {"step": step, **state}
    return about


def _learning(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """The parameters that are not frozen, by name."""
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
