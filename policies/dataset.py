"""Recorded episodes as training samples: which episodes, split by episode, in an order that the seed alone decides."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from policies.chunk import recorded_chunks
from policies.episode_meta import META_NAME, read_meta
from policies.frame_cache import CachedEpisode, cached_episode
from policies.frames import shifted


class DatasetError(ValueError):
    """Recordings that cannot be trained on; the text says what, what is allowed and what to do."""


@dataclass(frozen=True)
class Samples:
    """Every frame of some episodes. states (n, s) and chunks (n, chunk_size, a) in the channels' units."""

    names: list[str]
    episodes: list[CachedEpisode]
    where: np.ndarray  # (n, 2) episode, frame
    states: np.ndarray
    chunks: np.ndarray

    def images(self, index: np.ndarray, shifts: np.ndarray | None = None) -> np.ndarray:
        """Pictures (b, cameras, h, w, 3) uint8 of samples `index` (b,), each window moved by shifts (b, cameras, 2)."""
        first = self.episodes[0].images
        out = np.empty((len(index), *first.shape[1:]), np.uint8)
        for b, (episode, frame) in enumerate(self.where[index]):
            pictures = self.episodes[episode].images[frame]
            for c in range(len(pictures)):
                out[b, c] = pictures[c] if shifts is None else shifted(pictures[c], *shifts[b, c])
        return out


def find_episodes(root: Path, outcomes: tuple[str, ...] = ("success",), task: str | None = None) -> list[Path]:
    """Episode folders under root, by name, with one of the outcomes; at least one."""
    if not Path(root).is_dir():
        raise DatasetError(
            f"{root} is no folder; allowed: a folder of episodes; record some with `retake collect` or `retake up`"
        )
    folders = [path.parent for path in sorted(Path(root).glob(f"*/{META_NAME}"))]
    about = [read_meta(folder) for folder in folders]
    every = zip(folders, about, strict=True)
    pairs = [(f, a) for f, a in every if a["outcome"] in outcomes and task in (None, a["task"])]
    chosen = [folder for folder, _ in pairs]
    if not chosen:
        raise DatasetError(
            f"{root} holds {len(folders)} episodes, none with outcome {' or '.join(outcomes)}"
            f"{f' of task {task}' if task else ''}; record or collect some, or choose --outcomes"
        )
    kinds = {(a["robot"], a["task"]) for _, a in pairs}
    if len(kinds) > 1:
        raise DatasetError(
            f"{root} mixes robots or tasks: {sorted(map(str, kinds))}; allowed: one of each; choose with --task"
        )
    return chosen


def split_episodes(folders: list[Path], fraction: float, seed: int) -> tuple[list[Path], list[Path]]:
    """Training and validation folders; whole episodes, since neighbouring frames are nearly the same picture."""
    order = np.random.default_rng([seed, 0]).permutation(len(folders))
    n = min(max(1, round(fraction * len(folders))), len(folders) - 1) if fraction > 0 else 0
    held_out = set(order[:n].tolist())
    return (
        [f for i, f in enumerate(folders) if i not in held_out],
        [f for i, f in enumerate(folders) if i in held_out],
    )


def load_samples(
    folders: list[Path], cache: Path, cameras: tuple[str, ...], width: int, height: int, quiet: bool = True
) -> Samples:
    """Open the episodes through the frame cache; all must have the same channels."""
    episodes = [
        cached_episode(f, cache, cameras, width, height) for f in track(folders, "reading episodes", disable=quiet)
    ]
    for folder, episode in zip(folders, episodes, strict=True):
        if episode.channels != episodes[0].channels:
            raise DatasetError(
                f"{folder} has channels {episode.channels}; allowed: those of {folders[0]}; keep robots apart"
            )
        if not len(episode.images):
            raise DatasetError(f"{folder} holds no camera frame with a state; allowed: at least one; leave it out")
    chunks = [recorded_chunks(e.frame_stamps_ns, e.label, e.label_stamps_ns, e.channels) for e in episodes]
    where = np.concatenate([[(i, k) for k in range(len(e.images))] for i, e in enumerate(episodes)])
    return Samples(
        [f.name for f in folders], episodes, where, np.concatenate([e.state for e in episodes]), np.concatenate(chunks)
    )


def batch_at(step: int, batch_size: int, n_samples: int, seed: int) -> np.ndarray:
    """Sample indices (batch_size,) of training step `step`: consecutive pieces of one shuffle per epoch. A function of
    the step alone, so that a resumed run sees what an uninterrupted one would."""
    positions = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs = positions // n_samples
    index = np.empty(batch_size, np.int64)
    for epoch in np.unique(epochs):
        order = np.random.default_rng([seed, 1, int(epoch)]).permutation(n_samples)
        index[epochs == epoch] = order[positions[epochs == epoch] % n_samples]
    return index
