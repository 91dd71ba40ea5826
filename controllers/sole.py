"""What a flat foot can do to the ground: the linear limits of its wrench."""

from __future__ import annotations

import numpy as np

from controllers import g1


def sole_rows() -> np.ndarray:
    """(10, 6): rows R with R F <= 0 for a foot wrench F = [f; m] at the ankle, in foot axes.

    Friction pyramid inside the cone (4), centre of pressure inside the sole (4), yaw torque (2). With the sole at
    height z below the ankle, a pressure point (x, y) gives m_x = y f_z - z f_y and m_y = z f_x - x f_z.
    """
    mu, z = g1.FOOT_FRICTION / np.sqrt(2.0), g1.SOLE_Z
    (x_max, y_max), (x_min, y_min) = g1.FOOT_CORNERS[:, :2].max(axis=0), g1.FOOT_CORNERS[:, :2].min(axis=0)
    twist = 0.5 * g1.FOOT_FRICTION * (y_max - y_min)  # m, yaw torque per vertical force, of a narrow sole
    return np.array(
        [
            [1, 0, -mu, 0, 0, 0],
            [-1, 0, -mu, 0, 0, 0],
            [0, 1, -mu, 0, 0, 0],
            [0, -1, -mu, 0, 0, 0],
            [0, z, -y_max, 1, 0, 0],  # y <= y_max
            [0, -z, y_min, -1, 0, 0],  # y >= y_min
            [z, 0, -x_max, 0, -1, 0],  # x <= x_max
            [-z, 0, x_min, 0, 1, 0],  # x >= x_min
            [0, 0, -twist, 0, 0, 1],
            [0, 0, -twist, 0, 0, -1],
        ]
    )
