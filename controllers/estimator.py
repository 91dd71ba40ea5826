"""Where the pelvis is, from the IMU, the joint encoders and the motors' torque estimates alone.

Leg odometry: a foot that carries weight does not move, so the pelvis moves opposite to it. `odom` is the midpoint of
the soles at reset, x along the feet, z up. `predict` gives the pelvis for this step's kinematics, `correct` then uses
them: one pass of forward kinematics serves estimator and controller.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from controllers import g1, rotations
from controllers.compiled import compiled
from controllers.model import G1Model

CONTACT_ON_N = 60.0  # vertical force above which a foot is planted; ours: 18 % of the robot's weight
CONTACT_OFF_N = 25.0  # and below which it may have left the ground
CONTACT_OFF_S = 0.1  # for so long; a landing or a shifted weight unloads a foot for less
LIFTED_M = 0.01  # sole height from which an unloaded foot counts as lifted while the other one stands
YAW_GAIN = 0.5  # 1/s, planted feet against the IMU's drifting heading
ANCHOR_GAIN = 1.0  # 1/s, how fast two anchors that disagree (slip) are reconciled
POSITION_GAIN = 100.0  # 1/s, kinematic position into the predicted one
VELOCITY_GAIN = 250.0  # 1/s, kinematic velocity into the predicted one (40 Hz)
FORCE_GAIN = 60.0  # 1/s, low-pass of the foot forces
GRAVITY = 9.81
SOLE_MIDDLE_X = 0.5 * float(g1.FOOT_CORNERS[:, 0].max() + g1.FOOT_CORNERS[:, 0].min())
SLOW_STEPS = 3  # corrections between those of contacts, anchors and heading, none of which changes in 10 ms


@dataclass(frozen=True, slots=True)
class Sensors:
    """What the robot measures. Joint arrays in JOINT_NAMES order.

    q, dq, tau_est: (29,) rad, rad/s, N·m. quat_xyzw: (4,) pelvis in the IMU's own world. gyro: (3,) rad/s body.
    accel: (3,) m/s² body, gravity included.
    """

    q: np.ndarray
    dq: np.ndarray
    tau_est: np.ndarray
    quat_xyzw: np.ndarray
    gyro: np.ndarray
    accel: np.ndarray


@dataclass(frozen=True, slots=True)
class BaseState:
    """Estimated pelvis: position (3,) m in odom, quaternion xyzw, body-frame velocities (3,); planted feet (2,) and
    where the ground pushes on them, m ahead of the ankles."""

    position: np.ndarray
    quat_xyzw: np.ndarray
    linear_velocity: np.ndarray
    angular_velocity: np.ndarray
    contacts: np.ndarray
    pressure_x: float


class BaseEstimator:
    """Leg odometry with contact detection. Call `reset` on the first sensors with both feet on the ground."""

    def __init__(self, model: G1Model) -> None:
        self._model = model
        self._position, self._velocity = np.zeros(3), np.zeros(3)  # odom axes
        self._rotation = np.eye(3)
        self._anchors = np.zeros((2, 3))  # where planted feet stand

    def reset(self, sensors: Sensors) -> BaseState:
        """Put `odom` under the feet and start over."""
        model, terms = self._model, self._model.terms
        q = np.concatenate([np.zeros(3), rotations.normalised(sensors.quat_xyzw), sensors.q])
        model.update(q, np.zeros(35))
        yaws = _yaws(terms.rotations)
        self._yaw_offset = -float(np.arctan2(np.mean(np.sin(yaws)), np.mean(np.cos(yaws))))
        q[3:7] = _heading(sensors.quat_xyzw, self._yaw_offset, self._rotation)
        model.update(q, np.zeros(35))
        feet, axes = terms.positions[:2], terms.rotations[:2]
        soles = feet + axes @ np.array([0.0, 0.0, g1.SOLE_Z])
        self._position[:] = -soles.mean(axis=0)
        self._velocity[:] = 0.0
        self._anchors[:] = feet + self._position
        self._foot_yaws = _yaws(terms.rotations)
        self.contacts = np.array([True, True])
        self._weights, self._planted, self._count = np.array([0.5, 0.5]), 2, 0
        self.vertical_forces = np.full(2, 0.5 * GRAVITY * model.mass)
        self._pitch_moments = SOLE_MIDDLE_X * self.vertical_forces  # N·m, about the soles under the ankles
        self._pressure_x = SOLE_MIDDLE_X
        self._unloaded_s = [0.0, 0.0]
        return self.predict(sensors, 0.0)

    def predict(self, sensors: Sensors, dt: float) -> BaseState:
        """The pelvis `dt` seconds after the last correction."""
        quat = _heading(sensors.quat_xyzw, self._yaw_offset, self._rotation)
        position, velocity = _advanced(self._position, self._velocity, self._rotation, dt)
        return BaseState(position, quat, velocity, sensors.gyro, self.contacts, self._pressure_x)

    def correct(self, sensors: Sensors, dt: float) -> None:
        """Use the model's kinematics of the predicted pelvis: planted feet neither move nor leave their anchors."""
        terms = self._model.terms
        self._count += 1
        slow = self._count % SLOW_STEPS == 0
        share = min(1.0, FORCE_GAIN * dt)
        _filter_forces(self.vertical_forces, self._pitch_moments, terms.nle, sensors.tau_est, terms.leg_inverse, share)
        if slow:
            self._detect_contacts(SLOW_STEPS * dt)
        if not self._planted:
            return
        reconcile = ANCHOR_GAIN * SLOW_STEPS * dt if slow and self._planted == 2 else 0.0
        _pull(self._position, self._velocity, self._anchors, terms.positions, terms.rotations, terms.twist,
              self._weights, dt, reconcile)  # fmt: skip
        if slow:
            turned = float(self._weights @ (self._foot_yaws - _yaws(terms.rotations)))
            self._yaw_offset += YAW_GAIN * SLOW_STEPS * dt * turned

    def _detect_contacts(self, dt: float) -> None:
        """Feet that have landed or left the ground, and where the pressure is."""
        forces, heights = self.vertical_forces.tolist(), self._sole_heights()
        if sum(forces) > CONTACT_ON_N:
            self._pressure_x = float(self._pitch_moments.sum()) / sum(forces)
        for i, force in enumerate(forces):
            self._unloaded_s[i] = self._unloaded_s[i] + dt if force < CONTACT_OFF_N else 0.0
            if self.contacts[i]:
                # weight alone cannot tell a foot that is not used from one that is in the air: the controller unloads
                # what it believes lifted, so a wrong belief would keep itself true
                airborne = heights[i] > LIFTED_M or forces[1 - i] < CONTACT_OFF_N
                if self._unloaded_s[i] > CONTACT_OFF_S and airborne:
                    self._change(i, False)
            elif force > CONTACT_ON_N:
                self._change(i, True)

    def _sole_heights(self) -> list[float]:
        """Heights of the two soles above the ground, m."""
        terms = self._model.terms
        return [float(terms.positions[i, 2] + terms.rotations[i, 2, 2] * g1.SOLE_Z) for i in range(2)]

    def _change(self, foot: int, planted: bool) -> None:
        """A foot has landed or left the ground."""
        self.contacts = self.contacts.copy()
        self.contacts[foot] = planted
        self._planted = int(self.contacts.sum())
        self._weights = self.contacts / max(1, self._planted)
        if planted:
            terms = self._model.terms
            self._anchors[foot] = terms.positions[foot]
            self._anchors[foot, 2] = -(terms.rotations[foot] @ np.array([0.0, 0.0, g1.SOLE_Z]))[2]  # level ground
            self._foot_yaws[foot] = _yaws(terms.rotations)[foot]


@compiled
def _yaws(frames):
    """(2,) headings of the feet, rad, from frame rotations (5, 3, 3)."""
    yaws = np.empty(2)
    for foot in range(2):
        yaws[foot] = math.atan2(frames[foot, 1, 0], frames[foot, 0, 0])
    return yaws


@compiled
def _heading(quat_xyzw, yaw_offset, rotation):
    """Pelvis orientation in odom, quaternion x y z w, from the IMU's own; fills `rotation` (3, 3) with the same."""
    x, y, z, w = quat_xyzw[0], quat_xyzw[1], quat_xyzw[2], quat_xyzw[3]
    scale = 1.0 / math.sqrt(x * x + y * y + z * z + w * w)
    c, s = scale * math.cos(0.5 * yaw_offset), scale * math.sin(0.5 * yaw_offset)
    x, y, z, w = c * x - s * y, c * y + s * x, c * z + s * w, c * w - s * z
    rotation[0, 0], rotation[0, 1], rotation[0, 2] = 1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)
    rotation[1, 0], rotation[1, 1], rotation[1, 2] = 2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)
    rotation[2, 0], rotation[2, 1], rotation[2, 2] = 2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)
    return np.array([x, y, z, w])


@compiled
def _advanced(position, velocity, rotation, dt):
    """Move `position` by `velocity` (3,), odom axes; a copy of it, and the velocity in the axes of `rotation`."""
    copy, in_body = np.empty(3), np.zeros(3)
    for c in range(3):
        position[c] += velocity[c] * dt
        copy[c] = position[c]
        for k in range(3):
            in_body[c] += velocity[k] * rotation[k, c]
    return copy, in_body


@compiled
def _filter_forces(forces, moments, nle, tau, leg_inverse, share):
    """Move the soles' vertical `forces` (2,) and their `moments` (2,) by `share` towards what the torques show,
    quasi-static: tau_leg + J_leg^T f = bias_leg, f in foot axes."""
    for leg in range(2):
        ahead, vertical, pitch = 0.0, 0.0, 0.0
        for k in range(6):
            residual = nle[6 + 6 * leg + k] - tau[6 * leg + k]
            ahead += residual * leg_inverse[leg, k, 0]
            vertical += residual * leg_inverse[leg, k, 2]
            pitch += residual * leg_inverse[leg, k, 4]
        forces[leg] += share * (vertical - forces[leg])
        moments[leg] += share * (g1.SOLE_Z * ahead - pitch - moments[leg])  # a force at x ahead: m_y = z f_x - x f_z


@compiled
def _pull(
    position, velocity, anchors, positions, rotations, twist, weights, dt, reconcile
):
    """Pull pelvis `position` and `velocity` (3,) towards feet that stand on their anchors (2, 3); the anchors towards
    each other by the share `reconcile`."""
    slip, offset, mean = np.zeros(3), np.empty((2, 3)), np.zeros(3)
    for foot in range(2):
        for c in range(3):
            offset[foot, c] = anchors[foot, c] - positions[foot, c]
            mean[c] += weights[foot] * offset[foot, c]
            for k in range(3):
                slip[c] += weights[foot] * rotations[foot, c, k] * twist[6 * foot + k]
    for c in range(3):
        velocity[c] -= min(1.0, VELOCITY_GAIN * dt) * slip[c]
        position[c] += min(1.0, POSITION_GAIN * dt) * mean[c]
        for foot in range(2):
            anchors[foot, c] -= reconcile * (offset[foot, c] - mean[c])
