"""What several tries are worth, beside simulated executors and worlds."""

import numpy as np
import pytest

from policies.retry_curve import Worlds, retry_success


def test_retry_curve():
    assert retry_success(0.6, 0.3, 0.1, 1) == 0.6
    assert retry_success(0.6, 0.0, 0.0, 3) == pytest.approx(1 - 0.4**3)
    assert retry_success(0.6, 1.0, 0.0, 9) == pytest.approx(0.6), "content with everything: nothing is tried again"
    assert retry_success(0.5, 0.2, 0.1, 500) == pytest.approx(0.5 * 0.9 / (1 - 0.05 - 0.4))


def test_retry_curve_is_what_simulated_executors_reach():
    rng, p, f, q, tries, n = np.random.default_rng(0), 0.6, 0.2, 0.1, 3, 20_000
    wins = 0
    for _ in range(n):
        for k in range(tries):
            won = rng.random() < p
            if k == tries - 1 or rng.random() < (1 - q if won else f):
                wins += won
                break
    assert wins / n == pytest.approx(retry_success(p, f, q, tries), abs=0.01)


def test_retry_curve_refuses():
    with pytest.raises(ValueError, match="tries 0"):
        retry_success(0.5, 0.1, 0.1, 0)
    with pytest.raises(ValueError, match="no tries to learn from"):
        Worlds.fit([])


@pytest.mark.parametrize("tries", [1, 2, 5])
def test_worlds_that_are_all_alike_have_independent_tries(tries):
    alike = Worlds(0.6e9, 0.4e9).retry_success(0.2, 0.1, tries)
    assert alike == pytest.approx(retry_success(0.6, 0.2, 0.1, tries), abs=1e-6)


def test_worlds_are_learnt_from_tries_in_some_and_tell_of_others():
    """Half of the worlds are hard: independent tries would promise far too much."""
    rng, f, q, tries = np.random.default_rng(3), 0.1, 0.05, 3

    def executed() -> list[tuple[int, bool]]:
        """Of each world: failures before its first success, or all of them; there is no verifier."""
        tried = []
        for p in np.where(rng.random(400) < 0.5, 0.9, 0.1):
            wins = rng.random(tries) < p
            tried.append((int(wins.argmax()), True) if wins.any() else (tries, False))
        return tried

    first = executed()
    worlds = Worlds.fit(first)
    others, n = 0, 20_000
    for p in np.where(rng.random(n) < 0.5, 0.9, 0.1):
        for k in range(tries):
            won = rng.random() < p
            if k == tries - 1 or rng.random() < (1 - q if won else f):
                others += won
                break
    rate = sum(failures == 0 and won for failures, won in first) / len(first)
    assert worlds.retry_success(f, q, tries) == pytest.approx(others / n, abs=0.03)
    assert retry_success(rate, f, q, tries) > others / n + 0.1
