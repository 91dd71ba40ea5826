"""What the whole body is asked to do: task rows, their desired accelerations, and the forces on the palms."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from controllers import g1
from controllers.compiled import compiled
from controllers.model import LEFT_HAND, NV, RIGHT_HAND, TORSO, G1Model
from controllers.rotations import rotation_error

ROWS = 18  # common and relative palms 6, palm and torso rotations 9, CoM 2, pelvis height 1

GRAVITY = 9.81


class Gains(NamedTuple):
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
    heel_x: tuple[float, float] = (-0.025, 0.01)  # m ahead of the ankles; see _push_shares
    toe_x: tuple[float, float] = (0.105, 0.075)
    retreat: float = 4.0  # m/s², of a palm whose push has brought the pressure to heels or toes
    squeeze_gap: float = 0.012  # m of palm gap error at which the whole squeeze acts


class Demands(NamedTuple):
    """What `WholeBodyTasks.update` fills. Arrays are the same objects at every update.

    rows (18, 35), target (18,): task Jacobian and desired task accelerations, drift taken off.
    feet (12,): accelerations of the feet, drift taken off.
    upright (3,): angular acceleration of the pelvis, body axes.
    wrench (6,): forces on the left and on the right palm, N, odom axes.
    palms (5,): error of the palms' middle (3,) m, squeeze force N, gap error m.
    """

    rows: np.ndarray
    target: np.ndarray
    feet: np.ndarray
    upright: np.ndarray
    wrench: np.ndarray
    palms: np.ndarray


class WholeBodyTasks:
    """Tasks of one step, from the model's terms.

    `squeeze_force` (N), `gap_error` (m) and `common_error` (3,) m of the palms are those of the last update.
    """

    def __init__(self, model: G1Model, gains: Gains) -> None:
        self.gains = g = gains
        self._model = model
        counts = ((g.w_common, 3), (g.w_relative, 3), (g.w_hand_rotation, 6), (g.w_torso, 3), (g.w_com, 2))
        self.weights = np.array([w for weight, count in counts for w in [weight] * count] + [g.w_height])  # (18,)
        self.demands = Demands(
            np.zeros((ROWS, NV)), np.zeros(ROWS), np.zeros(12), np.zeros(3), np.zeros(6), np.zeros(5)
        )  # fmt: skip

    @property
    def common_error(self) -> np.ndarray:
        """(3,) m, how far the middle of the palms is from where it should be."""
        return self.demands.palms[:3]

    @property
    def squeeze_force(self) -> float:
        """N, with which the palms are pressed towards each other."""
        return float(self.demands.palms[3])

    @property
    def gap_error(self) -> float:
        """m, how much wider the palms are apart than they should be."""
        return float(self.demands.palms[4])

    def reset(self) -> None:
        """Nothing is squeezed."""
        self.demands.palms[:] = 0.0

    def update(
        self, q: np.ndarray, v: np.ndarray, reference: np.ndarray, rate: np.ndarray, acceleration: np.ndarray,
        hand_load: np.ndarray, pressure_x: float,
    ) -> Demands:  # fmt: skip
        """PD on the filtered reference, damping on the feet, CoM over them; arguments as WholeBodyQP.solve has them."""
        _fill(self.demands, self._model.terms, self._model.mass, self.gains, q, v, reference, rate, acceleration,
              hand_load, pressure_x)  # fmt: skip
        return self.demands


@compiled
def _fill(demands, terms, mass, g, q, v, reference, rate, acceleration, hand_load, pressure_x):
    """Fill `demands`."""
    rows, target = demands.rows, demands.target
    for i in range(12):
        demands.feet[i] = -g.kd_feet * terms.twist[i] - terms.drift[i]
    _palm_rows(rows, target, terms, g, reference, rate, acceleration, pressure_x, demands.palms)
    error, desired = np.empty(3), np.zeros(4)
    for k in range(2):  # palm rotations
        rotation_error(reference[7 * k + 3 : 7 * k + 7], terms.rotations[LEFT_HAND + k], error)
        first = 6 * (LEFT_HAND + k) + 3
        for c in range(3):
            for i in range(v.size):
                rows[6 + 3 * k + c, i] = terms.J[first + c, i]
            b = g.kp_rotation * error[c] - g.kd_rotation * terms.twist[first + c] - terms.drift[first + c]
            target[6 + 3 * k + c] = b
    desired[1], desired[3] = math.sin(0.5 * reference[g1.TORSO_PITCH]), math.cos(0.5 * reference[g1.TORSO_PITCH])
    rotation_error(desired, terms.rotations[TORSO], error)
    for c in range(3):
        row, is_pitch = 6 * TORSO + 3 + c, 1.0 if c == 1 else 0.0
        for i in range(v.size):
            rows[12 + c, i] = terms.J[row, i]
        speed = is_pitch * rate[g1.TORSO_PITCH] - terms.twist[row]
        b = g.kp_torso * error[c] + g.kd_torso * speed + is_pitch * acceleration[g1.TORSO_PITCH] - terms.drift[row]
        target[12 + c] = b
    _balance_rows(rows, target, terms, mass, g, q, v, reference, rate, acceleration, hand_load[2])
    _upright(demands.upright, g, q, v, reference)
    _palm_forces(demands.wrench, demands.palms, terms, g, reference, hand_load)


@compiled
def _push_shares(pressure_x, g):
    """How much of a forward and of a backward demand the palms may follow, 0 to 1.

    A hand that meets something pushes the body the other way, which the tasks cannot know. The soles show it: the
    pressure wanders to the heels (pushing) or to the toes (pulling). There the hand yields, before the robot tips over.
    """
    forward = (pressure_x - g.heel_x[0]) / (g.heel_x[1] - g.heel_x[0])
    backward = (pressure_x - g.toe_x[0]) / (g.toe_x[1] - g.toe_x[0])
    return min(max(forward, 0.0), 1.0), min(max(backward, 0.0), 1.0)


@compiled
def _palm_rows(rows, target, terms, g, reference, rate, acceleration, pressure_x, palms):
    """Common (rows 0-2) and relative (3-5) motion of the palms; their middle's error goes into `palms`."""
    forward, backward = _push_shares(pressure_x, g)
    b, e = np.empty(2), np.empty(2)
    for c in range(3):
        for k in range(2):
            hand = LEFT_HAND + k
            error = reference[7 * k + c] - terms.positions[hand, c]
            e[k] = min(max(error, -g.max_error[c]), g.max_error[c])
            pull = g.kp_hand * e[k] + g.kd_hand * rate[7 * k + c] + acceleration[7 * k + c]
            if c == 0:
                pull *= forward if pull > 0 else backward
                pull -= g.retreat * ((1.0 - forward) - (1.0 - backward))
            b[k] = pull - g.kd_hand * terms.twist[6 * hand + c] - terms.drift[6 * hand + c]
        palms[c] = 0.5 * (e[0] + e[1])
        target[c], target[3 + c] = 0.5 * (b[0] + b[1]), b[0] - b[1]
        for i in range(rows.shape[1]):
            left, right = terms.J[6 * LEFT_HAND + c, i], terms.J[6 * RIGHT_HAND + c, i]
            rows[c, i], rows[3 + c, i] = 0.5 * (left + right), left - right


@compiled
def _balance_rows(
    rows, target, terms, mass, g, q, v, reference, rate, acceleration, load_z
):
    """CoM over the soles (rows 15-16) and pelvis height (17).

    The CoM stands back for what the hands carry, so that both together stay over the middle of the soles.
    """
    for i in range(v.size):
        rows[15, i], rows[16, i] = terms.J_com[0, i], terms.J_com[1, i]
    qx, qy, qz, qw = q[3], q[4], q[5], q[6]
    rows[17, 0], rows[17, 1] = 2 * (qx * qz - qy * qw), 2 * (qy * qz + qx * qw)  # world z of the body-frame velocity
    rows[17, 2] = 1 - 2 * (qx * qx + qy * qy)
    speed = np.zeros(3)
    for r in range(3):
        for i in range(v.size):
            speed[r] += rows[15 + r, i] * v[i]
    x = terms.positions
    feet_x, feet_y = 0.5 * (x[0, 0] + x[1, 0]), 0.5 * (x[0, 1] + x[1, 1])
    lever = 0.5 * (x[LEFT_HAND, 0] + x[RIGHT_HAND, 0]) - feet_x
    counterweight = -2.0 * load_z / (GRAVITY * mass) * (lever - g.com_x)
    target[15] = g.kp_com * (feet_x + g.com_x - counterweight - terms.com[0]) - g.kd_com * speed[0]
    target[16] = g.kp_com * (feet_y - terms.com[1]) - g.kd_com * speed[1]
    height_error = g.kp_height * (reference[g1.BASE_HEIGHT] - q[2])
    target[17] = acceleration[g1.BASE_HEIGHT] + height_error + g.kd_height * (rate[g1.BASE_HEIGHT] - speed[2])


@compiled
def _upright(out, g, q, v, reference):
    """Pelvis: a share of the torso's pitch, no roll, no yaw."""
    half = 0.5 * g.pelvis_share * reference[g1.TORSO_PITCH]
    x, y, z, w = q[3], q[4], q[5], q[6]
    s, c = math.sin(half), math.cos(half)  # error = conjugate(q) * (0, s, 0, c), vector part, small angles
    out[0] = 2.0 * g.kp_torso * (-x * c + z * s) - g.kd_torso * v[3]
    out[1] = 2.0 * g.kp_torso * (w * s - y * c) - g.kd_torso * v[4]
    out[2] = 2.0 * g.kp_torso * (-z * c - x * s) - g.kd_torso * v[5]


@compiled
def _palm_forces(wrench, palms, terms, g, reference, hand_load):
    """What the held object does to the palms: the squeeze's reaction and the carried load.

    The squeeze grows with the gap error up to its full value, so that palms which meet nothing stop where they were
    told to instead of flying together.
    """
    gap, wanted = 0.0, 0.0
    for c in range(3):
        gap += (terms.positions[LEFT_HAND, c] - terms.positions[RIGHT_HAND, c]) ** 2
        wanted += (reference[c] - reference[7 + c]) ** 2
    gap, wanted = math.sqrt(gap), math.sqrt(wanted)
    share = min(max((gap - wanted) / g.squeeze_gap, 0.0), 1.0)
    force = share * reference[g1.SQUEEZE]
    palms[3], palms[4] = force, gap - wanted
    for c in range(3):
        push = (terms.positions[LEFT_HAND, c] - terms.positions[RIGHT_HAND, c]) * (force / max(gap, 1e-3))
        wrench[c], wrench[3 + c] = hand_load[c] + push, hand_load[c] - push
