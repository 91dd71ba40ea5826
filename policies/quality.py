"""What a dataset is worth: success with its interval, trajectory quality (TQ) and state-action coverage (SACo).

The return of an episode is 0.5 ** (seconds / 30) when it ended in success and 0 otherwise: success counts, and half as
much after another 30 s. TQ = (mean - random) / (best - random) with random = 0, as random motion never succeeds, and
best the best episode here. SACo = distinct (state, action) cells / those of a reference dataset; cells have fixed
sizes, so that datasets of one robot can be compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from policies import motion, recorded
from policies.episode_meta import META_NAME, EpisodeError
from policies.recorded import EMPTY, Track
from policies.timeline import seconds_of, segments

HALF_LIFE_S = 30.0
JUDGED = ("success", "failure")
# Edges of a cell, by the end of a channel's name; others: OTHER_CELL. m, of unit quaternions, N, share, rad, m/s
CELLS = {".x": 0.05, ".y": 0.05, ".z": 0.05, ".qx": 0.2, ".qy": 0.2, ".qz": 0.2, ".qw": 0.2, ".height": 0.05,
         ".squeeze": 10.0, "_gripper": 0.25}
OTHER_CELL = 0.2


@dataclass(frozen=True)
class Summary:
    """One episode of a dataset. `cells`: the distinct (state, action) cells that it visited."""

    folder: Path
    meta: dict
    seconds: float
    segments: dict[str, float]  # s
    returned: float | None  # None: nobody judged it
    cells: frozenset[bytes]


@dataclass(frozen=True)
class Quality:
    """A dataset. `added`: how many cells each episode brought that none before had, in order, discarded ones apart."""

    outcomes: dict[str, int]
    judged: int
    successes: int
    mean_return: float
    best_return: float
    tq: float | None  # None: nothing succeeded, so there is no best to compare with
    cells: int
    added: list[int]
    saco: float | None  # None: no reference dataset was given
    segments: dict[str, float]
    unreadable: list[str] = field(default_factory=list)


def return_of(meta: dict) -> float | None:
    """The return of an ended episode; None when nobody judged it."""
    if meta["outcome"] not in JUDGED:
        return None
    seconds = (meta["ended_ns"] - meta["started_ns"]) / 1e9
    return 0.5 ** (seconds / HALF_LIFE_S) if meta["outcome"] == "success" else 0.0


def cell_sizes(channels: Sequence[str]) -> np.ndarray:
    """(n,) in the channels' units."""
    return np.array([next((size for end, size in CELLS.items() if name.endswith(end)), OTHER_CELL)
                     for name in channels])


def _cells(values: np.ndarray, channels: tuple[str, ...]) -> np.ndarray:
    """(n, channels) in units of the cells; both quaternions of one rotation are in one cell."""
    values = values.copy()
    for part, where in motion.parts(channels).items():
        if part.endswith(".orientation"):
            values[:, where] *= np.where(values[:, where[3:]] < 0, -1.0, 1.0)
    return values / cell_sizes(channels)


def cells_of(state: Track, action: Track) -> frozenset[bytes]:
    """The distinct cells of (measured_action, reference), each reference with the newest state at or before it."""
    if not len(state) or not len(action):
        return frozenset()
    state_ns, states, channels = recorded.stacked(state, "measured_action")
    action_ns, actions, action_channels = recorded.stacked(action, "reference")
    at = np.searchsorted(state_ns, action_ns, side="right") - 1
    before = _cells(states, channels)[np.maximum(at, 0)]
    pairs = np.hstack([before, _cells(actions, action_channels)])[at >= 0]
    # centred on multiples of the size: a channel that rests near 0 does not flicker between two cells
    return frozenset(row.tobytes() for row in np.floor(pairs + 0.5).astype(np.int32))


def summarise(folder: Path) -> Summary:
    """Read one ended episode."""
    meta = recorded.ended_meta(folder)
    tracks = recorded.read_tracks(folder, meta["robot"], {"measured_action": recorded.vector,
                                                          "reference": recorded.vector})
    cells = cells_of(tracks.get("measured_action", EMPTY), tracks.get("reference", EMPTY))
    return Summary(folder, meta, (meta["ended_ns"] - meta["started_ns"]) / 1e9, seconds_of(segments(meta)),
                   return_of(meta), cells)


def folders_of(root: Path) -> list[Path]:
    """Episode folders under root, oldest first; at least one."""
    folders = [path.parent for path in sorted(Path(root).glob(f"*/{META_NAME}"))]
    if not folders:
        raise EpisodeError(f"{root} holds no episode; allowed: a folder of episodes, as `retake collect` and "
                           "`retake up` make them")
    return folders


def quality(episodes: Sequence[Summary], against: Iterable[Summary] | None = None,
            unreadable: Sequence[str] = ()) -> Quality:
    """Of a dataset, discarded episodes apart; `against`: the episodes of the reference dataset for SACo."""
    returns = [episode.returned for episode in episodes if episode.returned is not None]
    mean, best = (sum(returns) / len(returns), max(returns)) if returns else (0.0, 0.0)
    seen: set[bytes] = set()
    added = []
    kept = _kept(episodes)
    for episode in kept:
        added.append(len(episode.cells - seen))
        seen |= episode.cells
    saco = None
    if against is not None:
        reference = set().union(*(episode.cells for episode in _kept(against)))
        if not reference:
            raise EpisodeError("the reference dataset visited no cell; give one with measured_action and reference")
        saco = len(seen) / len(reference)
    total: Counter[str] = Counter()
    for episode in kept:
        total.update(episode.segments)
    return Quality(
        outcomes=dict(Counter(episode.meta["outcome"] for episode in episodes)), judged=len(returns),
        successes=sum(episode.meta["outcome"] == "success" for episode in episodes), mean_return=mean,
        best_return=best, tq=mean / best if best > 0 else None, cells=len(seen), added=added, saco=saco,
        segments=dict(total), unreadable=list(unreadable))


def _kept(episodes: Iterable[Summary]) -> list[Summary]:
    return [episode for episode in episodes if episode.meta["outcome"] != "discarded"]


def advice(found: Quality) -> str:
    """What the two numbers suggest to train with: a rule of thumb, from what recipe B2's authors found."""
    if found.tq is None:
        return "Nothing succeeded yet: demonstrate, or take over, until something does."
    if found.tq >= 0.7:
        return "TQ is high: plain behaviour cloning is hard to beat here."
    if found.saco is None or found.saco >= 0.3:
        return "TQ is moderate: weight episodes by their return, so that good ones count more than bad ones."
    return "TQ and coverage are both low: more recordings help more than another learner."
