"""Recorded episodes as training samples: which episodes, split by episode, which of their frames and how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from rich.progress import track

from policies.frame_cache import CachedEpisode, cached_episode
from policies.frames import shifted
from policies.quality import return_of
from policies.sampling import trajectory_weights
from policies.segments import EVERY_DRIVEN, choose, parse_segments, weighted_spans
from policies.sources import Source, sources_of

THUMBNAIL = (4, 3)  # pixels: enough to tell one start from another


class DatasetError(ValueError):
    """Recordings that cannot be trained on; the text says what, what is allowed and what to do."""


@dataclass(frozen=True)
class Samples:
    """The frames of some episodes that are learnt from. states (n, s), chunks (n, chunk_size, a) in the channels'
    units; a sample of twice the weight (n,) is drawn twice as often; segment (n,) is the recorder's name for it."""

    names: list[str]
    episodes: list[CachedEpisode]
    where: np.ndarray  # (n, 2) episode, frame
    states: np.ndarray
    chunks: np.ndarray
    weight: np.ndarray
    segment: np.ndarray

    def images(self, index: np.ndarray, shifts: np.ndarray | None = None) -> np.ndarray:
        """Pictures (b, cameras, h, w, 3) uint8 of samples `index` (b,), each window moved by shifts (b, cameras, 2)."""
        first = self.episodes[0].images
        out = np.empty((len(index), *first.shape[1:]), np.uint8)
        for b, (episode, frame) in enumerate(self.where[index]):
            pictures = self.episodes[episode].images[frame]
            for c in range(len(pictures)):
                out[b, c] = pictures[c] if shifts is None else shifted(pictures[c], *shifts[b, c])
        return out

    def frames_of(self) -> dict[str, int]:
        """How many frames there are of each segment."""
        return dict(Counter(self.segment.tolist()))


def find_episodes(
    roots: Path | Sequence[Path],
    outcomes: tuple[str, ...] = ("success",),
    task: str | None = None,
    segments: str = EVERY_DRIVEN,
) -> list[Source]:
    """Episodes below the roots (folders of recordings, or LeRobot datasets), in the roots' order and by name, that have
    one of the outcomes and some of the segments; at least one."""
    roots = [roots] if isinstance(roots, Path) else list(roots)
    weights = parse_segments(segments)
    every: list[Source] = []
    for root in roots:
        if not root.is_dir():
            raise DatasetError(
                f"{root} is no folder; allowed: a folder of episodes or a LeRobot dataset; record some with "
                "`retake collect` or `retake up`"
            )
        every += sources_of(root)
    where = " and ".join(map(str, roots))
    chosen = [e for e in every if e.meta["outcome"] in outcomes and task in (None, e.meta["task"])]
    if not chosen:
        raise DatasetError(
            f"{where} holds {len(every)} episodes, none with outcome {' or '.join(outcomes)}"
            f"{f' of task {task}' if task else ''}; record or collect some, or choose --outcomes"
        )
    kinds = {(e.meta["robot"], e.meta["task"]) for e in chosen}
    if len(kinds) > 1:
        raise DatasetError(
            f"{where} mixes robots or tasks: {sorted(map(str, kinds))}; allowed: one of each; choose with --task"
        )
    spans = {e.name: weighted_spans(e.meta, weights) for e in chosen}
    kept = [e for e in chosen if any(weight > 0.0 for _, weight in spans[e.name])]
    if not kept:
        seen = sorted({span.name for each in spans.values() for span, _ in each})
        raise DatasetError(f"{where} has no segment of --segments {segments}; there are: {', '.join(seen)}")
    twice = [name for name, n in Counter(e.name for e in kept).items() if n > 1]
    if twice:
        raise DatasetError(f"{where}: episode {twice[0]} is there twice; allowed: once; leave one --data out")
    return kept


def split_episodes(episodes: list[Source], fraction: float, seed: int) -> tuple[list[Source], list[Source]]:
    """Training and validation episodes; whole ones, since neighbouring frames are nearly the same picture."""
    order = np.random.default_rng([seed, 0]).permutation(len(episodes))
    n = min(max(1, round(fraction * len(episodes))), len(episodes) - 1) if fraction > 0 else 0
    held_out = set(order[:n].tolist())
    return (
        [e for i, e in enumerate(episodes) if i not in held_out],
        [e for i, e in enumerate(episodes) if i in held_out],
    )


def load_samples(
    sources: Sequence[Source],
    cache: Path,
    cameras: tuple[str, ...],
    width: int,
    height: int,
    quiet: bool = True,
    segments: str = EVERY_DRIVEN,
    weighting: str = "uniform",
    temperature: float = 0.1,
) -> Samples:
    """Open the episodes through the frame cache; all must have the same channels. For segments and weights see
    `policies.segments` and `policies.sampling`."""
    episodes = [
        cached_episode(s, cache, cameras, width, height) for s in track(sources, "reading episodes", disable=quiet)
    ]
    for source, episode in zip(sources, episodes, strict=True):
        if episode.channels != episodes[0].channels:
            raise DatasetError(
                f"{source.name} has channels {episode.channels}; allowed: those of {sources[0].name}; keep robots apart"
            )
        if not len(episode.images):
            raise DatasetError(f"{source.name} holds no camera frame with a state; allowed: one at least; leave it out")
    weights = parse_segments(segments)
    chosen = [choose(episode, source.meta, weights) for source, episode in zip(sources, episodes, strict=True)]
    where = np.concatenate([np.stack([np.full(len(c.frames), i), c.frames], 1) for i, c in enumerate(chosen)])
    if not len(where):
        raise DatasetError(f"no frame of --segments {segments} is followed by enough of them; choose other segments")
    often = _trajectory_weights(sources, episodes, weighting, temperature)
    return Samples(
        [s.name for s in sources],
        episodes,
        where,
        np.concatenate([e.state[c.frames] for e, c in zip(episodes, chosen, strict=True)]),
        np.concatenate([c.chunks for c in chosen]),
        np.concatenate([c.weight for c in chosen]) * often[where[:, 0]],
        np.concatenate([c.segment for c in chosen]),
    )


def _trajectory_weights(
    sources: Sequence[Source], episodes: Sequence[CachedEpisode], weighting: str, temperature: float
) -> np.ndarray:
    """(n,) per episode, from its return and how it starts: state, and a thumbnail of each camera."""
    if weighting == "uniform":
        return np.ones(len(sources))
    returns = [return_of(s.meta) for s in sources]
    unknown = [s.name for s, value in zip(sources, returns, strict=True) if value is None]
    if unknown:
        raise DatasetError(
            f"{unknown[0]} has no return, since nobody judged it; allowed with --weighting {weighting}: success or "
            "failure; judge it with `retake episodes`, or leave it out with --outcomes"
        )
    starts = [np.concatenate([e.state[0], *map(_thumbnail, e.images[0])]) for e in episodes]
    return trajectory_weights([value or 0.0 for value in returns], np.array(starts), weighting, temperature)


def _thumbnail(picture: np.ndarray) -> np.ndarray:
    """Brightness of THUMBNAIL pixels, flat."""
    return cv2.resize(picture, THUMBNAIL, interpolation=cv2.INTER_AREA).mean(axis=-1).ravel()
