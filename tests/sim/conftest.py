"""What several tests of the simulation build once: a world with cameras and a controller takes seconds."""

from __future__ import annotations

import pytest

from sim.rollout import Rollout


@pytest.fixture(scope="session")
def rollout():
    """arm_pick; an episode is over after 1.6 s, since nothing is picked here."""
    rollout = Rollout("arm_pick", ("wrist", "front"))
    rollout._limit_ns = 1_600_000_000
    yield rollout
    rollout.close()
