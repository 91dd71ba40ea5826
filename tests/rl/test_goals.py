"""The way to where demonstrations ended is found in what pictures show."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from policies.rl.goals import FINE, goals

KEYPOINTS, POSE, BEHIND = 20, 2, 1


def demonstrations(count: int, seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """A hand goes to a place; keypoints say where the place is from the hand, in an unknown mixture. And the ways."""
    mixture = np.random.default_rng(7).uniform(-0.1, 0.1, (POSE, KEYPOINTS))
    rng, episodes, ways = np.random.default_rng(seed), [], []
    for _ in range(count):
        start, end = rng.uniform(-1.0, 1.0, (2, POSE))
        pose = start + np.linspace(0.0, 1.0, 15)[:, None] * (end - start)
        keypoints = 0.3 + (end - pose) @ mixture + 1e-3 * rng.standard_normal((15, KEYPOINTS))
        episodes.append(np.c_[keypoints, pose, 1e-3 * rng.standard_normal((15, BEHIND))].astype(np.float32))
        ways.append(end - pose)
    return episodes, ways


def test_the_way_to_the_end_is_shown_and_the_pose_beside_it():
    centre, axes = goals(demonstrations(60, 0)[0], POSE, BEHIND)
    episodes, ways = demonstrations(20, 1)
    shown = ((torch.from_numpy(np.concatenate(episodes)) - centre) @ axes).numpy()
    way = np.concatenate(ways)
    for k in range(POSE):
        assert np.corrcoef(shown[:, k], way[:, k])[0, 1] > 0.99
        assert np.allclose(shown[:, POSE + k], FINE * shown[:, k], atol=1e-4)
        assert np.corrcoef(shown[:, 2 * POSE + k], np.concatenate(episodes)[:, KEYPOINTS + k])[0, 1] > 0.999
    assert (shown[:, 3 * POSE + BEHIND :] == 0.0).all()


def test_a_base_without_pictures_is_refused():
    blind = [each[:, KEYPOINTS:] for each in demonstrations(3, 0)[0]]
    with pytest.raises(ValueError, match="no demonstration succeeded"):
        goals([], POSE, BEHIND)
    with pytest.raises(ValueError, match="0 numbers from pictures for a pose of 2; .* give the base a camera"):
        goals(blind, POSE, BEHIND)
