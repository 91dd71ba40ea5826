"""Paired comparison: against published numbers, counted by hand, and by what must hold for any counts."""

from __future__ import annotations

import numpy as np
import pytest

from policies.paired import Paired, pair


def test_newcombe_published_example():
    """Method 10 of Newcombe (1998), table II, cells 20, 12, 2, 16."""
    low, high = Paired(20, 2, 12, 16).interval()
    assert (low, high) == (pytest.approx(0.0562, abs=5e-4), pytest.approx(0.3290, abs=5e-4))


@pytest.mark.parametrize(("first_only", "second_only", "p"), [
    (0, 0, 1.0), (1, 0, 1.0), (0, 6, 2 / 64), (2, 12, 2 * (1 + 14 + 91) / 2**14), (5, 5, 1.0),
])  # fmt: skip
def test_exact_mcnemar(first_only, second_only, p):
    assert Paired(10, first_only, second_only, 3).p_value == pytest.approx(p)


def test_exchanging_the_two_changes_the_sign_alone():
    one, other = Paired(50, 9, 3, 8), Paired(50, 3, 9, 8)
    assert one.p_value == other.p_value and one.difference == -other.difference
    assert one.interval() == pytest.approx(tuple(-x for x in reversed(other.interval())))


def test_interval_covers():
    """Of 1000 simulated comparisons with a true difference of 10 points at least 94 % hold it."""
    rng = np.random.default_rng(0)
    cells = rng.multinomial(60, [0.6, 0.08, 0.18, 0.14], 1000)
    held = [low <= 0.1 <= high for low, high in (Paired(*map(int, row)).interval() for row in cells)]
    assert np.mean(held) >= 0.94


def test_pairs_only_common_seeds():
    assert pair({1: True, 2: False, 3: True}, {2: True, 3: True, 4: False}) == Paired(1, 0, 1, 0)
    with pytest.raises(ValueError, match="no seed in common"):
        pair({1: True}, {2: True})
