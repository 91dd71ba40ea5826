"""Whole-body inverse dynamics: one QP per control step turns task accelerations into joint torques.

Variables x = [joint and base accelerations (35), corner forces of both feet (24)].

    min  sum_i w_i |J_i a + dJ_i v - b_i|²  +  w_q |a_joints - b_q|²  +  w_f |f|²
    s.t. M_b a + h_b = J_b^T f + J_b^T w_hands          floating-base dynamics (6)
         J_feet a + dJ_feet v = -k_v v_feet              planted feet do not accelerate (12)
         |f_x|, |f_y| <= mu f_z,  0 <= f_z <= f_max      friction pyramids (32 rows + bounds)
         joint position and velocity limits as bounds on a, collision and torque rows where they are near

Tasks: common and relative motion of the palms, palm orientations, torso orientation, CoM over the feet, pelvis height,
posture. A squeeze is a wrench pair on the palms, known to the dynamics.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import daqp
import numpy as np
import pinocchio as pin

from controllers import g1, rotations
from controllers.channels import Targets
from controllers.model import G1Model

NV, NF = 35, 24
N = NV + NF
ROWS_FIXED = 18 + 32  # dynamics 6, feet 12, friction 32
LWA = pin.LOCAL_WORLD_ALIGNED
INFEASIBLE = "whole-body QP: no solution (daqp exit flag {flag}); the last command is held"


@dataclass(frozen=True)
class Gains:
    """Task weights and PD gains (1/s², 1/s). Chosen on g1_box's training seeds; see docs/whole_body.md for the sweep."""

    w_common: float = 10.0
    w_relative: float = 3.0
    w_hand_rotation: float = 0.5
    w_torso: float = 4.0
    w_com: float = 30.0
    w_height: float = 20.0
    w_posture: np.ndarray = field(default_factory=lambda: _posture_weights())
    w_force: float = 2e-6
    w_base: float = 1e-3
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
    com_x: float = 0.036  # m ahead of the ankles: the middle of the sole
    squeeze_gap: float = 0.012  # m of palm gap error at which the whole squeeze acts


def _posture_weights() -> np.ndarray:
    weights = np.full(g1.NUM_JOINTS, 0.02)
    weights[g1.WAIST_JOINTS] = (0.5, 0.5, 0.05)
    weights[[g1.JOINT_NAMES.index(f"{side}_hip_yaw_joint") for side in ("left", "right")]] = 0.05
    return weights


class WholeBodyQP:
    """Holds the preallocated QP; `solve` returns accelerations and joint torques."""

    def __init__(self, model: G1Model, gains: Gains | None = None) -> None:
        self.gains = gains or Gains()
        self._model = model
        self._H = np.zeros((N, N))
        self._f = np.zeros(N)
        self._A = np.zeros((ROWS_FIXED, N))
        self._upper = np.full(N + ROWS_FIXED, 1e30)
        self._lower = np.full(N + ROWS_FIXED, -1e30)
        self._sense = np.zeros(N + ROWS_FIXED, dtype=np.int32)
        self._sense[N : N + 18] = 5  # equalities
        self._fixed_parts()
        self._J = np.zeros((30, NV))  # feet, hands, torso: 6 rows each, world-aligned
        self._drift = np.zeros(30)
        self._tasks = np.zeros((18, NV))
        self._b = np.zeros(18)
        self._w = self._task_weights()
        self._G = np.zeros((2, 6, 12))
        for corner in range(4):
            self._G[:, :3, 3 * corner : 3 * corner + 3] = np.eye(3)
        self._qp: daqp.Model | None = None
        self.solves_with_torque_rows = 0
        self.failures = 0

    def _task_weights(self) -> np.ndarray:
        """(18,) weight of each task row: common 3, relative 3, left and right rotation 6, torso 3, com 2, height 1."""
        g = self.gains
        groups = ((g.w_common, 3), (g.w_relative, 3), (g.w_hand_rotation, 6), (g.w_torso, 3), (g.w_com, 2), (g.w_height, 1))
        return np.concatenate([np.full(count, weight) for weight, count in groups])

    def _fixed_parts(self) -> None:
        """Friction pyramids, force bounds and the constant diagonal of H."""
        mu = g1.FOOT_FRICTION / np.sqrt(2.0)  # inner pyramid of the cone
        for point in range(8):
            column = NV + 3 * point
            for k, (axis, sign) in enumerate(((0, 1.0), (0, -1.0), (1, 1.0), (1, -1.0))):
                row = 18 + 4 * point + k
                self._A[row, column + axis] = sign
                self._A[row, column + 2] = -mu
                self._upper[N + row] = 0.0
            self._lower[column + 2] = 0.0
        self._diagonal = np.concatenate(
            [np.full(6, self.gains.w_base), self.gains.w_posture, np.full(NF, self.gains.w_force)]
        )
        self._f_index = np.arange(NV + 2, N, 3)

    def solve(
        self, q: np.ndarray, v: np.ndarray, targets: Targets, rates: np.ndarray, accelerations: np.ndarray,
        contacts: np.ndarray, hand_load: np.ndarray, collision: tuple[np.ndarray, np.ndarray] | None,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """One step.

        Args:
            q, v: (36,), (35,) Pinocchio configuration and velocity (base first).
            targets, rates, accelerations: filtered references: values, their rates (17,) and second rates (17,).
            contacts: (2,) planted feet.
            hand_load: (3,) N, force of the carried object on each hand, odom axes.
            collision: rows (k, 35) and lower bounds (k,) on the accelerations, or None.

        Returns:
            accelerations (35,), joint torques (29,).

        Raises:
            ArithmeticError: the QP has no solution.
        """
        model, data = self._model, self._model.data
        model.update(q, v)
        twist = self._frames(v)
        wrench = self._hand_forces(targets, hand_load)
        self._task_rows(q, v, twist, targets, rates, accelerations)
        J, w, b = self._tasks, self._w, self._b
        weighted = J.T * w  # (35, 18)
        H, f = self._H, self._f
        np.matmul(weighted, J, out=H[:NV, :NV])
        H.flat[:: N + 1] += self._diagonal if True else 0
        H.flat[NV * (N + 1) :: N + 1] = self.gains.w_force
        np.negative(weighted @ b, out=f[:NV])
        f[6:NV] -= self.gains.w_posture * self._posture(q, v)
        J_hands = self._J[12:15], self._J[18:21]
        hand_tau = J_hands[0].T @ wrench[0] + J_hands[1].T @ wrench[1]  # (35,)
        M, h = data.M, data.nle - hand_tau
        JG = np.concatenate([self._J[0:6].T @ self._G[0], self._J[6:12].T @ self._G[1]], axis=1)  # (35, 24)
        A, upper, lower = self._A, self._upper, self._lower
        A[:6, :NV] = M[:6]
        A[:6, NV:] = -JG[:6]
        A[6:18, :NV] = self._J[:12]
        upper[N : N + 6] = lower[N : N + 6] = -h[:6]
        upper[N + 6 : N + 18] = lower[N + 6 : N + 18] = -self._drift[:12] - self.gains.kd_feet * twist[:12]
        upper[self._f_index] = np.repeat(np.where(contacts, 600.0, 5.0), 4)
        self._joint_bounds(q, v)
        x = self._optimise(A, upper, lower, self._sense, collision)
        tau = M[6:] @ x[:NV] + h[6:] - JG[6:] @ x[NV:]
        if np.any(np.abs(tau) > g1.TAU_MAX):
            x = self._with_torque_rows(M, h, JG, collision)
            tau = np.clip(M[6:] @ x[:NV] + h[6:] - JG[6:] @ x[NV:], -g1.TAU_MAX, g1.TAU_MAX)
        return x[:NV], tau

    def _frames(self, v: np.ndarray) -> np.ndarray:
        """Stack frame Jacobians and drifts; returns the stacked twists (30,)."""
        model, data = self._model.model, self._model.data
        for i, frame in enumerate((*self._model.feet, *self._model.hands, self._model.torso)):
            rows = slice(6 * i, 6 * i + 6)
            self._J[rows] = pin.getFrameJacobian(model, data, frame, LWA)
            self._drift[rows] = pin.getFrameClassicalAcceleration(model, data, frame, LWA).vector
        for i, foot in enumerate(self._model.feet):
            r = g1.FOOT_CORNERS @ data.oMf[foot].rotation.T  # (4, 3) corners from the ankle, world axes
            G = self._G[i]
            G[3, 1::3], G[3, 2::3] = -r[:, 2], r[:, 1]
            G[4, 0::3], G[4, 2::3] = r[:, 2], -r[:, 0]
            G[5, 0::3], G[5, 1::3] = -r[:, 1], r[:, 0]
        return self._J @ v

    def _hand_forces(self, targets: Targets, hand_load: np.ndarray) -> np.ndarray:
        """(2, 3) N, what the held object does to the left and right palm, odom axes."""
        left, right = (self._model.data.oMf[hand].translation for hand in self._model.hands)
        axis = left - right
        gap = float(np.sqrt(axis @ axis))
        axis = axis / max(gap, 1e-6)
        self.gap_error = gap - float(np.linalg.norm(targets.left_position - targets.right_position))
        share = min(max(self.gap_error / self.gains.squeeze_gap, 0.0), 1.0)
        self.squeeze_force = share * targets.squeeze
        self.squeeze_axis = axis
        return np.array([self.squeeze_force * axis + hand_load, -self.squeeze_force * axis + hand_load])

    def _task_rows(
        self, q: np.ndarray, v: np.ndarray, twist: np.ndarray, targets: Targets, rates: np.ndarray, acc: np.ndarray
    ) -> None:
        """Fill the 18 task rows and their desired accelerations minus drift."""
        g, data, J, d, b = self.gains, self._model.data, self._J, self._drift, self._b
        left, right = (data.oMf[hand] for hand in self._model.hands)
        L, R = slice(12, 15), slice(18, 21)
        T = self._tasks
        T[0:3] = 0.5 * (J[L] + J[R])
        T[3:6] = J[L] - J[R]
        T[6:9], T[9:12], T[12:15] = J[15:18], J[21:24], J[27:30]
        T[15:17] = data.Jcom[:2]
        T[17, :3] = rotations.matrix(q[3:7])[2]  # pelvis height: world z of the body-frame linear velocity
        e_left = targets.left_position - left.translation
        e_right = targets.right_position - right.translation
        de_left, de_right = rates[g1.LEFT_POSITION] - twist[L], rates[g1.RIGHT_POSITION] - twist[R]
        a_left = acc[g1.LEFT_POSITION] - d[L]
        a_right = acc[g1.RIGHT_POSITION] - d[R]
        self.common_error = 0.5 * (e_left + e_right)
        b[0:3] = 0.5 * (a_left + a_right) + g.kp_hand * self.common_error + g.kd_hand * 0.5 * (de_left + de_right)
        b[3:6] = a_left - a_right + g.kp_hand * (e_left - e_right) + g.kd_hand * (de_left - de_right)
        for rows, pose, quat, spin in (
            (slice(6, 9), left, targets.left_quat_xyzw, slice(15, 18)),
            (slice(9, 12), right, targets.right_quat_xyzw, slice(21, 24)),
        ):
            error = _rotation_error(rotations.matrix(quat), pose.rotation)
            b[rows] = g.kp_rotation * error - g.kd_rotation * twist[spin] - d[spin]
        c, s = np.cos(targets.torso_pitch), np.sin(targets.torso_pitch)
        torso = np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
        error = _rotation_error(torso, data.oMf[self._model.torso].rotation)
        b[12:15] = g.kp_torso * error - g.kd_torso * twist[27:30] - d[27:30]
        b[13] += g.kd_torso * rates[g1.TORSO_PITCH] + acc[g1.TORSO_PITCH]
        feet = 0.5 * (data.oMf[self._model.feet[0]].translation + data.oMf[self._model.feet[1]].translation)
        com, dcom = data.com[0], T[15:17] @ v
        b[15] = g.kp_com * (feet[0] + g.com_x - com[0]) - g.kd_com * dcom[0]
        b[16] = g.kp_com * (feet[1] - com[1]) - g.kd_com * dcom[1]
        dz = float(T[17, :3] @ v[:3])
        b[17] = acc[14] + g.kp_height * (targets.base_height - q[2]) + g.kd_height * (rates[14] - dz)

    def _posture(self, q: np.ndarray, v: np.ndarray) -> np.ndarray:
        return self.gains.kp_posture * (g1.Q_HOME - q[7:]) - self.gains.kd_posture * v[6:]

    def _joint_bounds(self, q: np.ndarray, v: np.ndarray) -> None:
        """Joint accelerations that keep position and velocity inside their limits (exponential barrier)."""
        k, dq = self.gains.limit_rate, v[6:]
        upper = np.minimum(k * k * (g1.Q_UPPER - q[7:]) - 2 * k * dq, k * (0.9 * g1.DQ_MAX - dq))
        lower = np.maximum(k * k * (g1.Q_LOWER - q[7:]) - 2 * k * dq, -k * (0.9 * g1.DQ_MAX + dq))
        self._upper[6:NV] = np.maximum(upper, -300.0)
        self._lower[6:NV] = np.minimum(lower, 300.0)

    def _with_torque_rows(
        self, M: np.ndarray, h: np.ndarray, JG: np.ndarray, collision: tuple[np.ndarray, np.ndarray] | None
    ) -> np.ndarray:
        """Solve again with the torque limits as rows; only when the solution without them violates one."""
        self.solves_with_torque_rows += 1
        rows = np.concatenate([M[6:], -JG[6:]], axis=1)
        A = np.concatenate([self._A, rows])
        upper = np.concatenate([self._upper, g1.TAU_MAX - h[6:]])
        lower = np.concatenate([self._lower, -g1.TAU_MAX - h[6:]])
        sense = np.concatenate([self._sense, np.zeros(g1.NUM_JOINTS, dtype=np.int32)])
        return self._optimise(A, upper, lower, sense, collision)

    def _optimise(
        self, A: np.ndarray, upper: np.ndarray, lower: np.ndarray, sense: np.ndarray,
        collision: tuple[np.ndarray, np.ndarray] | None,
    ) -> np.ndarray:  # fmt: skip
        if collision is not None:
            rows, bound = collision
            A = np.concatenate([A, np.pad(rows, ((0, 0), (0, NF)))])
            upper = np.concatenate([upper, np.full(len(bound), 1e30)])
            lower = np.concatenate([lower, bound])
            sense = np.concatenate([sense, np.full(len(bound), 8, dtype=np.int32)])
        x, _, flag, _ = daqp.solve(self._H, self._f, A, upper, lower, sense)
        if flag < 1:
            self.failures += 1
            raise ArithmeticError(INFEASIBLE.format(flag=flag))
        return x


def _rotation_error(R_des: np.ndarray, R: np.ndarray) -> np.ndarray:
    """(3,) rotation vector in world axes that turns R into R_des, first order in the sine."""
    E = R_des @ R.T
    return 0.5 * np.array([E[2, 1] - E[1, 2], E[0, 2] - E[2, 0], E[1, 0] - E[0, 1]])
