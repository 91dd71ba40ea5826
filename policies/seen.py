"""What encoders that do not learn see in recorded frames: computed once per frame, kept beside the decoded pictures.

Whole episodes are encoded, in batches that depend on nothing else, so what comes from the cache is bit for bit what
would be computed again.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from policies.dataset import Samples
from policies.frame_cache import CachedEpisode
from policies.policy import Batch, ChunkPolicy

BATCH = 64
VERSION = 1


def seen_in(policy: ChunkPolicy, samples: Samples) -> np.ndarray:
    """Keypoints (n, n_seen) float32 that the policy's encoders find in every frame that is learnt from.

    Raises:
        ValueError: the recordings have other channels than the policy.
    """
    channels, wanted = samples.episodes[0].channels, policy.config.action_channels
    if channels != wanted:
        raise ValueError(f"the recordings have the channels {', '.join(channels)}; allowed: the policy's, "
                         f"{', '.join(wanted)}; take recordings of the robot that it was trained on")
    name = f"seen-{encoders_digest(policy)}.safetensors"
    found = np.empty((len(samples.where), policy.n_seen), np.float32)
    for index, episode in enumerate(samples.episodes):
        rows = samples.where[:, 0] == index
        if rows.any():
            found[rows] = _episode(policy, episode, name)[samples.where[rows, 1]]
    return found


def encoders_digest(policy: ChunkPolicy) -> str:
    """Names the weights of the encoders, and the kind of device that they are on: sums differ between those."""
    digest = hashlib.sha256(f"{VERSION} {policy.device.type}".encode())
    for name, value in sorted(policy.encoders.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:24]


def _episode(policy: ChunkPolicy, episode: CachedEpisode, name: str) -> np.ndarray:
    """(frames, n_seen), from the cache where it is there."""
    path = None if episode.entry is None else episode.entry / name
    if path is not None and path.exists():
        return load_file(path)["seen"]
    seen = _encoded(policy, episode.images)
    if path is not None:
        _save(path, seen)
    return seen


@torch.no_grad()
def _encoded(policy: ChunkPolicy, images: np.ndarray) -> np.ndarray:
    found, nothing = [], torch.empty(0)
    for first in range(0, len(images), BATCH):
        part = torch.from_numpy(np.array(images[first : first + BATCH])).to(policy.device)
        found.append(policy.see(Batch(part, nothing, nothing)).cpu().numpy())
    return np.concatenate(found)


def _save(path: Path, seen: np.ndarray) -> None:
    """In one step; another process may be writing the same."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    save_file({"seen": seen}, part)
    os.replace(part, path)
