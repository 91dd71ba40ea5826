"""Between its points a chunk moves smoothly, through each of them and never beyond."""

from __future__ import annotations

import numpy as np
import pytest

from controllers.action_chunk import Chunk, Refused
from controllers.rigs import G1, YAM, Rig

OFFSETS_NS = np.array([60, 126, 192, 300, 320, 500]) * 1_000_000


def random_chunk(rig: Rig, seed: int) -> Chunk:
    rng = np.random.default_rng(seed)
    layout = rig.layout
    way = rng.normal(0.0, 0.02, (len(OFFSETS_NS), layout.rate_dim))
    actions = [layout.validated(layout.moved(rig.home_action, w)) for w in np.cumsum(way, axis=0)]
    return Chunk.checked(1_000, OFFSETS_NS, np.array(actions), layout)


@pytest.mark.parametrize("rig", [G1, YAM], ids=lambda rig: rig.name)
@pytest.mark.parametrize("seed", range(3))
def test_goes_through_its_points_and_not_beyond_them(rig: Rig, seed: int) -> None:
    chunk, layout = random_chunk(rig, seed), rig.layout
    for k in range(len(OFFSETS_NS) - 1):
        times = np.linspace(chunk.times_ns[k], chunk.times_ns[k + 1], 20).astype(np.int64)
        between = np.array([layout.difference(chunk.actions[k], chunk.at(int(t))) for t in times])
        whole = layout.difference(chunk.actions[k], chunk.actions[k + 1])
        np.testing.assert_allclose(between[0], 0.0, atol=1e-9)
        np.testing.assert_allclose(between[-1], whole, atol=1e-7)
        assert (between >= np.minimum(whole, 0.0) - 1e-9).all()
        assert (between <= np.maximum(whole, 0.0) + 1e-9).all()


@pytest.mark.parametrize("seed", range(3))
def test_velocity_does_not_jump_at_a_point(seed: int) -> None:
    chunk, layout, h_ns = random_chunk(YAM, seed), YAM.layout, 10_000
    for t in chunk.times_ns[1:-1].tolist():
        before = layout.difference(chunk.at(t - h_ns), chunk.at(t)) / (1e-9 * h_ns)
        after = layout.difference(chunk.at(t), chunk.at(t + h_ns)) / (1e-9 * h_ns)
        np.testing.assert_allclose(before, after, atol=0.02)  # straight lines: 0.3 and more


def test_two_points_are_a_straight_line() -> None:
    layout, home = YAM.layout, YAM.home_action
    there = layout.validated(layout.moved(home, np.full(layout.rate_dim, 0.05)))
    chunk = Chunk.checked(0, np.array([100, 200]) * 1_000_000, np.array([home, there]), layout)
    np.testing.assert_allclose(chunk.at(130_000_000), layout.interpolate(home, there, 0.3), atol=1e-9)


def test_one_point_is_held() -> None:
    chunk = Chunk.checked(0, np.array([5]), YAM.home_action[None], YAM.layout)
    for t in (0, 5, 10**9):
        np.testing.assert_array_equal(chunk.at(t), chunk.actions[0])


def test_times_that_do_not_increase_are_refused() -> None:
    with pytest.raises(Refused, match="increasing"):
        Chunk.checked(0, np.array([5, 5]), np.array([YAM.home_action] * 2), YAM.layout)
