"""What a one-step policy learns from: its teacher."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from policies.checkpoint import CheckpointError, load_checkpoint
from policies.consistency import ConsistencyPolicy
from policies.generative import GenerativePolicy

STUDENT = "consistency"
TEACHERS = "flow or diffusion"


@dataclass(frozen=True)
class Teacher:
    """A generative policy and the sha256 that names it."""

    policy: GenerativePolicy
    sha256: str


def read_teacher(kind: str, folder: Path | None, robot: str | None) -> Teacher | None:
    """The teacher in `folder` of a policy of this kind, None for kinds that have none.

    Raises:
        ValueError: the kind and the folder do not go together, or the checkpoint is no teacher.
    """
    if folder is None and kind != STUDENT:
        return None
    if folder is None or kind != STUDENT:
        raise ValueError(f"--policy {kind} {'without' if folder is None else 'with'} --teacher; allowed: --policy "
                         f"{STUDENT} --teacher CHECKPOINT; the teacher is a {TEACHERS} policy of `retake train`")
    checkpoint = load_checkpoint(folder, robot)
    policy = checkpoint.policy
    if not isinstance(policy, GenerativePolicy) or isinstance(policy, ConsistencyPolicy):
        raise CheckpointError(f"{folder} is no teacher; allowed: a {TEACHERS} policy, which takes several steps from "
                              "noise to a chunk; train one first")
    return Teacher(policy, checkpoint.sha256)
