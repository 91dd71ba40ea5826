"""Smooth disturbances of the executed reference: demonstrations then show how to come back (DART, Laskey et al. 2017).

What is executed is disturbed, what is learnt (`expert_action`) stays clean: from where the disturbance has brought the
robot, the label leads back.
"""

from __future__ import annotations

import numpy as np

from controllers import channels, g1, rotations
from controllers.rigs import Rig

# Standard deviations at scale 1.
COMMON_M = 0.012  # both hands together
APART_M = 0.005  # each hand from their middle; none while squeezing, it would only knead the box
ROTATION = 0.05  # rad, both hands together
HEIGHT_M = 0.010  # pelvis
PITCH = 0.03  # rad, torso
TIME_CONSTANT_S = 0.4  # of each of the two filters that smooth the noise
_STD = np.array([COMMON_M] * 3 + [APART_M] * 3 + [ROTATION] * 3 + [HEIGHT_M, PITCH])
_SQUEEZING_N = 5.0


class _Smooth:
    """Noise (n,) of the given standard deviations, smoothed twice; one step of REFERENCE_DT a call."""

    def __init__(self, rng: np.random.Generator, std: np.ndarray) -> None:
        self._rng, self._std = rng, std
        self._decay = float(np.exp(-g1.REFERENCE_DT / TIME_CONSTANT_S))
        # two equal first-order filters on white noise of variance 1: what they let through, to be divided out
        d = self._decay**2
        self._gain = float(np.sqrt((1 - d) ** 3 / ((1 + d) * (1 - self._decay) ** 4)))
        self._slow, self._smooth = np.zeros(len(std)), np.zeros(len(std))

    def next(self) -> np.ndarray:
        self._slow += (1 - self._decay) * (self._rng.standard_normal(len(self._std)) - self._slow)
        self._smooth += (1 - self._decay) * (self._slow - self._smooth)
        return self._gain * self._std * self._smooth


class ReferenceNoise:
    """Of the G1, at the reference's rate; `scale` 0 leaves actions as they are."""

    def __init__(self, rng: np.random.Generator, scale: float) -> None:
        self._scale, self._noise = scale, _Smooth(rng, _STD)

    def disturb(self, action: np.ndarray) -> np.ndarray:
        """The next disturbed action (17,); call once per REFERENCE_DT."""
        if self._scale == 0:
            return action
        noise = self._scale * self._noise.next()
        common, turn = noise[:3], rotations.from_rotvec(noise[6:9])
        apart = noise[3:6] * (action[g1.SQUEEZE] < _SQUEEZING_N)
        disturbed = action.copy()
        for side, position, quat in ((1, g1.LEFT_POSITION, g1.LEFT_QUAT), (-1, g1.RIGHT_POSITION, g1.RIGHT_QUAT)):
            disturbed[position] += common + side * apart
            disturbed[quat] = rotations.multiply(turn, action[quat])
        disturbed[g1.BASE_HEIGHT] += noise[9]
        disturbed[g1.TORSO_PITCH] += noise[10]
        return channels.validated(disturbed)


ARM_M, ARM_ROTATION = 0.008, 0.04  # m, rad; of each hand of an arm rig, at scale 1, at its height
SWELL_S = 2.5  # an arm's noise comes and goes: fine work succeeds in between


class HandNoise:
    """Of an arm rig: each hand for itself, grippers never, half of the time; `scale` 0 leaves actions as they are."""

    def __init__(self, rng: np.random.Generator, scale: float, rig: Rig) -> None:
        self._scale, self._layout = scale, rig.layout
        self._phase, self._step = float(rng.uniform(0, 2 * np.pi)), 2 * np.pi * rig.reference_dt / SWELL_S
        self._noise = _Smooth(rng, np.array([*[ARM_M] * 3, *[ARM_ROTATION] * 3] * len(rig.layout.hands)))

    def disturb(self, action: np.ndarray) -> np.ndarray:
        """The next disturbed action (dim,); call once per REFERENCE_DT."""
        if self._scale == 0:
            return action
        self._phase += self._step
        swell = max(0.0, float(np.sin(self._phase)))
        noise = self._scale * swell * self._noise.next().reshape(-1, 6)
        disturbed = action.copy()
        for (position, quat), off in zip(zip(self._layout.positions, self._layout.quats, strict=True), noise,
                                         strict=True):  # fmt: skip
            disturbed[position] += off[:3]
            disturbed[quat] = rotations.multiply(rotations.from_rotvec(off[3:]), action[quat])
        return self._layout.validated(disturbed)
