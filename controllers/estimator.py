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
from controllers.model import LEFT_FOOT, RIGHT_FOOT, G1Model

CONTACT_ON_N = 60.0  # vertical force above which a foot is planted; ours: 18 % of the robot's weight
CONTACT_OFF_N = 25.0  # and below which it may have left the ground
CONTACT_OFF_S = 0.1  # for so long; a landing or a shifted weight unloads a foot for less
LIFTED_M = 0.01  # sole height from which an unloaded foot counts as lifted while the other one stands
YAW_GAIN = 0.5  # 1/s, planted feet against the IMU's drifting heading
ANCHOR_GAIN = 1.0  # 1/s, how fast two anchors that disagree (slip) are reconciled
POSITION_GAIN = 100.0  # 1/s, kinematic position into the predicted one
VELOCITY_GAIN = 250.0  # 1/s, kinematic velocity into the predicted one (40 Hz)
FORCE_GAIN = 60.0  # 1/s, low-pass of the foot forces
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
    """Estimated pelvis: position (3,) m in odom, quaternion xyzw, body-frame velocities (3,), planted feet (2,)."""

    position: np.ndarray
    quat_xyzw: np.ndarray
    linear_velocity: np.ndarray
    angular_velocity: np.ndarray
    contacts: np.ndarray


class BaseEstimator:
    """Leg odometry with contact detection. Call `reset` on the first sensors with both feet on the ground."""

    def __init__(self, model: G1Model) -> None:
        self._model = model

    def reset(self, sensors: Sensors) -> BaseState:
        """Put `odom` under the feet and start over."""
        model = self._model
        q = np.concatenate([np.zeros(3), rotations.normalised(sensors.quat_xyzw), sensors.q])
        model.update(q, np.zeros(35))
        yaws = _yaws(model.rotations)
        self._yaw_offset = -float(np.arctan2(np.mean(np.sin(yaws)), np.mean(np.cos(yaws))))
        q[3:7] = self._heading(sensors)
        model.update(q, np.zeros(35))
        feet, axes = model.positions[:2], model.rotations[:2]
        soles = feet + axes @ np.array([0.0, 0.0, g1.SOLE_Z])
        self._position = -soles.mean(axis=0)
        self._velocity = np.zeros(3)  # odom axes
        self._anchors = feet + self._position
        self._foot_yaws = _yaws(model.rotations)
        self.contacts = np.array([True, True])
        self._weights, self._planted, self._count = np.array([0.5, 0.5]), 2, 0
        self.vertical_forces = np.full(2, 0.5 * 9.81 * model.mass)
        self._unloaded_s = [0.0, 0.0]
        return self.predict(sensors, 0.0)

    def predict(self, sensors: Sensors, dt: float) -> BaseState:
        """The pelvis `dt` seconds after the last correction."""
        quat = self._heading(sensors)
        self._rotation = rotations.matrix(quat)
        self._position = self._position + self._velocity * dt
        return BaseState(self._position, quat, self._velocity @ self._rotation, sensors.gyro, self.contacts)

    def correct(self, sensors: Sensors, dt: float) -> None:
        """Use the model's kinematics of the predicted pelvis: planted feet neither move nor leave their anchors."""
        model = self._model
        self._count += 1
        slow = self._count % SLOW_STEPS == 0
        if slow:
            self._detect_contacts(sensors, SLOW_STEPS * dt)
        if not self._planted:
            return
        slip = np.matmul(model.rotations[:2], model.twist[:12].reshape(2, 6)[:, :3, None])[:, :, 0]  # (2, 3) odom
        offset = self._anchors - model.positions[:2]
        self._velocity = self._velocity - min(1.0, VELOCITY_GAIN * dt) * (self._weights @ slip)
        self._position = self._position + min(1.0, POSITION_GAIN * dt) * (self._weights @ offset)
        if slow:
            dt = SLOW_STEPS * dt
            if self._planted == 2:
                self._anchors -= ANCHOR_GAIN * dt * (offset - self._weights @ offset)
            self._yaw_offset += YAW_GAIN * dt * float(self._weights @ (self._foot_yaws - _yaws(model.rotations)))

    def _heading(self, sensors: Sensors) -> np.ndarray:
        """Pelvis orientation in odom, quaternion xyzw."""
        x, y, z, w = sensors.quat_xyzw.tolist()
        c, s = math.cos(0.5 * self._yaw_offset), math.sin(0.5 * self._yaw_offset)
        norm = (x * x + y * y + z * z + w * w) ** 0.5  # multiply(from_yaw(offset), quat), written out
        return np.array([c * x - s * y, c * y + s * x, c * z + s * w, c * w - s * z]) / norm

    def _detect_contacts(self, sensors: Sensors, dt: float) -> None:
        """Vertical foot forces from leg torques, quasi-static: tau_leg + J_leg^T f = bias_leg, f in foot axes."""
        model = self._model
        residual = model.nle[6:18] - sensors.tau_est[:12]
        vertical = np.matmul(residual.reshape(2, 1, 6), model.leg_inverse)[:, 0, 2]
        self.vertical_forces = self.vertical_forces + min(1.0, FORCE_GAIN * dt) * (vertical - self.vertical_forces)
        forces = self.vertical_forces.tolist()
        heights = self._sole_heights()
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
        model = self._model
        return [float(model.positions[i, 2] + model.rotations[i, 2, 2] * g1.SOLE_Z) for i in range(2)]

    def _change(self, foot: int, planted: bool) -> None:
        """A foot has landed or left the ground."""
        self.contacts = self.contacts.copy()
        self.contacts[foot] = planted
        self._planted = int(self.contacts.sum())
        self._weights = self.contacts / max(1, self._planted)
        if planted:
            model = self._model
            self._anchors[foot] = model.positions[foot]
            self._anchors[foot, 2] = -(model.rotations[foot] @ np.array([0.0, 0.0, g1.SOLE_Z]))[2]  # level ground
            self._foot_yaws[foot] = _yaws(model.rotations)[foot]


def _yaws(frames: np.ndarray) -> np.ndarray:
    """(2,) headings of the feet, rad, from frame rotations (5, 3, 3)."""
    return np.arctan2(frames[[LEFT_FOOT, RIGHT_FOOT], 1, 0], frames[[LEFT_FOOT, RIGHT_FOOT], 0, 0])
