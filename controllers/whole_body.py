"""Whole-body inverse dynamics: one small QP per control step turns task accelerations into joint torques.

    min  sum_i w_i |J_i a + dJ_i v - b_i|²  +  w_q |a_upper - b_q|²  +  w_f |F|²
    s.t. M_b a + h_b = J_b^T F + J_b^T w_hands          floating-base dynamics (6 rows)
         J_feet a + dJ_feet v = -k_v v_feet              planted feet do not accelerate (eliminated, see below)
         friction pyramid, centre of pressure inside the sole, yaw torque     (10 rows a foot)
         joint position and velocity limits as bounds on a;
         collision, leg-limit and torque rows, added when the solution without them violates one

Tasks: common and relative motion of the palms, palm orientations, torso and (softly) pelvis orientation, CoM over the
feet, pelvis height, posture. A squeeze is a wrench pair on the palms, known to the dynamics.

Planted feet fix the leg accelerations: a_legs = J_legs^-1 (c - J_legs,base a_base). So the unknowns are
x = [a_base 6, a_waist_and_arms 17, foot wrenches F 12], 35 instead of the textbook's 59 with corner forces; the solver
needs about a fifth of the time, which pays for the elimination several times over.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from controllers import g1
from controllers.compiled import compiled
from controllers.free_optimum import free_optimum
from controllers.model import LEFT_HAND, LEGS, NV, RIGHT_HAND, G1Model
from controllers.quadratic_program import EQUALITY, SOFT, UNBOUNDED, QuadraticProgram
from controllers.sole import sole_rows
from controllers.tasks import ROWS as TASK_ROWS
from controllers.tasks import Gains, WholeBodyTasks

NU = 23  # a_base and a_upper
N = NU + 12
ROWS = 6 + 20
F_PLANTED, F_LIFTED = 800.0, 10.0  # N, the most a foot may be asked to push
PUSH_BACK = 300.0  # rad/s²: beyond a limit, no more than a firm push back
SPEED_SHARE = 0.9  # of a joint's speed limit, left for what the motor law adds


class Reduction(NamedTuple):
    """Planted feet: a_legs = legs @ a_base + legs_0. Arrays are the same objects at every step.

    legs (12, 6), legs_0 (12,); bias (35,): forces that no acceleration needs, hand wrenches included;
    upper, lower (29,): joint accelerations that keep position and speed in their limits (exponential barrier).
    """

    legs: np.ndarray
    legs_0: np.ndarray
    bias: np.ndarray
    upper: np.ndarray
    lower: np.ndarray


class WholeBodyQP:
    """Holds the preallocated QP. `solve` reads the model's terms, so call the model's `update` first."""

    def __init__(self, model: G1Model, gains: Gains | None = None) -> None:
        g = gains or Gains()
        self.gains, self.tasks = g, WholeBodyTasks(model, g)
        self._model = model
        self._program = program = QuadraticProgram.empty(N, ROWS)
        program.kind[N : N + 6] = EQUALITY
        for foot in range(2):
            columns = slice(NU + 6 * foot, NU + 6 * foot + 6)
            program.A[6 + 10 * foot : 16 + 10 * foot, columns] = sole_rows()
            program.lower[columns.start + 2] = 0.0
        program.upper[N + 6 :] = 0.0
        w_posture = np.concatenate([g.w_waist, np.full(14, g.w_arm)])
        self._diagonal = np.concatenate([np.full(3, g.w_base), np.full(3, g.w_pelvis), w_posture])  # (23,)
        program.H.reshape(-1)[:: N + 1][NU:] = g.w_force
        self._reduction = Reduction(np.zeros((12, 6)), np.zeros(12), np.zeros(NV), np.zeros(29), np.zeros(29))
        self._x = np.zeros(N)
        self.extended_solves = 0

    def solve(
        self, q: np.ndarray, v: np.ndarray, reference: np.ndarray, rate: np.ndarray, acceleration: np.ndarray,
        contacts: np.ndarray, pressure_x: float, hand_load: np.ndarray,
        collision: tuple[np.ndarray, np.ndarray],
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """One step.

        Args:
            q, v: (36,), (35,) Pinocchio configuration and velocity (base first), those of the model's update.
            reference, rate, acceleration: (17,) filtered action and its derivatives.
            contacts: (2,) planted feet.
            pressure_x: m ahead of the ankles, where the ground pushes on the soles.
            hand_load: (3,) N, force of the carried object on each hand, odom axes.
            collision: rows (k, 35) and lower bounds (k,) on the accelerations.

        Returns:
            Accelerations (35,) and joint torques (29,) within TAU_MAX.

        Raises:
            ArithmeticError: the QP has no solution.
        """
        demands = self.tasks.update(q, v, reference, rate, acceleration, hand_load, pressure_x)
        program, reduction, terms = self._program, self._reduction, self._model.terms
        _reduce_body(reduction, terms, demands.feet, demands.wrench, self.gains.limit_rate, q, v)
        _fill_cost(program.H, program.f, reduction, demands, self.tasks.weights, self._diagonal, self.gains, q, v)
        _fill_constraints(program.A, program.upper, program.lower, reduction, terms.M, terms.J, contacts)
        return self._solve_lazily(*collision)

    def _solve_lazily(self, rows: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Solve; where legs, torques or distances leave their limits, solve again with all of those rows."""
        terms, reduction, program, x = self._model.terms, self._reduction, self._program, self._x
        if not free_optimum(program.H, program.f, program.A, program.upper, program.lower, 6, NU, x):
            x = program.solve()
        a, tau, legal = _recover(x, reduction, terms.M, terms.J, rows, bounds)
        if legal:
            return a, tau
        self.extended_solves += 1
        x = self._extended(rows, bounds).solve()
        return _recover(x, reduction, terms.M, terms.J, rows, bounds)[:2]

    def _extended(self, rows: np.ndarray, bounds: np.ndarray) -> QuadraticProgram:
        """The program with leg-limit, torque and collision rows, all soft: an impossible demand must still have an
        answer."""
        terms, r = self._model.terms, self._reduction
        leg_rows = np.zeros((12, N))
        leg_rows[:, :6] = r.legs
        program = self._program.with_rows(leg_rows, r.lower[:12] - r.legs_0, r.upper[:12] - r.legs_0, SOFT)
        torque_rows, constant = self._on_unknowns(terms.M[6:])
        torque_rows[:, NU:] = -terms.J[:12, 6:].T
        offset = r.bias[6:] + constant
        program = program.with_rows(torque_rows, -g1.TAU_MAX - offset, g1.TAU_MAX - offset, SOFT)
        if len(rows) == 0:
            return program
        distance_rows, constant = self._on_unknowns(rows)
        return program.with_rows(distance_rows, bounds - constant, np.full(len(rows), UNBOUNDED), SOFT)

    def _on_unknowns(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows (k, 35) on all accelerations as rows (k, N) on the unknowns, and their constants (k,)."""
        reduced = np.zeros((len(rows), N))
        reduced[:, :NU] = rows[:, _KEPT]
        reduced[:, :6] += rows[:, LEGS] @ self._reduction.legs
        return reduced, rows[:, LEGS] @ self._reduction.legs_0


@compiled
def _reduce_body(reduction, terms, feet, wrench, limit_rate, q, v):
    """Fill `reduction`: the legs' accelerations for feet (12,) minus drift, bias for palm forces (6,), bounds."""
    J = terms.J
    for leg in range(2):
        inverse = terms.leg_inverse[leg]
        for i in range(6):
            row = 6 * leg + i
            for j in range(6):
                total = 0.0
                for k in range(6):
                    total -= inverse[i, k] * J[6 * leg + k, j]
                reduction.legs[row, j] = total
            total = 0.0
            for k in range(6):
                total += inverse[i, k] * feet[6 * leg + k]
            reduction.legs_0[row] = total
    for i in range(NV):
        reduction.bias[i] = terms.nle[i]
        for c in range(3):
            left, right = J[6 * LEFT_HAND + c, i], J[6 * RIGHT_HAND + c, i]
            reduction.bias[i] -= wrench[c] * left + wrench[3 + c] * right
    for i in range(g1.NUM_JOINTS):
        position, brake, speed = q[7 + i], limit_rate * v[6 + i], limit_rate * SPEED_SHARE * g1.DQ_MAX[i]
        square = limit_rate * limit_rate
        up = min(square * (g1.Q_UPPER[i] - position) - 2.0 * brake, speed - brake)
        down = min(square * (position - g1.Q_LOWER[i]) + 2.0 * brake, speed + brake)
        reduction.upper[i], reduction.lower[i] = max(up, -PUSH_BACK), -max(down, -PUSH_BACK)


@compiled
def _fill_cost(H, f, reduction, demands, weights, diagonal, g, q, v):
    """Task rows on the reduced accelerations, weighted and squared, into H (23, 23) and f (23)."""
    reduced = np.empty((TASK_ROWS, NU))
    for r in range(TASK_ROWS):
        row, target = demands.rows[r], demands.target[r]
        for j in range(NU):
            reduced[r, j] = row[j] if j < 6 else row[12 + j]
        for k in range(12):
            a = row[6 + k]
            target -= a * reduction.legs_0[k]
            for j in range(6):
                reduced[r, j] += a * reduction.legs[k, j]
        demands.target[r] = target
    for i in range(NU):
        f[i] = 0.0
        for j in range(NU):
            H[i, j] = diagonal[i] if i == j else 0.0
    for r in range(TASK_ROWS):
        for i in range(NU):
            weighted = weights[r] * reduced[r, i]
            f[i] -= weighted * demands.target[r]
            for j in range(NU):
                H[i, j] += weighted * reduced[r, j]
    for c in range(3):
        f[3 + c] -= g.w_pelvis * demands.upright[c]
    for i in range(6, NU):
        posture = g.kp_posture * (g1.Q_HOME[6 + i] - q[13 + i]) - g.kd_posture * v[12 + i]
        f[i] -= diagonal[i] * posture


@compiled
def _fill_constraints(A, upper, lower, reduction, M, J, contacts):
    """Floating-base rows M_b a - J_b^T F = -bias_b in the reduced unknowns; bounds of the upper body and the feet."""
    for i in range(6):
        constant = -reduction.bias[i]
        for j in range(NU):
            A[i, j] = M[i, j if j < 6 else 12 + j]
        for k in range(12):
            constant -= M[i, 6 + k] * reduction.legs_0[k]
            A[i, NU + k] = -J[k, i]
            for j in range(6):
                A[i, j] += M[i, 6 + k] * reduction.legs[k, j]
        upper[N + i] = lower[N + i] = constant
    for i in range(17):
        upper[6 + i], lower[6 + i] = reduction.upper[12 + i], reduction.lower[12 + i]
    for foot in range(2):
        upper[NU + 6 * foot + 2] = F_PLANTED if contacts[foot] else F_LIFTED


@compiled
def _recover(x, reduction, M, J, rows, bounds):
    """Accelerations (35,), torques (29,) clipped to TAU_MAX, and whether nothing had to be clipped nor is exceeded."""
    a, tau, legal = np.empty(NV), np.empty(g1.NUM_JOINTS), True
    for j in range(NU):
        a[j if j < 6 else 12 + j] = x[j]
    for i in range(12):
        total = reduction.legs_0[i]
        for j in range(6):
            total += reduction.legs[i, j] * x[j]
        legal = legal and reduction.lower[i] <= total <= reduction.upper[i]
        a[6 + i] = total
    for i in range(g1.NUM_JOINTS):
        total = reduction.bias[6 + i]
        for j in range(NV):
            total += M[j, 6 + i] * a[j]  # symmetric, and contiguous this way
        if i < 12:  # the feet push on nothing but their own legs and the base
            leg = i // 6
            for k in range(6 * leg, 6 * leg + 6):
                total -= J[k, 6 + i] * x[NU + k]
        tau[i] = min(max(total, -g1.TAU_MAX[i]), g1.TAU_MAX[i])
        legal = legal and tau[i] == total
    for r in range(bounds.size):
        total = 0.0
        for j in range(NV):
            total += rows[r, j] * a[j]
        legal = legal and total >= bounds[r]
    return a, tau, legal


_KEPT = np.r_[0:6, 18:NV]
