"""A LowState in this project's terms: SI units, float64, quaternion x y z w, a stamp on our clock."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

XYZW = np.array([1, 2, 3, 0])  # Unitree's quaternion is w x y z


@dataclass(frozen=True, slots=True)
class State:
    """One LowState: stamp ns; joints (3, 29) q, dq, tau_est; imu (10,) as it came: quaternion w x y z, gyro, accel."""

    stamp_ns: int
    joints: np.ndarray
    imu: np.ndarray

    @property
    def quat_xyzw(self) -> np.ndarray:
        """(4,) attitude of the pelvis."""
        return self.imu[XYZW]
