"""In which order samples are drawn, and how often each: functions of a seed and a step, so that a run that was killed,
or one that several processes share, sees what one uninterrupted process would."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

WEIGHTINGS = ("uniform", "return", "advantage")
RIDGE = 1.0  # on standardised features: a few dozen of them against a few dozen to a few hundred episodes


class Shuffle:
    """Every epoch visits n samples, in an order of its own; a sample of twice the weight twice as often.

    Unequal weights are honoured by systematic resampling: in an epoch a sample that is due 2.3 times comes 2 or 3
    times, 2.3 on average. With equal weights every sample comes exactly once.
    """

    def __init__(self, weight: np.ndarray, seed: int) -> None:
        """`weight` (n,) finite, not negative, not all 0."""
        if not len(weight) or not np.isfinite(weight).all() or (weight < 0.0).any() or not weight.any():
            raise ValueError("weights of samples; allowed: finite, not negative, one above 0; look at the episodes")
        self._seed, self._n = seed, len(weight)
        self._due = None if (weight == weight[0]).all() else np.cumsum(weight * (len(weight) / weight.sum()))
        self._epoch, self._order = -1, np.zeros(0, np.int64)

    def batch(self, step: int, batch_size: int) -> np.ndarray:
        """Sample indices (batch_size,) of a step: consecutive pieces of the epochs' orders."""
        positions = np.arange(step * batch_size, (step + 1) * batch_size)
        epochs = positions // self._n
        index = np.empty(batch_size, np.int64)
        for epoch in np.unique(epochs):
            index[epochs == epoch] = self._of(int(epoch))[positions[epochs == epoch] % self._n]
        return index

    def _of(self, epoch: int) -> np.ndarray:
        if epoch != self._epoch:
            rng = np.random.default_rng([self._seed, 1, epoch])
            order = rng.permutation(self._n)
            if self._due is not None:
                ticks = np.arange(self._n) + rng.random()
                order = np.minimum(np.searchsorted(self._due, ticks, side="right"), self._n - 1)[order]
            self._epoch, self._order = epoch, order
        return self._order


def trajectory_weights(
    returns: Sequence[float], starts: np.ndarray, weighting: str, temperature: float = 0.1
) -> np.ndarray:
    """How often episodes are drawn: weights (n,) proportional to exp(A / temperature), of mean 1 (Hong et al., ICLR
    2023, "Harnessing mixed offline reinforcement learning datasets via trajectory weighting").

    A is the return (`return`), or what it is beyond the return that a linear regression expects from the start
    (`advantage`), min-max normalised. Equal returns give exactly equal weights.

    Args:
        returns: (n,) of each episode.
        starts: (n, f) features of each episode's first observation; only `advantage` looks at them.
    """
    value = np.asarray(returns, np.float64)
    if weighting not in WEIGHTINGS:
        raise ValueError(f"weighting {weighting!r}; allowed: {', '.join(WEIGHTINGS)}")
    if weighting == "uniform" or np.ptp(value) == 0.0:
        return np.ones(len(value))
    if weighting == "advantage":
        value = value - _expected(value, starts)
    scaled = (value - value.min()) / np.ptp(value)
    weights = np.exp((scaled - 1.0) / temperature)
    return weights / weights.mean()


def _expected(returns: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Returns (n,) that ridge regression expects from features (n, f)."""
    spread = starts.std(axis=0)
    moves = spread > 1e-9
    x = (starts[:, moves] - starts[:, moves].mean(axis=0)) / spread[moves]
    centred = returns - returns.mean()
    return returns.mean() + x @ np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ centred)
