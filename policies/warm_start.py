"""A policy that begins with what another one has learnt: all of it, or for another kind of policy how it sees."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from policies.checkpoint import KINDS, load_checkpoint
from policies.policy import ChunkPolicy, PolicyConfig


@dataclass(frozen=True)
class Start:
    """A policy to go on from and the sha256 of the weights that it has taken over."""

    policy: ChunkPolicy
    sha256: str


def read_start(kind: str, folder: Path | None, robot: str | None) -> Start | None:
    """A policy of this kind with the weights of the checkpoint in `folder`; None without a folder.

    Of the same kind it takes all weights; of another kind the encoders of images and of what is seen, and begins its
    own answer from nothing. Statistics, cameras, sizes and channels are the checkpoint's: the weights mean nothing
    without them.

    Raises:
        CheckpointError: there is no checkpoint, or it is for another robot.
        ValueError: the kind of policy cannot be started from it.
    """
    if folder is None:
        return None
    checkpoint = load_checkpoint(folder, robot)
    theirs = checkpoint.policy
    if type(theirs) is KINDS[kind]:
        return Start(theirs.train(), checkpoint.sha256)
    shared = {field.name: getattr(theirs.config, field.name) for field in fields(PolicyConfig)}
    policy = KINDS[kind](KINDS[kind].Config(**shared), theirs.state_normaliser, theirs.action_normaliser)
    for name in ("encoders", "context"):
        getattr(policy, name).load_state_dict(getattr(theirs, name).state_dict())
    return Start(policy, checkpoint.sha256)
