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

import numpy as np

from controllers import g1
from controllers.model import LEGS, NV, G1Model
from controllers.quadratic_program import EQUALITY, SOFT, UNBOUNDED, QuadraticProgram
from controllers.sole import sole_rows
from controllers.tasks import ROWS as TASK_ROWS
from controllers.tasks import Gains, WholeBodyTasks

NU = 23  # a_base and a_upper
N = NU + 12
UPPER = slice(18, NV)  # waist and arms in the generalised velocity
ROWS = 6 + 20
F_PLANTED, F_LIFTED = 800.0, 10.0  # N, the most a foot may be asked to push


class WholeBodyQP:
    """Holds the preallocated QP. `solve` reads the model's terms, so call the model's `update` first."""

    def __init__(self, model: G1Model, gains: Gains | None = None) -> None:
        g = gains or Gains()
        self.gains, self.tasks = g, WholeBodyTasks(model, g)
        self._model = model
        self._program = QuadraticProgram.empty(N, ROWS)
        self._f, self._A = self._program.f, self._program.A
        self._upper, self._lower = self._program.upper, self._program.lower
        self._program.kind[N : N + 6] = EQUALITY
        for foot in range(2):
            columns = slice(NU + 6 * foot, NU + 6 * foot + 6)
            self._A[6 + 10 * foot : 16 + 10 * foot, columns] = sole_rows()
            self._lower[columns.start + 2] = 0.0
        self._upper[N + 6 :] = 0.0
        self._w_posture = np.concatenate([g.w_waist, np.full(14, g.w_arm)])
        self._diagonal = np.concatenate([np.full(3, g.w_base), np.full(3, g.w_pelvis), self._w_posture])
        self._reduced = np.zeros((TASK_ROWS, NU))
        self._H_used, self._H_diagonal = self._program.H[:NU, :NU], self._program.H.reshape(-1)[:: N + 1]
        self._H_diagonal[NU:] = g.w_force
        self.extended_solves = 0

    def solve(
        self, q: np.ndarray, v: np.ndarray, reference: np.ndarray, rate: np.ndarray, acceleration: np.ndarray,
        contacts: np.ndarray, hand_load: np.ndarray, collision: tuple[np.ndarray, np.ndarray] | None,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """One step.

        Args:
            q, v: (36,), (35,) Pinocchio configuration and velocity (base first), those of the model's update.
            reference, rate, acceleration: (17,) filtered action and its derivatives.
            contacts: (2,) planted feet.
            hand_load: (3,) N, force of the carried object on each hand, odom axes.
            collision: rows (k, 35) and lower bounds (k,) on the accelerations, or None.

        Returns:
            Accelerations (35,) and joint torques (29,) within TAU_MAX.

        Raises:
            ArithmeticError: the QP has no solution.
        """
        model, g, todo = self._model, self.gains, self.tasks
        b = todo.desired(reference, rate, acceleration)  # (30,) desired minus drift, feet included
        legs, legs_0 = self._eliminate(b[:12])  # a_legs = legs @ a_base + legs_0
        tasks, target = todo.rows(q, v, b, reference, rate, acceleration, float(hand_load[2]))
        reduced, task_legs = self._reduced, tasks[:, LEGS]  # (18, 23), (18, 12)
        np.matmul(task_legs, legs, out=reduced[:, :6])
        reduced[:, :6] += tasks[:, :6]
        reduced[:, 6:] = tasks[:, UPPER]
        target -= task_legs @ legs_0
        weighted = reduced.T * todo.weights  # (23, 18)
        f = self._f
        self._H_used[:] = weighted @ reduced  # matmul into the strided view takes a slow path
        self._H_diagonal[:NU] += self._diagonal
        np.matmul(weighted, -target, out=f[:NU])
        f[3:6] -= g.w_pelvis * todo.upright(q, v, reference)
        f[6:NU] -= self._w_posture * (g.kp_posture * (_UPPER_HOME - q[19:]) - g.kd_posture * v[UPPER])
        bias = model.nle - todo.hand_wrench(reference, hand_load) @ model.J  # (35,)
        self._dynamics(legs, legs_0, bias)
        bounds = self._joint_bounds(q, v)
        self._upper[6:NU], self._lower[6:NU] = bounds[0][12:], bounds[1][12:]
        self._upper[NU + 2], self._upper[NU + 8] = (F_PLANTED if planted else F_LIFTED for planted in contacts)
        return self._solve_lazily(legs, legs_0, bias, bounds, collision)

    def _eliminate(self, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Leg accelerations (12, 6), (12,) as a function of the base's, feet accelerating by c (12,) minus drift."""
        inverse = self._model.leg_inverse
        legs = np.matmul(inverse, -self._model.J[:12, :6].reshape(2, 6, 6)).reshape(12, 6)
        return legs, np.matmul(inverse, c.reshape(2, 6, 1)).reshape(12)

    def _dynamics(self, legs: np.ndarray, legs_0: np.ndarray, bias: np.ndarray) -> None:
        """Floating-base rows M_b a - J_b^T F = -bias_b, in the reduced unknowns."""
        A, M = self._A, self._model.M[:6]
        M_legs = M[:, LEGS]
        A[:6, :6] = M[:, :6] + M_legs @ legs
        A[:6, 6:NU] = M[:, UPPER]
        A[:6, NU:] = -self._model.J[:12, :6].T
        rows = slice(N, N + 6)
        self._upper[rows] = self._lower[rows] = -bias[:6] - M_legs @ legs_0

    def _joint_bounds(self, q: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Joint accelerations (29,), (29,) that keep position and velocity in their limits (exponential barrier)."""
        k = self.gains.limit_rate
        q_signed, brake = _SIGNS * q[7:], (k * _SIGNS) * v[6:]  # (2, 29): upper limits, and lower ones as upper of -q
        bounds = np.minimum((k * k) * (_Q_LIMITS - q_signed) - 2.0 * brake, k * _SPEEDS - brake)
        bounds = np.maximum(bounds, -300.0)  # rad/s²: beyond a limit, no more than a firm push back
        return bounds[0], -bounds[1]

    def _solve_lazily(
        self, legs: np.ndarray, legs_0: np.ndarray, bias: np.ndarray, bounds: tuple[np.ndarray, np.ndarray],
        collision: tuple[np.ndarray, np.ndarray] | None,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """Solve; where legs, torques or distances leave their limits, solve again with all of those rows."""
        program = self._program
        lower, upper = bounds[1][:12], bounds[0][:12]
        for attempt in range(2):
            x = program.solve()
            a_legs = legs @ x[:6] + legs_0
            a = np.concatenate([x[:6], a_legs, x[6:NU]])
            tau = self._model.M[6:] @ a + bias[6:] - x[NU:] @ self._model.J[:12, 6:]
            clipped = np.minimum(np.maximum(tau, -g1.TAU_MAX), g1.TAU_MAX)
            legal = (clipped == tau).all() and not ((a_legs > upper) | (a_legs < lower)).any()
            if collision is not None:
                legal = legal and (collision[0] @ a >= collision[1]).all()
            if legal or attempt:
                break
            self.extended_solves += 1
            program = self._extend(program, legs, legs_0, bias, bounds)
            if collision is not None:
                rows, constant = self._reduce(collision[0], legs, legs_0)
                program = program.with_rows(rows, collision[1] - constant, np.full(len(rows), UNBOUNDED), SOFT)
        return a, clipped

    @staticmethod
    def _reduce(rows: np.ndarray, legs: np.ndarray, legs_0: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows (k, 35) on all accelerations as rows (k, N) on the unknowns, and their constants (k,)."""
        reduced = np.zeros((len(rows), N))
        reduced[:, :NU] = rows[:, _KEPT]
        reduced[:, :6] += rows[:, LEGS] @ legs
        return reduced, rows[:, LEGS] @ legs_0

    def _extend(
        self, program: QuadraticProgram, legs: np.ndarray, legs_0: np.ndarray, bias: np.ndarray,
        bounds: tuple[np.ndarray, np.ndarray],
    ) -> QuadraticProgram:  # fmt: skip
        """The program with leg-limit and torque rows, both soft: an impossible demand must still have an answer."""
        leg_rows = np.zeros((12, N))
        leg_rows[:, :6] = legs
        program = program.with_rows(leg_rows, bounds[1][:12] - legs_0, bounds[0][:12] - legs_0, SOFT)
        rows, constant = self._reduce(self._model.M[6:], legs, legs_0)
        rows[:, NU:] = -self._model.J[:12, 6:].T
        offset = bias[6:] + constant
        return program.with_rows(rows, -g1.TAU_MAX - offset, g1.TAU_MAX - offset, SOFT)


_KEPT = np.r_[0:6, 18:NV]
_UPPER_HOME = g1.Q_HOME[12:]
_SIGNS = np.array([[1.0], [-1.0]])
_Q_LIMITS = np.stack([g1.Q_UPPER, -g1.Q_LOWER])  # rad
_SPEEDS = 0.9 * g1.DQ_MAX  # rad/s
