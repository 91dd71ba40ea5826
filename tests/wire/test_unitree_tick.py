"""Stamps from the robot's tick: without the network's jitter, and never against reason."""

from __future__ import annotations

import numpy as np

from retake.unitree.tick import JUMP_NS, MS, TickClock

OFFSET_NS = 1_700_000_000_000_000_000


def stamps(clock: TickClock, ticks: np.ndarray, delays_ns: np.ndarray, offset: int = OFFSET_NS) -> np.ndarray:
    return np.array([clock.stamp(int(tick), offset + int(tick) * MS + int(delay))
                     for tick, delay in zip(ticks, delays_ns, strict=True)])


def test_jitter_of_arrival_does_not_reach_the_stamps():
    random = np.random.default_rng(0)
    ticks = np.arange(0, 4000, 2) + 5
    delays = 150_000 + random.exponential(300_000, len(ticks))
    clock = TickClock()
    made = stamps(clock, ticks, delays)
    assert clock.is_believed
    late = made[500:] - OFFSET_NS - ticks[500:] * MS
    assert np.ptp(late) < 60_000 < 300_000 < np.std(delays) * 2  # ns
    assert np.all(late >= 150_000) and np.all(np.diff(made) > 0)


def test_a_tick_in_another_unit_is_not_believed():
    clock = TickClock()
    made = np.array([clock.stamp(k, OFFSET_NS + k * 2 * MS) for k in range(1000)])  # counts samples, not ms
    assert not clock.is_believed
    np.testing.assert_array_equal(made, OFFSET_NS + np.arange(1000) * 2 * MS)  # arrivals


def test_a_restarted_counter_begins_a_new_trial_and_time_still_rises():
    clock = TickClock()
    before = stamps(clock, np.arange(0, 1000, 2) + 10_000, np.zeros(500))
    assert clock.is_believed
    arrival = int(before[-1]) + 700 * MS
    first = clock.stamp(3, arrival)
    assert first == arrival and not clock.is_believed
    after = [clock.stamp(3 + 2 * k, arrival + 2 * k * MS) for k in range(1, 300)]
    assert clock.is_believed and np.all(np.diff([int(before[-1]), first, *after]) > 0)


def test_a_robot_that_stood_still_is_followed_at_once():
    clock = TickClock()
    made = stamps(clock, np.arange(0, 1000, 2), np.zeros(500))
    gap = JUMP_NS + 30 * MS
    assert clock.stamp(1000, int(made[-1]) + 2 * MS + gap) == int(made[-1]) + 2 * MS + gap
