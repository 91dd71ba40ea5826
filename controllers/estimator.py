"""Where the pelvis is, from the IMU, the joint encoders and the motors' torque estimates alone.

Leg odometry: a foot that carries weight does not move, so the pelvis moves opposite to it. `odom` is the midpoint of the
soles at reset, x along the feet, z up. Nothing here knows the simulation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pinocchio as pin

from controllers import g1, rotations
from controllers.model import G1Model

CONTACT_ON_N = 60.0  # vertical force above which a foot is planted; ours: 18 % of the robot's weight
CONTACT_OFF_N = 25.0
CONTACT_EVERY = 5  # control steps between contact checks (two 6x6 solves); a foot does not land in under 10 ms
YAW_GAIN = 0.5  # 1/s, planted feet against the IMU's drifting heading
ANCHOR_GAIN = 1.0  # 1/s, how fast two anchors that disagree (slip) are reconciled
VELOCITY_CUTOFF_HZ = 40.0  # low-pass on the kinematic base velocity


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
    """Estimated pelvis: position (3,) m in odom, quaternion xyzw, body-frame velocities (3,), planted feet (2,) bool."""

    position: np.ndarray
    quat_xyzw: np.ndarray
    linear_velocity: np.ndarray
    angular_velocity: np.ndarray
    contacts: np.ndarray


class BaseEstimator:
    """Leg odometry with contact detection. Call `reset` on the first sensors with both feet on the ground."""

    def __init__(self, model: G1Model) -> None:
        self._model = model.model
        self._feet = model.feet
        self._data = model.model.createData()
        self._legs = (slice(6, 12), slice(12, 18))
        self._q = pin.neutral(model.model)
        self._v = np.zeros(model.nv)

    def reset(self, sensors: Sensors) -> BaseState:
        """Put `odom` under the feet and start over."""
        self._step = 0
        self.contacts = np.array([True, True])
        self._yaw_offset = 0.0
        self.vertical_forces = np.zeros(2)
        R, feet = self._kinematics(sensors, rotations.normalised(sensors.quat_xyzw))
        yaws = [np.arctan2(rotation[1, 0], rotation[0, 0]) for _, rotation in feet]
        self._yaw_offset = -float(np.arctan2(np.mean(np.sin(yaws)), np.mean(np.cos(yaws))))
        R, feet = self._kinematics(sensors, self._heading(sensors))
        soles = np.array([self._sole(position, rotation) for position, rotation in feet])
        self._position = -soles.mean(axis=0)
        self._anchors = np.array([position for position, _ in feet]) + self._position
        self._velocity = np.zeros(3)
        self._foot_yaws = np.array([np.arctan2(rotation[1, 0], rotation[0, 0]) for _, rotation in feet])
        return self._state(sensors, R)

    def update(self, sensors: Sensors, dt: float) -> BaseState:
        """One step of `dt` seconds with new sensors."""
        R, feet = self._kinematics(sensors, self._heading(sensors))
        positions = np.array([position for position, _ in feet])  # (2, 3) foot in base, odom axes
        if self._step % CONTACT_EVERY == 0:
            self._detect_contacts(sensors, positions, dt)
        self._step += 1
        weights = self.contacts / max(1, self.contacts.sum())
        if self.contacts.any():
            velocities = np.array([pin.getFrameVelocity(self._model, self._data, f, pin.LOCAL_WORLD_ALIGNED).linear
                                   for f in self._feet])  # fmt: skip
            measured = -weights @ velocities
            alpha = 1.0 - np.exp(-2.0 * np.pi * VELOCITY_CUTOFF_HZ * dt)
            self._velocity += alpha * (measured - self._velocity)
            self._position = weights @ (self._anchors - positions)
            if self.contacts.all():
                self._anchors += ANCHOR_GAIN * dt * (positions + self._position - self._anchors)
            yaws = np.array([np.arctan2(rotation[1, 0], rotation[0, 0]) for _, rotation in feet])
            self._yaw_offset += YAW_GAIN * dt * float(weights @ (self._foot_yaws - yaws))
        else:
            self._position = self._position + self._velocity * dt
        return self._state(sensors, R)

    def _heading(self, sensors: Sensors) -> np.ndarray:
        """Pelvis orientation in odom, quaternion xyzw."""
        return rotations.multiply(rotations.from_yaw(self._yaw_offset), rotations.normalised(sensors.quat_xyzw))

    def _kinematics(self, sensors: Sensors, quat: np.ndarray) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
        """Feet relative to the pelvis in odom axes, with velocities left in the Pinocchio data."""
        self._quat = quat
        self._q[3:7] = quat
        self._q[7:] = sensors.q
        self._v[3:6] = sensors.gyro
        self._v[6:] = sensors.dq
        pin.forwardKinematics(self._model, self._data, self._q, self._v)
        feet = []
        for frame in self._feet:
            placement = pin.updateFramePlacement(self._model, self._data, frame)
            feet.append((placement.translation.copy(), placement.rotation.copy()))
        return rotations.matrix(quat), feet

    @staticmethod
    def _sole(position: np.ndarray, rotation: np.ndarray) -> np.ndarray:
        """The point under the ankle on the sole."""
        return position + rotation @ np.array([0.0, 0.0, g1.SOLE_Z])

    def _detect_contacts(self, sensors: Sensors, positions: np.ndarray, dt: float) -> None:
        """Vertical foot forces from leg torques, quasi-static: tau_leg + J_leg^T f = g_leg."""
        pin.computeJointJacobians(self._model, self._data)
        gravity = pin.computeGeneralizedGravity(self._model, self._data, self._q)
        for i, (frame, leg) in enumerate(zip(self._feet, self._legs, strict=True)):
            J = pin.getFrameJacobian(self._model, self._data, frame, pin.LOCAL_WORLD_ALIGNED)[:, leg]  # (6, 6)
            residual = gravity[leg] - sensors.tau_est[leg.start - 6 : leg.stop - 6]
            # damped: a straight knee makes J singular and the vertical force must stay finite
            force = np.linalg.solve(J @ J.T + 1e-4 * np.eye(6), J @ residual)
            self.vertical_forces[i] = force[2]
            planted = force[2] > (CONTACT_OFF_N if self.contacts[i] else CONTACT_ON_N)
            if planted and not self.contacts[i]:
                self._anchors[i] = positions[i] + self._position
                self._anchors[i, 2] += -self._sole(*self._foot(i))[2] - self._position[2]  # the ground is level
            self.contacts[i] = planted

    def _foot(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        placement = self._data.oMf[self._feet[i]]
        return placement.translation, placement.rotation

    def _state(self, sensors: Sensors, R: np.ndarray) -> BaseState:
        return BaseState(
            self._position.copy(), self._quat, R.T @ self._velocity, np.array(sensors.gyro, float), self.contacts.copy()
        )
