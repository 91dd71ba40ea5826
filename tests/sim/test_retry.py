"""Verify and retry: one try is the plain episode; what the verifier does not like is tried again from home."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from test_rollout import Downwards
from weak_picker import WeakPicker

from controllers.reference_limiter import ReferenceLimiter
from controllers.rigs import G1, YAM
from policies.retry_curve import retry_success
from policies.statistics import wilson_interval
from sim.retry import POINT_S, run_with_retries, way_home
from sim.tasks import HELD_OUT_SEED

SEED = HELD_OUT_SEED + 3


class Judge:
    """A verifier that says what it was told to, and remembers what it was shown."""

    threshold, config = 0.5, SimpleNamespace(cameras=("front",))

    def __init__(self, *scores: float) -> None:
        self.scores, self.shown = list(scores), []

    def score(self, jpegs) -> float:
        self.shown.append(jpegs)
        return self.scores.pop(0)


def test_one_try_is_the_plain_episode_bit_by_bit(rollout):
    plain = rollout.run(SEED, Downwards())
    judge = Judge()
    once, tries = run_with_retries(rollout, Downwards(), judge, SEED, 1)
    assert np.array_equal(plain.executed.references, once.executed.references)
    assert (plain.why, plain.time_s) == (once.why, once.time_s)
    assert [each.score for each in tries] == [None] and not judge.shown


def test_it_tries_again_until_the_verifier_is_content(rollout):
    judge = Judge(0.2, 0.9)
    result, tries = run_with_retries(rollout, Downwards(), judge, SEED, 5)
    assert [each.score for each in tries] == [0.2, 0.9] and result.outcome == "failure"
    assert result.time_s > sum(each.time_s for each in tries)
    assert all(len(jpegs) == 1 and jpegs[0][:2] == b"\xff\xd8" for jpegs in judge.shown)


def test_the_last_try_is_not_looked_at(rollout):
    _, tries = run_with_retries(rollout, Downwards(), Judge(0.1, 0.1), SEED, 3)
    assert [each.score for each in tries] == [0.1, 0.1, None]


def test_every_further_try_begins_near_home_elsewhere_with_open_hands(rollout):
    class Begins(Downwards):
        starts: list[np.ndarray] = []

        def begin(self):
            self.starts.append(rollout.reference)
            super().begin()

    run_with_retries(rollout, Begins(), Judge(0.1, 0.1), SEED, 3)
    away = np.array([YAM.layout.difference(start, YAM.home_action) for start in Begins.starts[1:]])
    hand, turn, grip = np.linalg.norm(away[:, :3], axis=1), np.linalg.norm(away[:, 3:6], axis=1), away[:, 6]
    assert (hand < 0.1).all() and (turn < 0.5).all() and np.abs(grip).max() < 1e-3
    assert hand.min() > 0.005 and np.linalg.norm(away[0] - away[1]) > 0.005


@pytest.mark.parametrize("rig", [YAM, G1], ids=lambda rig: rig.name)
def test_the_way_home_can_be_followed(rig):
    start = rig.home_action.copy()
    for position in rig.layout.positions:
        start[position] += (0.1, -0.05, -0.08)
    start[list(rig.grasps)] = rig.layout.lower[list(rig.grasps)]
    way = way_home(rig, rig.layout.validated(start), rig.home_action)
    assert np.array_equal(way[-1], rig.home_action)
    limiter = ReferenceLimiter(way[0], rig.layout)
    for before, after in zip(way[:-1], way[1:], strict=True):
        for k in range(1, 6):
            limiter.follow(rig.layout.interpolate(before, after, k / 5), POINT_S / 5)
    assert np.abs(rig.layout.difference(limiter.reference, rig.home_action)).max() < 1e-3


@pytest.mark.heavy
def test_success_after_tries_is_what_the_errors_of_the_verifier_predict(rollout, monkeypatch):
    """A policy that fails now and then and a verifier with known error rates, in the real world of arm_pick."""
    wrongly, missed, tries, n = 0.2, 0.1, 3, 60

    class Oracle:
        """Sees the truth, and is wrong by chance."""

        threshold, config, rng = 0.5, SimpleNamespace(cameras=()), np.random.default_rng(0)

        def score(self, jpegs) -> float:
            won = rollout.task.success()
            return float(won != (self.rng.random() < (missed if won else wrongly)))

    monkeypatch.setattr(rollout, "_limit_ns", 6_000_000_000)
    monkeypatch.setattr(rollout, "pictures", lambda cameras: ())  # nobody looks
    picker = WeakPicker(rollout.task, off_m=0.012)
    runs = [run_with_retries(rollout, picker, Oracle(), seed, tries) for seed in range(n)]
    first = sum(each[0].why == "success" for _, each in runs)
    low, high = wilson_interval(sum(result.outcome == "success" for result, _ in runs), n)
    assert 0.2 * n < first < 0.95 * n
    assert low <= retry_success(first / n, wrongly, missed, tries) <= high
