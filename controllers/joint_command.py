"""What a controller asks of a robot's motors in one control step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class JointCommand:
    """q_des (n,) rad, dq_des (n,) rad/s, tau_ff (n,) N·m for the motor law; `damp`: damping gains and no position."""

    q_des: np.ndarray
    dq_des: np.ndarray
    tau_ff: np.ndarray
    damp: bool = False
