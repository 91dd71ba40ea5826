"""Home: training states are inside, strange ones outside, and a damaged file is refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from policies.home import HOME, Home, HomeError, load_home, make_home, save_home
from policies.normalise import Normaliser

CHANNELS = ("left_ee.x", "left_ee.y", "left_ee.z")


@pytest.fixture
def states() -> np.ndarray:
    """(1500, 3): fifteen ways along x that differ by some centimetres."""
    rng = np.random.default_rng(3)
    way = np.linspace(0.0, 0.6, 100)[:, None] * [1.0, 0.0, 0.0]
    return np.concatenate([way + rng.normal(0.0, [0.005, 0.02, 0.02]) for _ in range(15)])


@pytest.fixture
def home(states: np.ndarray) -> Home:
    return make_home(states, np.repeat(np.arange(15), 100), Normaliser.fit(CHANNELS, states))


def test_an_unseen_episode_of_the_same_kind_is_at_home_and_a_strange_place_is_not(home: Home) -> None:
    inside = [home.distance(np.array([x, 0.01, -0.01])) for x in np.linspace(0.05, 0.55, 20)]
    assert max(inside) < 1.0
    assert home.distance(np.array([0.3, 0.3, 0.0])) > 2.0
    far = [home.distance(np.array([0.3, y, 0.0])) for y in (0.05, 0.1, 0.2, 0.4)]
    assert far == sorted(far)


def test_it_comes_back_from_disk(home: Home, tmp_path) -> None:
    save_home(tmp_path, home)
    again = load_home(tmp_path, home.normaliser)
    assert again is not None and again.edge == home.edge
    np.testing.assert_array_equal(again.states, home.states)
    assert load_home(tmp_path / "elsewhere", home.normaliser) is None


def test_a_damaged_or_foreign_file_is_refused(home: Home, tmp_path) -> None:
    save_home(tmp_path, home)
    with pytest.raises(HomeError, match="allowed: \\(n, 2\\)"):
        load_home(tmp_path, Normaliser(CHANNELS[:2], np.zeros(2), np.ones(2)))
    (tmp_path / HOME).write_bytes(b"\x80\x04 a pickle")
    with pytest.raises(HomeError, match="retake home"):
        load_home(tmp_path, home.normaliser)


def test_one_episode_or_equal_ones_say_nothing(states: np.ndarray) -> None:
    normaliser = Normaliser.fit(CHANNELS, states)
    with pytest.raises(HomeError, match="two or more"):
        make_home(states[:100], np.zeros(100, int), normaliser)
    with pytest.raises(HomeError, match="differ"):
        make_home(np.tile(states[:100], (2, 1)), np.repeat([0, 1], 100), normaliser)
