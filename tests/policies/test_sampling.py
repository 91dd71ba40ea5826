"""The order of samples and the weights of episodes: functions of seed and step, honest to the weights."""

import numpy as np
import pytest

from policies.sampling import Shuffle, trajectory_weights


def batches(shuffle: Shuffle, batch_size: int, n_steps: int) -> np.ndarray:
    return np.concatenate([shuffle.batch(step, batch_size) for step in range(n_steps)])


def test_order_is_a_function_of_the_seed_and_visits_everything_once_an_epoch():
    drawn = batches(Shuffle(np.ones(21), 3), 7, 6)
    assert sorted(drawn[:21]) == sorted(drawn[21:]) == list(range(21))
    assert not np.array_equal(drawn[:21], drawn[21:])
    np.testing.assert_array_equal(Shuffle(np.ones(21), 3).batch(4, 7), drawn[28:35])
    assert not np.array_equal(Shuffle(np.ones(21), 4).batch(4, 7), drawn[28:35])
    assert sorted(batches(Shuffle(np.ones(15), 0), 10, 3)) == sorted(list(range(15)) * 2)


def test_weights_decide_how_often_and_nothing_else_changes():
    weight = np.repeat([0.0, 1.0, 2.5], 100)
    shuffle = Shuffle(weight, 0)
    for epoch in range(3):
        drawn = batches(Shuffle(weight, epoch), 300, 1)
        counts = np.bincount(drawn, minlength=300)
        due = weight * 300 / weight.sum()
        assert (np.abs(counts - due) < 1.0).all()  # each as often as it is due, rounded up or down
    many = np.bincount(batches(shuffle, 300, 40), minlength=300).reshape(3, 100).sum(axis=1)
    np.testing.assert_allclose(many / many.sum(), [0.0, 1 / 3.5, 2.5 / 3.5], atol=2e-3)
    np.testing.assert_array_equal(shuffle.batch(17, 64), Shuffle(weight, 0).batch(17, 64))
    np.testing.assert_array_equal(Shuffle(np.full(300, 7.0), 0).batch(5, 64), Shuffle(np.ones(300), 0).batch(5, 64))
    for bad in ([], [0.0, 0.0], [1.0, -1.0], [1.0, np.nan]):
        with pytest.raises(ValueError, match="weights of samples; allowed"):
            Shuffle(np.array(bad), 0)


def test_equal_returns_are_exactly_uniform():
    starts = np.random.default_rng(0).normal(size=(6, 4))
    for weighting in ("uniform", "return", "advantage"):
        assert (trajectory_weights([0.3] * 6, starts, weighting) == 1.0).all()


def test_better_episodes_weigh_more_and_easy_starts_do_not():
    rng = np.random.default_rng(1)
    distance = rng.uniform(0.0, 1.0, 200)  # a start that costs return
    skill = rng.uniform(0.0, 0.3, 200)
    returns, starts = 1.0 - distance + skill, np.stack([distance, rng.normal(size=200)], axis=1)
    by_return = trajectory_weights(returns, starts, "return")
    by_advantage = trajectory_weights(returns, starts, "advantage")
    assert by_return.mean() == pytest.approx(1.0) and by_advantage.mean() == pytest.approx(1.0)
    assert np.corrcoef(by_return, distance)[0, 1] < -0.5
    assert abs(np.corrcoef(by_advantage, distance)[0, 1]) < 0.15
    assert np.corrcoef(by_advantage, skill)[0, 1] > 0.6
    # the formula, on numbers that can be checked by hand: exp(A / alpha) with A in [0, 1]
    weights = trajectory_weights([0.0, 0.5, 1.0], np.zeros((3, 1)), "return", temperature=0.5)
    np.testing.assert_allclose(weights / weights[0], np.exp([0.0, 1.0, 2.0]))
    np.testing.assert_allclose(trajectory_weights([0.0, 0.5, 1.0], np.zeros((3, 1)), "advantage", 0.5), weights)
    with pytest.raises(ValueError, match="weighting 'best'; allowed: uniform, return, advantage"):
        trajectory_weights([0.0, 1.0], np.zeros((2, 1)), "best")
