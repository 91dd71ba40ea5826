"""What the whole body is asked to do: task rows, their desired accelerations, and the forces on the palms."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pinocchio as pin

from controllers import g1
from controllers.model import LEFT_HAND, NV, RIGHT_HAND, TORSO, G1Model

ROWS = 18  # common and relative palms 6, palm and torso rotations 9, CoM 2, pelvis height 1
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
    max_error: tuple[float, float, float] = (0.03, 0.03, 0.1)  # m, of a palm, acted on: leaning on a wall topples
    com_x: float = 0.036  # m ahead of the ankles: the middle of the sole
    squeeze_gap: float = 0.012  # m of palm gap error at which the whole squeeze acts


class WholeBodyTasks:
    """Tasks of one step. `desired` first, then the others; all read the model's terms.

    `squeeze_force` (N), `gap_error` (m) and `common_error` (3,) m of the palms are those of the last step.
    """

    def __init__(self, model: G1Model, gains: Gains) -> None:
        self.gains = g = gains
        self._model = model
        self._kp, self._kd = self._frame_gains()
        self._combine = self._frame_combination()
        counts = ((g.w_common, 3), (g.w_relative, 3), (g.w_hand_rotation, 6), (g.w_torso, 3), (g.w_com, 2))
        self.weights = np.array([w for weight, count in counts for w in [weight] * count] + [g.w_height])  # (18,)
        self._error, self._rate, self._acceleration = np.zeros(30), np.zeros(30), np.zeros(30)
        self._wrench, self._reach = np.zeros(30), np.full(30, np.inf)
        self._reach[_LEFT] = self._reach[_RIGHT] = g.max_error
        self._rows, self._target = np.zeros((ROWS, NV)), np.zeros(ROWS)
        self.common_error = np.zeros(3)
        self.squeeze_force = self.gap_error = 0.0

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

    def desired(self, reference: np.ndarray, rate: np.ndarray, acceleration: np.ndarray) -> np.ndarray:
        """(30,) desired frame accelerations minus drift: PD on the filtered reference, damping on the feet."""
        model, error = self._model, self._error
        left, right = pin.XYZQUATToSE3(reference[0:7]), pin.XYZQUATToSE3(reference[7:14])
        pitch = float(reference[g1.TORSO_PITCH])
        c, s = math.cos(pitch), math.sin(pitch)
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

    def upright(self, q: np.ndarray, v: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """(3,) desired angular acceleration of the pelvis, body axes: a share of the torso's pitch, no roll, no yaw."""
        half = 0.5 * self.gains.pelvis_share * float(reference[g1.TORSO_PITCH])
        x, y, z, w = q[3:7].tolist()
        s, c = math.sin(half), math.cos(half)  # error = conjugate(q) * (0, s, 0, c), vector part, small angles
        error = np.array([-x * c + z * s, w * s - y * c, -z * c - x * s])
        return (2.0 * self.gains.kp_torso) * error - self.gains.kd_torso * v[3:6]

    def rows(
        self, q: np.ndarray, v: np.ndarray, b: np.ndarray, reference: np.ndarray, rate: np.ndarray,
        acceleration: np.ndarray, load_z: float,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """Task Jacobian (18, 35) and desired task accelerations (18,)."""
        g, model, tasks, target = self.gains, self._model, self._rows, self._target
        np.matmul(self._combine, model.J, out=tasks[:15])
        tasks[15:17] = model.J_com[:2]
        tasks[17, :3] = _up_in_body(q)  # pelvis height: world z of the body-frame linear velocity
        np.matmul(self._combine, b, out=target[:15])
        d_com_x, d_com_y, dz = (tasks[15:18] @ v).tolist()
        com, feet = model.com.tolist(), (0.5 * (model.positions[0] + model.positions[1])).tolist()
        target[15] = g.kp_com * (feet[0] + g.com_x - self._counterweight(load_z) - com[0]) - g.kd_com * d_com_x
        target[16] = g.kp_com * (feet[1] - com[1]) - g.kd_com * d_com_y
        h = g1.BASE_HEIGHT
        target[17] = acceleration[h] + g.kp_height * (reference[h] - q[2]) + g.kd_height * (rate[h] - dz)
        return tasks, target

    def _counterweight(self, load_z: float) -> float:
        """m the CoM stands back for what the hands carry, so that both together stay over the middle of the soles."""
        x = self._model.positions[:, 0].tolist()
        lever = 0.5 * (x[LEFT_HAND] + x[RIGHT_HAND] - x[0] - x[1])
        return -2.0 * load_z / (9.81 * self._model.mass) * (lever - self.gains.com_x)

    def hand_wrench(self, reference: np.ndarray, hand_load: np.ndarray) -> np.ndarray:
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


def _up_in_body(q: np.ndarray) -> tuple[float, float, float]:
    """World z axis in the pelvis frame, from the configuration's quaternion."""
    x, y, z, w = q[3:7].tolist()
    return 2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)
