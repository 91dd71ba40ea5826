"""Whole-body inverse dynamics: one small QP per control step turns task accelerations into joint torques.

    min  sum_i w_i |J_i a + dJ_i v - b_i|²  +  w_q |a_upper - b_q|²  +  w_f |F|²
    s.t. M_b a + h_b = J_b^T F + J_b^T w_hands          floating-base dynamics (6 rows)
         J_feet a + dJ_feet v = -k_v v_feet              planted feet do not accelerate (eliminated, see below)
         friction pyramid, centre of pressure inside the sole, yaw torque     (10 rows a foot)
         joint position and velocity limits as bounds on a, collision rows where a pair is near,
         leg-limit and torque rows where the solution without them violates one

Tasks: common and relative motion of the palms, palm orientations, torso and (softly) pelvis orientation, CoM over the feet,
pelvis height, posture. A squeeze is a wrench pair on the palms, known to the dynamics.

Planted feet fix the leg accelerations: a_legs = J_legs^-1 (c - J_legs,base a_base). So the unknowns are
x = [a_base 6, a_waist_and_arms 17, foot wrenches F 12], 35 instead of the textbook's 59 with corner forces; the solver
needs about a fifth of the time, which pays for the elimination several times over.
"""

from __future__ import annotations

from dataclasses import dataclass

import daqp
import numpy as np
import pinocchio as pin

from controllers import g1
from controllers.model import LEGS, LEFT_HAND, NV, RIGHT_HAND, TORSO, G1Model

NU = 23  # a_base and a_upper
N = NU + 12
UPPER = slice(18, NV)  # waist and arms in the generalised velocity
ROWS = 6 + 20
HARD, SOFT, EQUALITY = 0, 8, 5  # daqp's kinds of constraint
UNBOUNDED = 1e30
F_PLANTED, F_LIFTED = 800.0, 10.0  # N, the most a foot may be asked to push
_LEFT, _RIGHT = slice(12, 15), slice(18, 21)  # palm positions among the 30 frame rows
_ROTATIONS = np.array([15, 16, 17, 21, 22, 23, 27, 28, 29])  # left and right palm, torso


@dataclass(frozen=True)
class Gains:
    """Task weights, and PD gains in 1/s² and 1/s. Chosen on g1_box's training seeds."""

    w_common: float = 10.0
    w_relative: float = 3.0
    w_hand_rotation: float = 0.5  # soft: a firm one makes the palms miss by centimetres
    w_torso: float = 4.0
    w_com: float = 100.0  # balance before reach: at 30 stretched arms pull the CoM 3 cm forward
    w_height: float = 40.0
    w_waist: tuple[float, float, float] = (0.5, 0.5, 0.05)
    w_arm: float = 0.02
    w_base: float = 1e-3
    w_pelvis: float = 0.3
    pelvis_share: float = 0.55  # of the torso's pitch taken by the hips; without it the waist bends backwards
    w_force: float = 2e-6
    kp_hand: float = 250.0
    kd_hand: float = 32.0
    kp_rotation: float = 150.0
    kd_rotation: float = 25.0
    kp_torso: float = 120.0
    kd_torso: float = 22.0
    kp_com: float = 80.0
    kd_com: float = 18.0
    kp_height: float = 120.0
    kd_height: float = 22.0
    kp_posture: float = 40.0
    kd_posture: float = 12.0
    kd_feet: float = 20.0
    limit_rate: float = 25.0  # 1/s, how fast a joint may approach its limit
    max_error: tuple[float, float, float] = (0.03, 0.03, 0.1)  # m, palm error acted on: leaning on a wall topples the robot
    com_x: float = 0.036  # m ahead of the ankles: the middle of the sole
    squeeze_gap: float = 0.012  # m of palm gap error at which the whole squeeze acts


class WholeBodyQP:
    """Holds the preallocated QP. `solve` reads the model's terms, so call the model's `update` first."""

    def __init__(self, model: G1Model, gains: Gains | None = None) -> None:
        self.gains = g = gains or Gains()
        self._model = model
        self._H, self._f = np.zeros((N, N)), np.zeros(N)
        self._A = np.zeros((ROWS, N))
        self._upper, self._lower = np.full(N + ROWS, UNBOUNDED), np.full(N + ROWS, -UNBOUNDED)
        self._sense = np.full(N + ROWS, HARD, dtype=np.int32)
        self._sense[N : N + 6] = EQUALITY
        for foot in range(2):
            columns = slice(NU + 6 * foot, NU + 6 * foot + 6)
            self._A[6 + 10 * foot : 16 + 10 * foot, columns] = sole_rows()
            self._lower[columns.start + 2] = 0.0
        self._upper[N + 6 :] = 0.0
        self._kp, self._kd = self._frame_gains()
        self._combine = self._frame_combination()
        counts = ((g.w_common, 3), (g.w_relative, 3), (g.w_hand_rotation, 6), (g.w_torso, 3), (g.w_com, 2), (g.w_height, 1))
        self._weights = np.concatenate([np.full(count, weight) for weight, count in counts])  # (18,)
        self._w_posture = np.concatenate([g.w_waist, np.full(14, g.w_arm)])
        self._diagonal = np.concatenate([np.full(3, g.w_base), np.full(3, g.w_pelvis), self._w_posture])
        self._error, self._rate, self._acceleration = np.zeros(30), np.zeros(30), np.zeros(30)
        self._wrench, self._reach = np.zeros(30), np.full(30, np.inf)
        self._reach[_LEFT] = self._reach[_RIGHT] = g.max_error
        self._tasks, self._b, self._reduced = np.zeros((18, NV)), np.zeros(18), np.zeros((18, NU))
        self._H_used, self._H_diagonal = self._H[:NU, :NU], self._H.reshape(-1)[:: N + 1]
        self._H_diagonal[NU:] = g.w_force
        self._extended: set[str] = set()
        self.common_error = np.zeros(3)
        self.squeeze_force = self.gap_error = 0.0
        self.extended_solves = 0

    def _frame_gains(self) -> tuple[np.ndarray, np.ndarray]:
        """PD gains (30,) of the frame rows; feet are only damped, the torso's position is free."""
        g = self.gains
        kp, kd = np.zeros(30), np.zeros(30)
        kd[:12] = g.kd_feet
        for frame in (LEFT_HAND, RIGHT_HAND):
            kp[6 * frame : 6 * frame + 6] = [g.kp_hand] * 3 + [g.kp_rotation] * 3
            kd[6 * frame : 6 * frame + 6] = [g.kd_hand] * 3 + [g.kd_rotation] * 3
        kp[27:30], kd[27:30] = g.kp_torso, g.kd_torso
        return kp, kd

    @staticmethod
    def _frame_combination() -> np.ndarray:
        """(15, 30): from frame rows to common palm motion, relative palm motion, palm and torso rotations."""
        combine = np.zeros((15, 30))
        combine[0:3, _LEFT] = combine[0:3, _RIGHT] = 0.5 * np.eye(3)
        combine[3:6, _LEFT], combine[3:6, _RIGHT] = np.eye(3), -np.eye(3)
        combine[6:15, _ROTATIONS] = np.eye(9)
        return combine

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
        model, g, self._hand_load = self._model, self.gains, hand_load
        b = self._desired(q, v, reference, rate, acceleration)  # (30,) desired minus drift, feet included
        legs, legs_0 = self._eliminate(b[:12])  # a_legs = legs @ a_base + legs_0
        tasks, target = self._task_rows(q, v, b, reference, rate, acceleration)
        reduced, task_legs = self._reduced, tasks[:, LEGS]  # (18, 23), (18, 12)
        np.matmul(task_legs, legs, out=reduced[:, :6])
        reduced[:, :6] += tasks[:, :6]
        reduced[:, 6:] = tasks[:, UPPER]
        target -= task_legs @ legs_0
        weighted = reduced.T * self._weights  # (23, 18)
        f = self._f
        self._H_used[:] = weighted @ reduced  # matmul into the strided view takes a slow path
        self._H_diagonal[:NU] += self._diagonal
        np.matmul(weighted, -target, out=f[:NU])
        f[3:6] -= g.w_pelvis * self._upright(q, v, reference)
        f[6:NU] -= self._w_posture * (g.kp_posture * (_UPPER_HOME - q[19:]) - g.kd_posture * v[UPPER])
        bias = model.nle - self._hand_wrench(reference, hand_load) @ model.J  # (35,)
        self._dynamics(legs, legs_0, bias)
        bounds = self._joint_bounds(q, v)
        self._upper[6:NU], self._lower[6:NU] = bounds[0][12:], bounds[1][12:]
        self._upper[NU + 2], self._upper[NU + 8] = (F_PLANTED if planted else F_LIFTED for planted in contacts)
        return self._solve_lazily(legs, legs_0, bias, bounds, collision)

    def _desired(
        self, q: np.ndarray, v: np.ndarray, reference: np.ndarray, rate: np.ndarray, acceleration: np.ndarray
    ) -> np.ndarray:
        """(30,) desired frame accelerations minus drift: PD on the filtered reference, damping on the feet."""
        model, error = self._model, self._error
        left, right = pin.XYZQUATToSE3(reference[0:7]), pin.XYZQUATToSE3(reference[7:14])
        c, s = np.cos(reference[g1.TORSO_PITCH]), np.sin(reference[g1.TORSO_PITCH])
        torso = np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
        error[_LEFT] = reference[0:3] - model.positions[LEFT_HAND]
        error[_RIGHT] = reference[7:10] - model.positions[RIGHT_HAND]
        np.minimum(np.maximum(error, -self._reach, out=error), self._reach, out=error)
        error[15:18] = pin.log3(left.rotation @ model.rotations[LEFT_HAND].T)
        error[21:24] = pin.log3(right.rotation @ model.rotations[RIGHT_HAND].T)
        error[27:30] = pin.log3(torso @ model.rotations[TORSO].T)
        self._rate[_LEFT], self._rate[_RIGHT], self._rate[28] = rate[0:3], rate[7:10], rate[g1.TORSO_PITCH]
        self._acceleration[_LEFT], self._acceleration[_RIGHT] = acceleration[0:3], acceleration[7:10]
        self._acceleration[28] = acceleration[g1.TORSO_PITCH]
        return self._kp * error + self._kd * (self._rate - model.twist) + (self._acceleration - model.drift)

    def _upright(self, q: np.ndarray, v: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """(3,) desired angular acceleration of the pelvis, body axes: its share of the torso's pitch, no roll, no yaw."""
        half = 0.5 * self.gains.pelvis_share * float(reference[g1.TORSO_PITCH])
        x, y, z, w = q[3:7].tolist()
        s, c = np.sin(half), np.cos(half)  # error = conjugate(q) * (0, s, 0, c), vector part, small angles
        error = np.array([-x * c + z * s, w * s - y * c, -z * c - x * s])
        return (2.0 * self.gains.kp_torso) * error - self.gains.kd_torso * v[3:6]

    def _eliminate(self, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Leg accelerations (12, 6), (12,) as a function of the base's, feet accelerating by c (12,) minus drift."""
        inverse = self._model.leg_inverse
        legs = np.matmul(inverse, -self._model.J[:12, :6].reshape(2, 6, 6)).reshape(12, 6)
        return legs, np.matmul(inverse, c.reshape(2, 6, 1)).reshape(12)

    def _task_rows(
        self, q: np.ndarray, v: np.ndarray, b: np.ndarray, reference: np.ndarray, rate: np.ndarray, acceleration: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Task Jacobian (18, 35) and desired task accelerations (18,)."""
        g, model, tasks, target = self.gains, self._model, self._tasks, self._b
        np.matmul(self._combine, model.J, out=tasks[:15])
        tasks[15:17] = model.J_com[:2]
        tasks[17, :3] = _up_in_body(q)  # pelvis height: world z of the body-frame linear velocity
        np.matmul(self._combine, b, out=target[:15])
        d_com_x, d_com_y, dz = (tasks[15:18] @ v).tolist()
        com, feet = model.com.tolist(), (0.5 * (model.positions[0] + model.positions[1])).tolist()
        target[15] = g.kp_com * (feet[0] + g.com_x - self._counterweight() - com[0]) - g.kd_com * d_com_x
        target[16] = g.kp_com * (feet[1] - com[1]) - g.kd_com * d_com_y
        h = g1.BASE_HEIGHT
        target[17] = acceleration[h] + g.kp_height * (reference[h] - q[2]) + g.kd_height * (rate[h] - dz)
        return tasks, target

    def _counterweight(self) -> float:
        """m the CoM stands back for what the hands carry, so that both together stay over the middle of the soles."""
        model, load = self._model, self._hand_load
        lever = 0.5 * (model.positions[LEFT_HAND, 0] + model.positions[RIGHT_HAND, 0] - model.positions[0, 0] - model.positions[1, 0])
        return float(-2.0 * load[2] / (9.81 * model.mass) * (lever - self.gains.com_x))

    def _hand_wrench(self, reference: np.ndarray, hand_load: np.ndarray) -> np.ndarray:
        """(30,) what the held object does to the palms: the squeeze's reaction and the carried load.

        The squeeze grows with the gap error up to its full value, so that palms which meet nothing stop where they were
        told to instead of flying together.
        """
        axis = self._model.positions[LEFT_HAND] - self._model.positions[RIGHT_HAND]
        wanted = reference[0:3] - reference[7:10]
        gap = float(np.sqrt(axis @ axis))
        self.gap_error = gap - float(np.sqrt(wanted @ wanted))
        share = min(max(self.gap_error / self.gains.squeeze_gap, 0.0), 1.0)
        self.squeeze_force = share * float(reference[g1.SQUEEZE])
        push = axis * (self.squeeze_force / max(gap, 1e-3))
        self._wrench[_LEFT], self._wrench[_RIGHT] = hand_load + push, hand_load - push
        self.common_error = 0.5 * (self._error[_LEFT] + self._error[_RIGHT])
        return self._wrench

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
        """Joint accelerations (29,), (29,) that keep position and velocity inside their limits (exponential barrier)."""
        k, dq = self.gains.limit_rate, v[6:]
        brake = (2 * k) * dq
        upper = np.minimum((k * k) * (g1.Q_UPPER - q[7:]) - brake, _K_SPEED * k - k * dq)
        lower = np.maximum((k * k) * (g1.Q_LOWER - q[7:]) - brake, -_K_SPEED * k - k * dq)
        return np.maximum(upper, -300.0), np.minimum(lower, 300.0)

    def _solve_lazily(
        self, legs: np.ndarray, legs_0: np.ndarray, bias: np.ndarray, bounds: tuple[np.ndarray, np.ndarray],
        collision: tuple[np.ndarray, np.ndarray] | None,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """Solve; where legs or torques leave their limits, solve again with those rows (same optimum as with all)."""
        problem = (self._A, self._upper, self._lower, self._sense)
        if collision is not None:
            rows, bound = self._reduce(collision[0], legs, legs_0)
            problem = _with_rows(problem, rows, collision[1] - bound, np.full(len(bound), UNBOUNDED), SOFT)
        for attempt in range(2):
            x, _, flag, _ = daqp.solve(self._H, self._f, *problem)
            if flag < 1:
                raise ArithmeticError(f"whole-body QP: no solution (daqp exit flag {flag}); the last command is held")
            a_legs = legs @ x[:6] + legs_0
            a = np.concatenate([x[:6], a_legs, x[6:NU]])
            tau = self._model.M[6:] @ a + bias[6:] - x[NU:] @ self._model.J[:12, 6:]
            legal = (np.abs(tau) <= g1.TAU_MAX).all() and (a_legs <= bounds[0][:12]).all() and (a_legs >= bounds[1][:12]).all()
            if legal or attempt:
                break
            self.extended_solves += 1
            problem = self._extend(problem, legs, legs_0, bias, bounds)
        return a, np.minimum(np.maximum(tau, -g1.TAU_MAX), g1.TAU_MAX)

    @staticmethod
    def _reduce(rows: np.ndarray, legs: np.ndarray, legs_0: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows (k, 35) on all accelerations as rows (k, N) on the unknowns, and their constants (k,)."""
        reduced = np.zeros((len(rows), N))
        reduced[:, :NU] = rows[:, _KEPT]
        reduced[:, :6] += rows[:, LEGS] @ legs
        return reduced, rows[:, LEGS] @ legs_0

    def _extend(
        self, problem: tuple[np.ndarray, ...], legs: np.ndarray, legs_0: np.ndarray, bias: np.ndarray,
        bounds: tuple[np.ndarray, np.ndarray],
    ) -> tuple[np.ndarray, ...]:  # fmt: skip
        """The problem with soft leg-limit rows and hard torque rows."""
        leg_rows = np.zeros((12, N))
        leg_rows[:, :6] = legs
        problem = _with_rows(problem, leg_rows, bounds[1][:12] - legs_0, bounds[0][:12] - legs_0, SOFT)
        rows, constant = self._reduce(self._model.M[6:], legs, legs_0)
        rows[:, NU:] = -self._model.J[:12, 6:].T
        offset = bias[6:] + constant
        return _with_rows(problem, rows, -g1.TAU_MAX - offset, g1.TAU_MAX - offset, SOFT)


_KEPT = np.r_[0:6, 18:NV]
_UPPER_HOME = g1.Q_HOME[12:]
_K_SPEED = 0.9 * g1.DQ_MAX  # rad/s


def sole_rows() -> np.ndarray:
    """(10, 6): rows R with R F <= 0 for a foot wrench F = [f; m] at the ankle, in foot axes.

    Friction pyramid inside the cone (4), centre of pressure inside the sole (4), yaw torque (2). With the sole at height
    z below the ankle, a pressure point (x, y) gives m_x = y f_z - z f_y and m_y = z f_x - x f_z.
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


def _with_rows(
    problem: tuple[np.ndarray, ...], rows: np.ndarray, lower: np.ndarray, upper: np.ndarray, kind: int
) -> tuple[np.ndarray, ...]:
    """A problem (A, upper, lower, sense) with more rows."""
    A, all_upper, all_lower, sense = problem
    kinds = np.full(len(rows), kind, dtype=np.int32)
    return (
        np.concatenate([A, rows]),
        np.concatenate([all_upper, upper]),
        np.concatenate([all_lower, lower]),
        np.concatenate([sense, kinds]),
    )


def _up_in_body(q: np.ndarray) -> tuple[float, float, float]:
    """World z axis in the pelvis frame, from the configuration's quaternion."""
    x, y, z, w = q[3:7].tolist()
    return 2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)
