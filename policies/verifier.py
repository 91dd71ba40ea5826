"""Says from the robot's pictures whether a task is done: a small classifier, trained from recorded outcomes.

It judges one moment: a picture of each camera. What matters is how often it is content with a failure, since a retrying
executor stops there and a learner is rewarded there; that rate is measured on failures that it has not seen, and
travels with the weights. A folder holds `verifier.safetensors` and `verifier.json`, nothing else is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from policies.atomic import replace_file
from policies.checkpoint import fill, read_weights
from policies.frames import decode_frame
from policies.guard import Guard
from policies.statistics import format_rate

FORMAT = 1
MODEL, DESCRIPTION = "verifier.safetensors", "verifier.json"


class VerifierError(ValueError):
    """A verifier that must not be used; the text says what, what is allowed and what to do."""


@dataclass(frozen=True)
class VerifierConfig:
    """Cameras in the network's order, size of their pictures in px."""

    cameras: tuple[str, ...]
    width: int = 128
    height: int = 96
    hidden_dim: int = 64


@dataclass(frozen=True)
class Rate:
    """Errors among `trials`, on episodes that neither training nor the threshold has seen."""

    errors: int
    trials: int

    @property
    def value(self) -> float:
        """0..1; nan without trials."""
        return self.errors / self.trials if self.trials else float("nan")

    def __str__(self) -> str:
        return format_rate(self.errors, self.trials)


class VerifierNet(nn.Module):
    """Logit of "done" for pictures (b, cameras, 3, h, w) in [-1, 1]. Pooled by maximum: somewhere in the picture is
    what says that it is done."""

    def __init__(self, config: VerifierConfig) -> None:
        super().__init__()
        dim = config.hidden_dim
        self.trunks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(3, 16, 5, stride=2, padding=2), nn.ReLU(),
                nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.GroupNorm(8, 32), nn.ReLU(),
                nn.Conv2d(32, dim, 3, stride=2, padding=1), nn.GroupNorm(8, dim), nn.ReLU(),
                nn.Conv2d(dim, dim, 3, stride=2, padding=1), nn.GroupNorm(8, dim), nn.ReLU(),
                nn.Conv2d(dim, dim, 3, padding=1), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(),
            )
            for _ in config.cameras
        )  # fmt: skip
        self.head = nn.Sequential(nn.Linear(dim * len(config.cameras), dim), nn.ReLU(), nn.Linear(dim, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        seen = [trunk(images[:, i]) for i, trunk in enumerate(self.trunks)]
        return self.head(torch.cat(seen, dim=1))[:, 0]


@dataclass(frozen=True)
class Verifier:
    """A trained classifier. `false_positive` is per failure, `false_negative` per success; `sha256` names it."""

    net: VerifierNet
    config: VerifierConfig
    robot: str
    task: str
    threshold: float
    false_positive: Rate
    false_negative: Rate
    train: dict[str, Any]
    sha256: str = ""
    guard: Guard | None = None  # where the robot is when it is done; None: it does not say
    false_alarm: Rate | None = None  # per failure, asked at every frame together with the guard

    def score(self, jpegs: Sequence[bytes]) -> float:
        """0..1, how sure it is that the task is done; one JPEG of each camera of the config."""
        if len(jpegs) != len(self.config.cameras):
            raise ValueError(f"{len(jpegs)} pictures; allowed: one of each of {', '.join(self.config.cameras)}")
        pictures = [decode_frame(jpeg, self.config.width, self.config.height) for jpeg in jpegs]
        return float(self.scores(np.stack(pictures)[None])[0])

    def scores(self, pictures: np.ndarray) -> np.ndarray:
        """(b,) for pictures (b, cameras, h, w, 3) uint8 RGB of the config's size."""
        with torch.no_grad():
            return torch.sigmoid(self.net(as_input(pictures))).numpy()

    def accepts(self, jpegs: Sequence[bytes]) -> bool:
        """True where it takes the task for done."""
        return self.score(jpegs) >= self.threshold


def as_input(pictures: np.ndarray) -> torch.Tensor:
    """Pictures (b, cameras, h, w, 3) uint8 to the network's (b, cameras, 3, h, w) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 1, 4, 2, 3).float() / 127.5 - 1.0


def _guard(told: dict[str, Any] | None) -> Guard | None:
    return None if told is None else Guard(**{name: tuple(values) for name, values in told.items()})


def save_verifier(folder: Path, verifier: Verifier) -> str:
    """Write both files, each in one step, and return the sha256 of the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = save({name: value.detach().contiguous() for name, value in verifier.net.state_dict().items()})
    sha256 = hashlib.sha256(weights).hexdigest()
    about = {
        "format": FORMAT, "robot": verifier.robot, "task": verifier.task, "config": asdict(verifier.config),
        "threshold": verifier.threshold, "false_positive": asdict(verifier.false_positive),
        "false_negative": asdict(verifier.false_negative), "train": verifier.train, "sha256": sha256,
        "guard": None if verifier.guard is None else asdict(verifier.guard),
        "false_alarm": None if verifier.false_alarm is None else asdict(verifier.false_alarm),
    }  # fmt: skip
    replace_file(folder / MODEL, weights)
    replace_file(folder / DESCRIPTION, (json.dumps(about, indent=1) + "\n").encode())
    return sha256


def load_verifier(folder: Path, robot: str | None = None, task: str | None = None) -> Verifier:
    """Read and check a verifier; `robot` and `task`, if given, must be its own.

    Raises:
        VerifierError: it cannot be used.
    """
    folder = Path(folder)
    if not (folder / MODEL).is_file() or not (folder / DESCRIPTION).is_file():
        raise VerifierError(f"{folder} is no verifier; allowed: a folder with {MODEL} and {DESCRIPTION}; make one with "
                            "`retake train-verifier`")
    try:
        about = json.loads((folder / DESCRIPTION).read_text())
        if about["format"] != FORMAT:
            raise ValueError(f"format {about['format']}, not {FORMAT}")
        config = VerifierConfig(**{**about["config"], "cameras": tuple(about["config"]["cameras"])})
        if not (0 < config.width * config.height <= 640 * 480 and 0 < config.hidden_dim <= 1024):
            raise ValueError(f"config {about['config']}")
        net = VerifierNet(config)
        fill(folder / MODEL, net, read_weights(folder / MODEL, about["sha256"], DESCRIPTION))
        verifier = Verifier(net, config, about["robot"], about["task"], float(about["threshold"]),
                            Rate(**about["false_positive"]), Rate(**about["false_negative"]), about["train"],
                            about["sha256"], _guard(about.get("guard")),
                            Rate(**about["false_alarm"]) if about.get("false_alarm") else None)
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise VerifierError(f"{folder} is damaged ({error}); allowed: the two files of one run of `retake "
                            "train-verifier`; copy both again") from error
    for what, have, wanted in (("robot", verifier.robot, robot), ("task", verifier.task, task)):
        if wanted is not None and have != wanted:
            raise VerifierError(f"{folder} verifies {what} {have}; allowed here: {wanted}; choose another verifier")
    return verifier
