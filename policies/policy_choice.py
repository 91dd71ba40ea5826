"""The policy that a person means: a checkpoint's folder, LeRobot's folder, or a class of their own."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from policies.checkpoint import load_checkpoint
from policies.home import Home, load_home
from policies.lerobot_policy import LeRobotPolicy, read_names
from policies.policy_words import LEROBOT, is_class, is_folder
from policies.predictor import Predictor
from policies.rerank import reranked
from policies.user_policy import UserPolicy
from policies.value import MODEL


@dataclass(frozen=True)
class User:
    """Who asks the policy: names of the robot, of its channels of action and state, and of its cameras."""

    robot: str
    channels: tuple[str, ...]
    cameras: tuple[str, ...]
    home: np.ndarray  # (s,) a state as it may come


@dataclass(frozen=True)
class Reranking:
    """Of `samples` chunks the critic in that folder chooses one (policies/rerank.py); 1: the policy as it is."""

    samples: int = 1
    critic: str = ""

    def __post_init__(self) -> None:
        if self.samples != 1 and not self.critic:
            raise ValueError(f"rerank:={self.samples} needs a critic that chooses; write critic:=FOLDER, made with "
                             "`retake train-value`, or rerank:=1")


NO_RERANKING = Reranking()


@dataclass(frozen=True)
class Chosen:
    """A policy in evaluation mode with what is known about it; `sha256` (hex) names it everywhere; `robot` and `task`
    are empty where it does not say. `folder`: of a checkpoint of ours, which may be written anew while it is used."""

    policy: Predictor
    robot: str
    task: str
    sha256: str
    folder: Path | None = None
    home: Home | None = None


def choose(choice: str, user: User | None = None, names: str = "", reranking: Reranking = NO_RERANKING) -> Chosen:
    """Load and check what `choice` names: FOLDER, lerobot:FOLDER or package.module:Class. `names`: see LeRobotPolicy.
    Without a user it is whoever asks that must fit. A policy that is re-ranked is another one, with another hash.

    Raises:
        ValueError: it cannot be used, and why.
    """
    if names and not choice.startswith(LEROBOT):
        raise ValueError(f"channels:={names} is about LeRobot's policies; allowed with policy:={LEROBOT}FOLDER; leave "
                         "it out")
    if reranking.samples != 1 and not is_folder(choice):
        raise ValueError(f"{choice} cannot be re-ranked; allowed: a checkpoint of ours that draws its chunks; leave "
                         "rerank:= and critic:= out")
    chosen = _chosen(choice, user, names, reranking)
    if user is not None:
        _check(choice, chosen, user)
    return chosen


def _chosen(choice: str, user: User | None, names: str, reranking: Reranking) -> Chosen:
    if choice.startswith(LEROBOT):
        theirs = LeRobotPolicy(Path(choice.removeprefix(LEROBOT)), user.channels if user else None, read_names(names))
        return Chosen(theirs, user.robot if user else "", "", theirs.sha256)  # its robots have other names
    if is_class(choice):
        own = UserPolicy(choice, user.home if user else None)
        return Chosen(own, own.robot, "", own.sha256)
    folder = Path(choice)
    checkpoint = load_checkpoint(folder, user.robot if user else None, user.channels if user else None)
    checkpoint.policy.to("cuda" if torch.cuda.is_available() else "cpu")
    home = load_home(folder, checkpoint.policy.state_normaliser)
    chosen = Chosen(checkpoint.policy, checkpoint.robot, checkpoint.task, checkpoint.sha256, folder, home)
    if reranking.samples == 1:
        return chosen
    critic = Path(reranking.critic)
    policy = reranked(checkpoint, critic, reranking.samples)
    parts = (chosen.sha256, hashlib.sha256((critic / MODEL).read_bytes()).hexdigest(), str(reranking.samples))
    return replace(chosen, policy=policy, sha256=hashlib.sha256(" ".join(parts).encode()).hexdigest())


def _check(choice: str, chosen: Chosen, user: User) -> None:
    config = chosen.policy.config
    if chosen.robot != user.robot:
        raise ValueError(f"{choice} is for {chosen.robot}; allowed: {user.robot}; take a policy of this robot")
    for what, given in (("action", config.action_channels), ("state", config.state_channels)):
        if given != user.channels:
            raise ValueError(f"{choice}: wrong {what} channels ({', '.join(given)}); allowed, in this order: "
                             f"{', '.join(user.channels)}; take a policy of this robot")
    if unknown := [name for name in config.cameras if name not in user.cameras]:
        raise ValueError(f"{choice} looks through {', '.join(unknown)}; {user.robot} has the cameras "
                         f"{', '.join(user.cameras)}; take a policy of this robot")
