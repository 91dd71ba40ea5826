"""Few directions hold what many numbers say, and none that is independent is lost."""

from __future__ import annotations

import numpy as np
import torch

from policies.rl.whitening import whitening


def test_the_directions_are_found_and_the_noise_is_not_shown():
    rng = np.random.default_rng(0)
    hidden, force = rng.standard_normal((400, 3)), 1e-2 * rng.standard_normal((400, 1))
    keypoints = hidden @ rng.uniform(-0.1, 0.1, (3, 40)) + 1e-4 * rng.standard_normal((400, 40)) + 0.7
    seen = np.concatenate([keypoints, force, np.full((400, 1), 3.0)], axis=1).astype(np.float32)
    centre, axes = whitening(seen)
    shown = (torch.from_numpy(seen) - centre) @ axes
    used = shown.abs().sum(0) > 0
    assert used.sum() == 4 and used[:4].all()
    assert torch.allclose(shown[:, :4].T @ shown[:, :4] / 400, torch.eye(4), atol=1e-3)
    known = np.c_[shown[:, :4].numpy(), np.ones(400)]
    for wanted in (hidden, force):
        fit = known @ np.linalg.lstsq(known, wanted, rcond=None)[0]
        assert np.allclose(fit, wanted, atol=0.05 * wanted.std())
