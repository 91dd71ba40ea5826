"""What of an observation a learner is shown: the directions in which demonstrations vary, each as large as any other.

What a frozen encoder finds in pictures has no scale of its own, and many more numbers than there is to see: of the 64
of one camera of arm_insert eight directions hold 99 %, and say where the peg is as well as all. From a few dozen
episodes a critic learns by those what an action is worth; by all of the numbers it learns the scenes by heart.
"""

from __future__ import annotations

import numpy as np
import torch

SPREAD_MIN = 1e-2  # of a number that hardly changes
VARIANCE_MIN = 0.02  # of a direction that is shown; what does not hang together has 1


def whitening(observations: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Centre (o,) and axes (o, o) for observations (n, o): (observation - centre) @ axes has one column per direction,
    of mean 0 and variance 1, the rest are 0. Every number counts by its own spread first, so that joints and forces
    are not lost among the pictures."""
    seen = observations.astype(np.float64)
    centre, spread = seen.mean(0), np.maximum(seen.std(0), SPREAD_MIN)
    scaled = (seen - centre) / spread
    variance, directions = np.linalg.eigh(scaled.T @ scaled / len(scaled))  # rising
    shown = variance > VARIANCE_MIN
    axes = np.zeros_like(directions)
    axes[:, : shown.sum()] = directions[:, shown] / np.sqrt(variance[shown]) / spread[:, None]
    return torch.from_numpy(centre.astype(np.float32)), torch.from_numpy(axes.astype(np.float32))
