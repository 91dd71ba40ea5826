"""Which parts of an episode are learnt from, and how often: the recorder's segments with a weight each.

`untouched` stands for an episode that succeeded while one source, policy or person, drove from start to end; its frames
take that weight instead of their segment's. Recipe RaC (arXiv 2509.07953), full demonstrations and interventions
without the policy's own frames where a person had to help, is `untouched,recovery,correction`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from policies.chunk import CHUNK_DT_NS, recorded_chunks
from policies.frame_cache import CachedEpisode
from policies.timeline import SEGMENTS, Span, segments

UNTOUCHED = "untouched"
EVERY_DRIVEN = "policy,teleop,recovery,correction"  # a robot that waits, goes back or is reset teaches nothing
DRIVERS = {"policy", "teleop", "recovery", "correction", "rewind"}
EXECUTED_NS = 8 * CHUNK_DT_NS  # of a chunk before the next one takes over


@dataclass(frozen=True)
class Chosen:
    """What is learnt from one episode: frames (k,), their chunks (k, chunk_size, c), weights and segments (k,)."""

    frames: np.ndarray
    chunks: np.ndarray
    weight: np.ndarray
    segment: np.ndarray


def parse_segments(text: str) -> dict[str, float]:
    """Weights by name from `policy,correction:2`; without a number the weight is 1."""
    weights: dict[str, float] = {}
    allowed = (*SEGMENTS, UNTOUCHED)
    for part in text.split(","):
        name, _, number = part.strip().partition(":")
        try:
            weight = float(number or 1.0)
        except ValueError:
            weight = math.nan
        if name not in allowed or name in weights or not 0.0 < weight < math.inf:
            raise ValueError(
                f"--segments {text}: {part.strip()!r} is no segment with a weight; allowed: each once of "
                f"{', '.join(allowed)}, with a weight above 0 as in correction:2"
            )
        weights[name] = weight
    return weights


def weighted_spans(meta: dict, weights: dict[str, float]) -> list[tuple[Span, float]]:
    """The segments of an episode with the weight of their frames, 0 for what is left out.

    An episode that does not say who drove is taken as one person's.
    """
    spans = segments(meta)
    if not spans and (meta.get("segments") or meta["authority"]):
        raise ValueError(
            f"{meta['id']} did not end, so nobody knows its segments; allowed: episodes that ended; "
            "what a killed recorder left is repaired at its next start"
        )
    spans = spans or [Span("teleop", meta["started_ns"] or 0, meta["ended_ns"] or 0)]
    unknown = sorted({span.name for span in spans} - set(SEGMENTS))
    if unknown:
        raise ValueError(
            f"{meta['id']} has segment {unknown[0]!r}; allowed: {', '.join(SEGMENTS)}; leave the "
            "episode out, or update retake"
        )
    drivers = {span.name for span in spans} & DRIVERS
    if UNTOUCHED in weights and len(drivers) == 1 and meta["outcome"] == "success":
        return [(span, weights[UNTOUCHED] if span.name in DRIVERS else weights.get(span.name, 0.0)) for span in spans]
    return [(span, weights.get(span.name, 0.0)) for span in spans]


def choose(episode: CachedEpisode, meta: dict, weights: dict[str, float]) -> Chosen:
    """The frames of an episode that are learnt from.

    Where what is kept ends before the task does (a person takes over, the policy gets the hand back, the episode is
    truncated, as after a person's help), chunks hold the last action that is kept, as they do at the end of an episode,
    and frames are left out whose chunk would do so while it is being executed: nothing is learnt of what follows.
    """
    spans = weighted_spans(meta, weights)
    starts = np.array([span.start_ns for span, _ in spans], np.int64)
    stamps, label_ns = episode.frame_stamps_ns, episode.label_stamps_ns
    at = np.maximum(np.searchsorted(starts, stamps, side="right") - 1, 0)
    names, each = np.array([span.name for span, _ in spans]), np.array([weight for _, weight in spans])
    frames, chunks = [], []
    for first, last in _runs(each > 0.0):
        here = np.flatnonzero((at >= first) & (at <= last))
        label = np.arange(len(label_ns))
        if first > 0:  # from the newest label at its start
            label = label[max(0, np.searchsorted(label_ns, starts[first], side="right") - 1) :]
        if last < len(spans) - 1 or meta.get("end") == "truncated":
            end_ns = spans[last][0].end_ns
            here, label = here[stamps[here] + EXECUTED_NS <= end_ns], label[label_ns[label] < end_ns]
        if len(here) and len(label):
            frames.append(here)
            chunks.append(recorded_chunks(stamps[here], episode.label[label], label_ns[label], episode.channels))
    if not frames:
        empty = recorded_chunks(stamps[:1], episode.label, label_ns, episode.channels)[:0]
        return Chosen(np.zeros(0, np.int64), empty, np.zeros(0), np.zeros(0, names.dtype))
    kept = np.concatenate(frames)
    return Chosen(kept, np.concatenate(chunks), each[at[kept]], names[at[kept]])


def _runs(kept: np.ndarray) -> list[tuple[int, int]]:
    """First and last index of each unbroken stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], kept.astype(np.int8), [0]])))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]
