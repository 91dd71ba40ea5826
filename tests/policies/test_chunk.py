"""Chunk times and the chunk that a recording answers a frame with; scaling and quaternions."""

import box_toy
import numpy as np
import pytest

from policies.chunk import chunk_times_ns, recorded_chunks
from policies.normalise import Normaliser, quaternion_groups

CHANNELS = ("ee.x", "ee.qx", "ee.qy", "ee.qz", "ee.qw")


def test_points_are_a_camera_period_apart_and_start_one_after_the_observation():
    times = chunk_times_ns()
    assert times[0] == 66_000_000 and times[-1] == 1_584_000_000 and len(times) == 24
    assert set(np.diff(times)) == {66_000_000}


def test_a_recorded_chunk_is_what_was_commanded_later_and_then_the_last_action():
    start = 1_790_000_000_000_000_000  # ns since 1970: float64 alone would not resolve 20 ms ticks exactly
    stamps = start + np.arange(50) * 20_000_000
    reference = np.tile([0.0, 0, 0, 0, 1.0], (50, 1))
    reference[:, 0] = np.arange(50) * 0.02  # one metre a second
    chunks = recorded_chunks(np.array([start, stamps[-1]]), reference, stamps, CHANNELS)
    np.testing.assert_allclose(chunks[0, :14, 0], np.arange(1, 15) * 0.066, atol=1e-9)
    np.testing.assert_allclose(chunks[0, 15:, 0], 0.98)
    np.testing.assert_allclose(chunks[1, :, 0], 0.98)


def test_quaternions_of_opposite_sign_are_one_rotation():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 1, (200, 1)), rng.normal([0.1, 0, 0, 1], 0.1, (200, 4))], axis=1)
    values[:, 1:] /= np.linalg.norm(values[:, 1:], axis=1, keepdims=True)
    flipped = values.copy()
    flipped[::2, 1:] *= -1.0
    one, other = Normaliser.fit(CHANNELS, values), Normaliser.fit(CHANNELS, flipped)
    np.testing.assert_allclose(one.half_range, other.half_range)
    back = other.decode(other.encode(flipped))
    np.testing.assert_allclose(back @ np.diag([1, 0, 0, 0, 0]), values @ np.diag([1, 0, 0, 0, 0]), atol=1e-6)
    np.testing.assert_allclose(np.abs(np.sum(back[:, 1:] * values[:, 1:], axis=1)), 1.0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(back[:, 1:], axis=1), 1.0, atol=1e-12)


def test_still_channels_keep_a_minimum_range():
    still = np.tile(box_toy.HOME, (10, 1))
    normaliser = Normaliser.fit(box_toy.CHANNELS, still)
    assert normaliser.half_range.min() == pytest.approx(0.05) and normaliser.half_range[-1] == 5.0
    np.testing.assert_allclose(normaliser.decode(normaliser.encode(still)), still, atol=1e-6)


def test_quaternion_groups_are_found_by_name():
    assert quaternion_groups(box_toy.CHANNELS) == [[3, 4, 5, 6], [10, 11, 12, 13]]
