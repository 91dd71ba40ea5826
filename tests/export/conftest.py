"""A folder of small real episodes."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_episodes import write_episode


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three successes of different lengths, a failure and a discarded one."""
    root = tmp_path / "episodes"
    for seed, outcome in enumerate(("success", "success", "failure", "success", "discarded")):
        write_episode(root / f"20260101-00000{seed}-{seed}", seed, 12 + seed, outcome)
    return root
