"""Policy checkpoints: `model.safetensors` (float32 weights) and `policy.json` (what they are for), nothing else.

Everything about a checkpoint is checked here, once, before its policy can move anything; every refusal says what is
wrong, what is allowed and what to do.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from policies.act import ActPolicy
from policies.atomic import replace_file
from policies.consistency import ConsistencyPolicy
from policies.diffusion import DiffusionPolicy
from policies.flow import FlowPolicy
from policies.normalise import Normaliser
from policies.policy import ChunkPolicy, PolicyConfig

FORMAT = 1
KINDS: dict[str, type[ChunkPolicy]] = {
    "act": ActPolicy,
    "consistency": ConsistencyPolicy,
    "diffusion": DiffusionPolicy,
    "flow": FlowPolicy,
}
MODEL, DESCRIPTION = "model.safetensors", "policy.json"
MAX_BYTES = 10_000_000
KEYS = {"format", "kind", "robot", "task", "config", "statistics", "train", "git", "sha256"}
OLD_ENCODER = "keypoint"  # of checkpoints that do not name theirs
TUPLES = ("action_channels", "state_channels", "cameras")


class CheckpointError(ValueError):
    """A checkpoint that must not be used; the text says what, what is allowed and what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """A policy in evaluation mode with what is known about it; `sha256` (hex) of the weights names it everywhere."""

    policy: ChunkPolicy
    robot: str
    task: str
    train: dict
    git: str
    sha256: str


def save_checkpoint(folder: Path, policy: ChunkPolicy, robot: str, task: str, train: dict) -> str:
    """Write both files, each in one step, and return the sha256 of the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    kind = next(name for name, kind in KINDS.items() if type(policy) is kind)
    weights = save({name: value.detach().contiguous() for name, value in policy.state_dict().items()})
    if len(weights) > MAX_BYTES:
        raise CheckpointError(f"the weights take {len(weights)} bytes; allowed: {MAX_BYTES}; choose a smaller network")
    normalisers = {"state": policy.state_normaliser, "action": policy.action_normaliser}
    description: dict[str, Any] = {
        "format": FORMAT, "kind": kind, "robot": robot, "task": task,
        "config": dataclasses.asdict(policy.config),
        "statistics": {name: {"centre": n.centre.tolist(), "half_range": n.half_range.tolist()}
                       for name, n in normalisers.items()},
        "train": train, "git": git_hash(), "sha256": hashlib.sha256(weights).hexdigest(),
    }  # fmt: skip
    replace_file(folder / MODEL, weights)
    replace_file(folder / DESCRIPTION, (json.dumps(description, indent=1) + "\n").encode())
    return description["sha256"]


def load_checkpoint(folder: Path, robot: str | None = None, channels: tuple[str, ...] | None = None) -> Checkpoint:
    """Read and check a checkpoint folder; `robot` and `channels` (of action and state), if given, must be its own."""
    folder = Path(folder)
    if not folder.is_dir() or not (folder / MODEL).is_file() or not (folder / DESCRIPTION).is_file():
        raise CheckpointError(
            f"{folder} is no checkpoint; allowed: a folder with {MODEL} and {DESCRIPTION} (a pickle, "
            ".pt or .pth is never read); give such a folder or make one with `retake train`"
        )
    about = _read_description(folder / DESCRIPTION)
    weights = read_weights(folder / MODEL, about["sha256"], DESCRIPTION)
    try:
        policy = _build(about)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{folder / DESCRIPTION}: config or statistics are wrong ({error}); allowed: what "
            "`retake train` writes; take the file from the same run as the weights"
        ) from error
    _check_use(folder, about, policy.config, robot, channels)
    fill(folder / MODEL, policy, weights)
    return Checkpoint(policy, about["robot"], about["task"], about["train"], about["git"], about["sha256"])


def _read_description(path: Path) -> dict:
    try:
        about = json.loads(path.read_text())
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(
            f"{path} is not JSON ({error}); allowed: the file `retake train` writes; copy it again"
        ) from error
    if not isinstance(about, dict) or about.get("format") != FORMAT or about.get("kind") not in KINDS:
        found = (about.get("format"), about.get("kind")) if isinstance(about, dict) else type(about).__name__
        raise CheckpointError(
            f"{path}: format and kind are {found}; allowed: {FORMAT} and {', '.join(KINDS)}; "
            "use the release that wrote it or train again"
        )
    if set(about) != KEYS:
        raise CheckpointError(
            f"{path}: missing keys {sorted(KEYS - set(about))}, unknown keys {sorted(set(about) - KEYS)}; "
            "allowed: exactly the keys `retake train` writes; copy the file again"
        )
    return about


def read_weights(path: Path, sha256: str, description: str) -> dict[str, torch.Tensor]:
    """Tensors of a safetensors file that must have this sha256, which the file `description` beside it says.

    Raises:
        CheckpointError: it is too long, no safetensors, or another file.
    """
    if path.stat().st_size > MAX_BYTES:
        raise CheckpointError(f"{path} has {path.stat().st_size} bytes; allowed: {MAX_BYTES}; it is not one of ours")
    data = path.read_bytes()
    try:
        tensors = load(data)
    except SafetensorError as error:
        hint = (
            "a pickle or zip of torch.save"
            if data[:2] in (b"PK", b"\x80\x02", b"\x80\x04", b"\x80\x05")
            else str(error)
        )
        raise CheckpointError(
            f"{path} is not safetensors ({hint}); allowed: safetensors only, a pickle is never read; "
            "export the weights with `retake train`"
        ) from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise CheckpointError(
            f"{path}: its sha256 is not the one in {description}; allowed: the two files of one run; copy both again"
        )
    return tensors


def _build(about: dict) -> ChunkPolicy:
    """The policy that the description asks for, with random weights."""
    raw, kind = {"encoder": OLD_ENCODER, **about["config"]}, KINDS[about["kind"]]
    fields = {field.name: field for field in dataclasses.fields(kind.Config)}
    if set(raw) != set(fields):
        raise ValueError(f"config keys {sorted(set(raw) ^ set(fields))} are missing or unknown")
    for name, value in raw.items():
        if name in TUPLES:
            valid = isinstance(value, list) and value and all(isinstance(v, str) for v in value)
        else:
            valid = isinstance(value, str) if fields[name].type == "str" else type(value) is int and 0 < value < 10**10
        if not valid:
            raise ValueError(f"{name} = {value!r}")
    values: dict[str, Any] = {name: tuple(value) if name in TUPLES else value for name, value in raw.items()}
    config = kind.Config(**values)
    if max(config.width, config.height, config.hidden_dim, config.context_dim, config.n_keypoints) > 2048:
        raise ValueError("a size in config is beyond 2048")
    if max(config.chunk_size, config.n_blocks) > 256:
        raise ValueError("chunk_size or n_blocks in config is beyond 256")
    normalisers = []
    for name, channels in (("state", config.state_channels), ("action", config.action_channels)):
        numbers = [np.array(about["statistics"][name][key], np.float64) for key in ("centre", "half_range")]
        if any(v.shape != (len(channels),) or not np.isfinite(v).all() for v in numbers) or (numbers[1] <= 0.0).any():
            raise ValueError(f"statistics of {name} must be {len(channels)} finite numbers, half ranges above 0")
        normalisers.append(Normaliser(channels, *numbers))
    return kind(config, *normalisers)


def _check_use(
    folder: Path, about: dict, config: PolicyConfig, robot: str | None, channels: tuple[str, ...] | None
) -> None:
    if robot is not None and about["robot"] != robot:
        raise CheckpointError(
            f"{folder} is a policy for {about['robot']!r}; allowed here: {robot!r}; choose another checkpoint"
        )
    for what, have in (("action", config.action_channels), ("state", config.state_channels)):
        if channels is not None and have != tuple(channels):
            missing, extra = [c for c in channels if c not in have], [c for c in have if c not in channels]
            reason = f"missing {missing}, unknown {extra}" if missing or extra else "another order"
            raise CheckpointError(
                f"{folder}: wrong {what} channels ({reason}); allowed: {', '.join(channels)}; "
                "train on recordings of this robot"
            )


def fill(path: Path, model: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Load the weights that were read from `path`, exactly those of the model, and set it to evaluation.

    Raises:
        CheckpointError: names, shapes, types or numbers are not the model's.
    """
    wanted = model.state_dict()
    if set(weights) != set(wanted):
        raise CheckpointError(
            f"{path}: missing weights {sorted(set(wanted) - set(weights))[:3]}, unknown "
            f"{sorted(set(weights) - set(wanted))[:3]}; allowed: those of its config; copy it again"
        )
    for name, value in weights.items():
        if value.shape != wanted[name].shape or value.dtype != torch.float32:
            raise CheckpointError(
                f"{path}: {name} is {tuple(value.shape)} {value.dtype}; allowed: "
                f"{tuple(wanted[name].shape)} torch.float32; take both files from one run"
            )
        if not torch.isfinite(value).all():
            raise CheckpointError(
                f"{path}: {name} holds NaN or infinity; allowed: finite weights; train again"
            )
    model.load_state_dict(weights)
    model.eval()


def git_hash() -> str:
    """Commit of the code that runs, `-dirty` if it was changed since; `unknown` outside a git checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
