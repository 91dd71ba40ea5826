"""Stamps of a camera whose clock is not ours."""

from __future__ import annotations

import numpy as np
import pytest

from retake.cameras.clock import CameraClock

FRAME_MS = 1e3 / 30


@pytest.mark.parametrize("drift", [0.0, 80e-6, -80e-6])
def test_stamps_are_within_the_least_delay_whatever_the_jitter_and_drift(drift: float) -> None:
    rng, clock = np.random.default_rng(1), CameraClock()
    least_ms, worst = 4.0, []
    for index in range(18_000):  # ten minutes
        true_ms = 5e6 + index * FRAME_MS
        arrived_ms = true_ms + least_ms + rng.exponential(6.0)
        stamp = clock.stamp_ns(index * FRAME_MS * (1 + drift), round(arrived_ms * 1e6))
        assert stamp <= round(arrived_ms * 1e6)
        worst.append(stamp / 1e6 - true_ms)
    settled = np.array(worst[300:])
    assert settled.min() > 0 and settled.max() < least_ms + 1.5  # 200e-6 of the seconds between two quick frames
    assert np.diff(settled).std() < 0.3  # of 6 ms


def test_host_time_is_believed_when_it_can_be() -> None:
    clock, now = CameraClock(), 1_700_000_000_000_000_000
    assert clock.stamp_ns((now - 7_000_000) / 1e6, now, is_host_time=True) == pytest.approx(now - 7_000_000, abs=300)
    old = CameraClock()  # a recording of last week tells last week's time
    assert old.stamp_ns((now - 10**15) / 1e6, now, is_host_time=True) == now


def test_a_clock_that_begins_anew_is_mapped_anew() -> None:
    clock = CameraClock()
    first = clock.stamp_ns(90_000.0, 10**12)
    second = clock.stamp_ns(5.0, 10**12 + 10**9)
    assert first == 10**12 and second == 10**12 + 10**9


def test_stamps_never_repeat() -> None:
    clock = CameraClock()
    stamps = [clock.stamp_ns(50.0, 10**12) for _ in range(3)]
    assert stamps == sorted(set(stamps))
