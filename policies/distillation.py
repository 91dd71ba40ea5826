"""What a one-step policy learns from: its teacher, and what the teacher's encoder saw in the recordings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from policies.checkpoint import CheckpointError, load_checkpoint
from policies.consistency import ConsistencyPolicy
from policies.dataset import Samples
from policies.generative import GenerativePolicy
from policies.policy import Batch, ChunkPolicy

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


@torch.no_grad()
def seen_in(policy: ChunkPolicy, samples: Samples) -> np.ndarray:
    """Keypoints (n, n_seen) float32 that the policy's encoders find in every frame.

    Raises:
        ValueError: the recordings have other channels than the policy.
    """
    channels, wanted = samples.episodes[0].channels, policy.config.action_channels
    if channels != wanted:
        raise ValueError(f"the recordings have the channels {', '.join(channels)}; allowed: the policy's, "
                         f"{', '.join(wanted)}; take recordings of the robot that it was trained on")
    found, nothing = [], torch.empty(0)
    for part in np.array_split(np.arange(len(samples.where)), math.ceil(len(samples.where) / 64)):
        images = torch.from_numpy(samples.images(part)).to(policy.device)
        found.append(policy.see(Batch(images, nothing, nothing)).cpu().numpy())
    return np.concatenate(found)
