"""Quality of a dataset: returns, TQ, coverage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from controllers.g1 import ACTION_CHANNELS, HOME_ACTION
from policies import quality
from policies.episode_meta import EpisodeError
from policies.recorded import Track, Vector

from .recordings import Scripted, write_episode


def test_returns() -> None:
    meta = {"outcome": "success", "started_ns": 0, "ended_ns": 30 * 10**9}
    assert quality.return_of(meta) == pytest.approx(0.5)
    assert quality.return_of({**meta, "ended_ns": 0}) == pytest.approx(1.0)
    assert quality.return_of({**meta, "outcome": "failure"}) == 0.0
    assert quality.return_of({**meta, "outcome": "discarded"}) is None


def track(values: np.ndarray) -> Track:
    stamps = np.arange(len(values)) * 20_000_000
    return Track(stamps, stamps, [Vector(ACTION_CHANNELS, row, "odom") for row in values])


def test_cells() -> None:
    still = np.tile(HOME_ACTION, (50, 1))
    one = quality.cells_of(track(still), track(still))
    assert len(one) == 1
    flipped = still.copy()
    flipped[:, 3:7] *= -1  # the other quaternion of the same rotation
    assert quality.cells_of(track(flipped), track(flipped)) == one
    moving = still.copy()
    moving[:, 0] += np.arange(50) * 0.01  # 0.5 m in cells of 5 cm
    assert 10 <= len(quality.cells_of(track(moving), track(moving))) <= 21


def test_a_dataset(tmp_path: Path) -> None:
    folders = [write_episode(tmp_path / "a" / f"{k}", seconds=2 + k, outcome=outcome)
               for k, outcome in enumerate(("success", "failure", "success", "discarded"))]
    episodes = [quality.summarise(folder) for folder in folders]
    found = quality.quality(episodes)
    best, last = (0.5 ** (episodes[k].seconds / 30) for k in (0, 2))
    assert (found.judged, found.successes) == (3, 2)
    assert found.mean_return == pytest.approx((best + last) / 3)
    assert found.tq == pytest.approx((best + last) / 3 / best)
    assert found.outcomes == {"success": 2, "failure": 1, "discarded": 1}
    assert sum(found.added) == found.cells and found.added[0] == len(episodes[0].cells)
    assert found.saco is None
    share = len(episodes[0].cells) / found.cells
    assert quality.quality(episodes[:1], against=episodes).saco == pytest.approx(share)
    assert quality.quality(episodes, against=episodes).saco == 1.0
    assert len(found.added) == 3, "what was discarded covers nothing"


def test_nothing_succeeded(tmp_path: Path) -> None:
    found = quality.quality([quality.summarise(write_episode(tmp_path / "e", outcome="failure"))])
    assert found.tq is None and "Nothing succeeded" in quality.advice(found)


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match="holds no episode"):
        quality.folders_of(tmp_path)
    Scripted(tmp_path / "e").writer.abandon()
    with pytest.raises(EpisodeError, match="has not ended"):
        quality.summarise(tmp_path / "e")
    with pytest.raises(EpisodeError, match="visited no cell"):
        quality.quality([], against=[])
