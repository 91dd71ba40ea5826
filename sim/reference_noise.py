"""Smooth disturbances of the executed reference: demonstrations then show how to come back (DART, Laskey et al. 2017).

What is executed is disturbed, what is learnt (`expert_action`) stays clean: from where the disturbance has brought the
robot, the label leads back.
"""

from __future__ import annotations

import numpy as np

from controllers import channels, g1, rotations

# Standard deviations at scale 1.
COMMON_M = 0.012  # both hands together
APART_M = 0.005  # each hand from their middle; none while squeezing, it would only knead the box
ROTATION = 0.05  # rad, both hands together
HEIGHT_M = 0.010  # pelvis
PITCH = 0.03  # rad, torso
TIME_CONSTANT_S = 0.4  # of each of the two filters that smooth the noise
_STD = np.array([COMMON_M] * 3 + [APART_M] * 3 + [ROTATION] * 3 + [HEIGHT_M, PITCH])
_SQUEEZING_N = 5.0


class ReferenceNoise:
    """Low-passed noise at the reference's rate; `scale` 0 leaves actions as they are."""

    def __init__(self, rng: np.random.Generator, scale: float) -> None:
        self._rng, self._scale = rng, scale
        self._decay = float(np.exp(-g1.REFERENCE_DT / TIME_CONSTANT_S))
        # two equal first-order filters on white noise of variance 1: what they let through, to be divided out
        d = self._decay**2
        self._gain = float(np.sqrt((1 - d) ** 3 / ((1 + d) * (1 - self._decay) ** 4)))
        self._slow, self._smooth = np.zeros(len(_STD)), np.zeros(len(_STD))

    def disturb(self, action: np.ndarray) -> np.ndarray:
        """The next disturbed action (17,); call once per REFERENCE_DT."""
        if self._scale == 0:
            return action
        self._slow += (1 - self._decay) * (self._rng.standard_normal(len(_STD)) - self._slow)
        self._smooth += (1 - self._decay) * (self._slow - self._smooth)
        noise = self._scale * self._gain * _STD * self._smooth
        common, turn = noise[:3], rotations.from_rotvec(noise[6:9])
        apart = noise[3:6] * (action[g1.SQUEEZE] < _SQUEEZING_N)
        disturbed = action.copy()
        for side, position, quat in ((1, g1.LEFT_POSITION, g1.LEFT_QUAT), (-1, g1.RIGHT_POSITION, g1.RIGHT_QUAT)):
            disturbed[position] += common + side * apart
            disturbed[quat] = rotations.multiply(turn, action[quat])
        disturbed[g1.BASE_HEIGHT] += noise[9]
        disturbed[g1.TORSO_PITCH] += noise[10]
        return channels.validated(disturbed)
