"""A dense QP for daqp: bounds on the unknowns first, then rows; rows can be added without touching the original."""

from __future__ import annotations

from dataclasses import dataclass

import daqp
import numpy as np

HARD, SOFT, EQUALITY = 0, 8, 5  # daqp's kinds of constraint
UNBOUNDED = 1e30


@dataclass(frozen=True, slots=True)
class QuadraticProgram:
    """min 1/2 x' H x + f' x with bounds on x (n) and on A x (m): upper, lower, kind are (n + m,)."""

    H: np.ndarray
    f: np.ndarray
    A: np.ndarray
    upper: np.ndarray
    lower: np.ndarray
    kind: np.ndarray

    @classmethod
    def empty(cls, n: int, m: int) -> QuadraticProgram:
        """All zero and unbounded, to be filled in place."""
        bound = np.full(n + m, UNBOUNDED)
        kinds = np.full(n + m, HARD, dtype=np.int32)
        return cls(np.zeros((n, n)), np.zeros(n), np.zeros((m, n)), bound, -bound, kinds)

    def with_rows(self, rows: np.ndarray, lower: np.ndarray, upper: np.ndarray, kind: int) -> QuadraticProgram:
        """The same program with lower <= rows x <= upper, rows (k, n), as well."""
        return QuadraticProgram(
            self.H,
            self.f,
            np.concatenate([self.A, rows]),
            np.concatenate([self.upper, upper]),
            np.concatenate([self.lower, lower]),
            np.concatenate([self.kind, np.full(len(rows), kind, dtype=np.int32)]),
        )

    def solve(self) -> np.ndarray:
        """The optimum (n,).

        Raises:
            ArithmeticError: there is none.
        """
        x, _, flag, _ = daqp.solve(self.H, self.f, self.A, self.upper, self.lower, self.kind)
        if flag < 1:
            raise ArithmeticError(f"whole-body QP: no solution (daqp exit flag {flag}); the last command is held")
        return x
