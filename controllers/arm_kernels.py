"""The small-array loops of an arm's control step, compiled: kinematics and a small linear solver.

A rig is a forest of one-axis joints, all arms together: `parent` (n,) -1 for the base, `offset_R` (n, 3, 3) and
`offset_p` (n, 3) the placement in the parent, `axis` (n, 3), `slides` (n,). Hands are points fixed to a joint. World
frame: the rig's. Tests compare everything here with Pinocchio.
"""

from __future__ import annotations

import math

import numpy as np

from controllers.compiled import compiled


@compiled
def forward(
    parent: np.ndarray, offset_R: np.ndarray, offset_p: np.ndarray, axis: np.ndarray, slides: np.ndarray,
    q: np.ndarray, R: np.ndarray, p: np.ndarray, z: np.ndarray,
) -> None:  # fmt: skip
    """Fills the joints' rotations R (n, 3, 3), positions p (n, 3) and axes z (n, 3) in the world for q (n,)."""
    turn, fixed = np.zeros((3, 3)), np.zeros((3, 3))
    for i in range(q.shape[0]):
        k = parent[i]
        for r in range(3):
            total = offset_p[i, r] if k < 0 else p[k, r]
            for c in range(3):
                if k < 0:
                    fixed[r, c] = offset_R[i, r, c]
                else:
                    total += R[k, r, c] * offset_p[i, c]
                    fixed[r, c] = 0.0
                    for m in range(3):
                        fixed[r, c] += R[k, r, m] * offset_R[i, m, c]
            p[i, r] = total
        for r in range(3):
            z[i, r] = fixed[r, 0] * axis[i, 0] + fixed[r, 1] * axis[i, 1] + fixed[r, 2] * axis[i, 2]
        if slides[i]:
            for r in range(3):
                p[i, r] += z[i, r] * q[i]
                for c in range(3):
                    R[i, r, c] = fixed[r, c]
            continue
        x, y, w = axis[i, 0], axis[i, 1], axis[i, 2]
        s, c1 = math.sin(q[i]), math.cos(q[i])
        v = 1.0 - c1
        turn[0, 0], turn[0, 1], turn[0, 2] = c1 + x * x * v, x * y * v - w * s, x * w * v + y * s
        turn[1, 0], turn[1, 1], turn[1, 2] = y * x * v + w * s, c1 + y * y * v, y * w * v - x * s
        turn[2, 0], turn[2, 1], turn[2, 2] = w * x * v - y * s, w * y * v + x * s, c1 + w * w * v
        for r in range(3):
            for c in range(3):
                R[i, r, c] = fixed[r, 0] * turn[0, c] + fixed[r, 1] * turn[1, c] + fixed[r, 2] * turn[2, c]


@compiled
def hands(
    ee_joint: np.ndarray, ee_R: np.ndarray, ee_p: np.ndarray, R: np.ndarray, p: np.ndarray, hand_R: np.ndarray,
    hand_p: np.ndarray,
) -> None:  # fmt: skip
    """Fills rotations (h, 3, 3) and positions (h, 3) of the hands from those of the joints."""
    for h in range(ee_joint.shape[0]):
        k = ee_joint[h]
        for r in range(3):
            hand_p[h, r] = p[k, r]
            for c in range(3):
                hand_p[h, r] += R[k, r, c] * ee_p[h, c]
                hand_R[h, r, c] = 0.0
                for m in range(3):
                    hand_R[h, r, c] += R[k, r, m] * ee_R[h, m, c]


@compiled
def jacobian(
    parent: np.ndarray, slides: np.ndarray, ee_joint: np.ndarray, p: np.ndarray, z: np.ndarray, hand_p: np.ndarray,
    J: np.ndarray,
) -> None:  # fmt: skip
    """Fills J (h, 6, n): velocity of each hand's point, linear first, in world axes."""
    J[:] = 0.0
    for h in range(ee_joint.shape[0]):
        i = ee_joint[h]
        while i >= 0:
            _column(J[h], i, z[i], p[i], hand_p[h], slides[i])
            i = parent[i]


@compiled
def _column(J: np.ndarray, i: int, z: np.ndarray, p: np.ndarray, point: np.ndarray, slides: bool) -> None:
    if slides:
        for r in range(3):
            J[r, i] = z[r]
        return
    x, y, w = point[0] - p[0], point[1] - p[1], point[2] - p[2]
    J[0, i], J[1, i], J[2, i] = z[1] * w - z[2] * y, z[2] * x - z[0] * w, z[0] * y - z[1] * x
    J[3, i], J[4, i], J[5, i] = z[0], z[1], z[2]


@compiled
def turn_between(A: np.ndarray, B: np.ndarray, out: np.ndarray) -> None:
    """Fills out (3,): the rotation vector, world axes, that turns A (3, 3) into B (3, 3)."""
    E = np.empty((3, 3))
    for r in range(3):
        for c in range(3):
            E[r, c] = B[r, 0] * A[c, 0] + B[r, 1] * A[c, 1] + B[r, 2] * A[c, 2]
    x, y, w = E[2, 1] - E[1, 2], E[0, 2] - E[2, 0], E[1, 0] - E[0, 1]
    sine = 0.5 * math.sqrt(x * x + y * y + w * w)
    cosine = 0.5 * (E[0, 0] + E[1, 1] + E[2, 2] - 1.0)
    angle = math.atan2(sine, cosine)
    if sine < 1e-6 and cosine < 0.0:  # half a turn: any of the two ways; the axis is the largest column of E + 1
        k = 0
        for r in range(1, 3):
            if E[r, r] > E[k, k]:
                k = r
        norm = 0.0
        for r in range(3):
            out[r] = E[r, k] + (1.0 if r == k else 0.0)
            norm += out[r] * out[r]
        for r in range(3):
            out[r] *= math.pi / math.sqrt(norm)
        return
    scale = 0.5 if sine < 1e-9 else 0.5 * angle / sine
    out[0], out[1], out[2] = scale * x, scale * y, scale * w


@compiled
def cholesky_solve(H: np.ndarray, f: np.ndarray, x: np.ndarray, L: np.ndarray) -> None:
    """Fills x (n,) with -H^-1 f for a positive definite H (n, n); L (n, n) is scratch."""
    n = f.shape[0]
    for i in range(n):
        for j in range(i + 1):
            total = H[i, j]
            for k in range(j):
                total -= L[i, k] * L[j, k]
            L[i, j] = math.sqrt(max(total, 1e-18)) if i == j else total / L[j, j]
    for i in range(n):
        total = -f[i]
        for k in range(i):
            total -= L[i, k] * x[k]
        x[i] = total / L[i, i]
    for m in range(n):
        i = n - 1 - m
        total = x[i]
        for k in range(i + 1, n):
            total -= L[k, i] * x[k]
        x[i] = total / L[i, i]


@compiled
def manipulability(J: np.ndarray, h: int) -> float:
    """sqrt(det(J J^T)) of hand h, m³: 0 where the hand cannot move in some direction."""
    A, L = np.zeros((6, 6)), np.zeros((6, 6))
    for r in range(6):
        for c in range(r + 1):
            for k in range(J.shape[2]):
                A[r, c] += J[h, r, k] * J[h, c, k]
    product = 1.0
    for i in range(6):
        for j in range(i + 1):
            total = A[i, j]
            for k in range(j):
                total -= L[i, k] * L[j, k]
            if i == j:
                if total <= 0.0:
                    return 0.0
                L[i, i] = math.sqrt(total)
                product *= L[i, i]
            else:
                L[i, j] = total / L[j, j]
    return product
