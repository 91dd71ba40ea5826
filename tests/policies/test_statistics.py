"""Wilson's interval against published values (Newcombe 1998, method 3, and Brown, Cai, DasGupta 2001)."""

import pytest

from policies.statistics import format_rate, wilson_interval


@pytest.mark.parametrize(("k", "n", "low", "high"), [
    (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718),
    (29, 29, 0.8830, 1.0)])  # fmt: skip
def test_wilson_interval_is_the_published_one(k, n, low, high):
    assert wilson_interval(k, n, z=1.959964) == pytest.approx((low, high), abs=5e-5)


def test_no_trials_say_nothing_and_impossible_counts_are_refused():
    assert wilson_interval(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="allowed"):
        wilson_interval(5, 4)


def test_rate_is_printed_with_its_interval():
    assert format_rate(41, 50) == "41/50 = 82.0 % [69.2, 90.2]"
