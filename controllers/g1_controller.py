"""The G1's controller: sensors and an action in, a joint command out, 500 times a second.

Estimator, reference filter and whole-body QP in one object that knows neither ROS nor the simulation; the node and the
environments call the same `step`.
"""

from __future__ import annotations

import math

import numpy as np

from controllers import channels, g1, rotations
from controllers.compiled import compiled
from controllers.estimator import SLOW_STEPS, BaseEstimator, BaseState, Sensors
from controllers.joint_command import JointCommand
from controllers.model import LEFT_HAND, RIGHT_HAND, TORSO, G1Model
from controllers.self_collision import SelfCollision
from controllers.tasks import Gains
from controllers.whole_body import WholeBodyQP

__all__ = ["BaseState", "G1Controller", "JointCommand", "Sensors", "check_sensors"]

COS_FALL_TILT = float(np.cos(g1.FALL_TILT))
SOLVE_EVERY = 2  # control steps per QP: torques at 250 Hz, set-points at 500 Hz
FILTER_HZ = 5.0  # critically damped reference filter: 50 Hz steps come out smooth, 64 ms behind
LEAK_S = 0.1  # s, the integrated joint set-points forget what the joints do not follow
LOAD_GAIN = 150.0  # N/(m·s), how fast the carried weight is learnt from the palms' sag
LOAD_MAX = 14.0  # N per hand: 2 kg between two hands is 9.8 each
LOAD_LEAK_S = 0.3  # s, how fast it is forgotten when nothing is squeezed


def check_sensors(sensors: Sensors) -> None:
    """Raises ValueError when a sensor array has a wrong shape or is not finite."""
    for name, size in (("q", 29), ("dq", 29), ("tau_est", 29), ("quat_xyzw", 4), ("gyro", 3), ("accel", 3)):
        value = getattr(sensors, name)
        if np.shape(value) != (size,) or not np.all(np.isfinite(value)):
            raise ValueError(f"sensor {name} must be {size} finite numbers, got {value}")


class G1Controller:
    """See the module docstring. After `reset` the next `step` starts from the pose the robot has."""

    def __init__(self, gains: Gains | None = None) -> None:
        self._model = G1Model()
        self._estimator = BaseEstimator(self._model)
        self._collision = SelfCollision(self._model)
        self.qp = WholeBodyQP(self._model, gains)
        self._q, self._v = np.zeros(36), np.zeros(35)
        self._q_des, self._dq_des, self._tau, self._ddq = (np.zeros(29) for _ in range(4))
        self._goal, self._reference = g1.HOME_ACTION.copy(), g1.HOME_ACTION.copy()
        self._rate, self._acceleration = np.zeros(17), np.zeros(17)
        self.qp_failures = 0
        self._warm_up()
        self.reset()

    def _warm_up(self) -> None:
        """Compile everything, or load what is compiled, before a robot depends on the next step."""
        self.reset()
        still = np.zeros(29)
        sensors = Sensors(g1.Q_HOME.copy(), still, still, np.array([0.0, 0.0, 0.0, 1.0]), np.zeros(3), np.zeros(3))
        for _ in range(SLOW_STEPS * SOLVE_EVERY):
            self.step(sensors, g1.HOME_ACTION)

    def reset(self) -> None:
        """Forget everything; `base` and `measured_action` are valid again after the next step."""
        self._started = self.fallen = False
        self._count, self._since_solution = -1, 0.0
        self.base: BaseState | None = None
        self._load = np.zeros(3)
        self._action: np.ndarray | None = None
        self.qp.tasks.reset()

    def step(self, sensors: Sensors, action: np.ndarray | None, dt: float = g1.CONTROL_DT) -> JointCommand:
        """One control step.

        Args:
            sensors: what the robot measured.
            action: (17,) in ACTION_CHANNELS; None keeps balancing at the last one, or at the pose it had at reset.
            dt: s since the last step.

        Returns:
            The joint command; damping once the robot has fallen.

        Raises:
            ValueError: an action that is not finite or has the wrong shape.
        """
        if not self._started:
            self._start(sensors)
        if action is not None and action is not self._action:
            self._goal, self._action = self._aligned(channels.validated(action)), action
        self._count += 1
        self._since_solution += dt
        x, y, _, _ = sensors.quat_xyzw.tolist()
        self.fallen = self.fallen or 1 - 2 * (x * x + y * y) < COS_FALL_TILT
        if self.fallen:
            return JointCommand(sensors.q.copy(), np.zeros(29), np.zeros(29), damp=True)
        if self._count % SOLVE_EVERY == 0:
            self._solve(sensors, self._since_solution)
            self._since_solution = 0.0
        return self._integrate(sensors, dt)

    def _solve(self, sensors: Sensors, period: float) -> None:
        """Estimate and solve, `period` s after the last time."""
        base = self._estimator.predict(sensors, period)
        self.base, q, v = base, self._q, self._v
        q[:3], q[3:7], q[7:] = base.position, base.quat_xyzw, sensors.q
        v[:3], v[3:6], v[6:] = base.linear_velocity, base.angular_velocity, sensors.dq
        self._model.update(q, v)
        self._estimator.correct(sensors, period)
        self._control(base, period)

    def _control(self, base: BaseState, period: float) -> None:
        """Joint accelerations and torques for the state that the model was last updated with."""
        q, v = self._q, self._v
        _filter(self._goal, self._reference, self._rate, self._acceleration, period)
        try:
            ddq, self._tau = self.qp.solve(
                q, v, self._reference, self._rate, self._acceleration, base.contacts, base.pressure_x, self._load,
                self._collision.rows(v),
            )  # fmt: skip
            self._ddq = ddq[6:]
        except ArithmeticError:
            self.qp_failures += 1
            self._ddq = np.zeros(29)  # hold: the last torque with the last set-points, damped by kd
        self._learn_load(float(self._reference[g1.SQUEEZE]), period)

    def _start(self, sensors: Sensors) -> None:
        check_sensors(sensors)
        base = self._estimator.reset(sensors)
        self._model.update(np.concatenate([base.position, base.quat_xyzw, sensors.q]), np.zeros(35))
        self._q[2] = base.position[2]
        self._q_des = sensors.q.copy()
        self._dq_des, self._tau, self._ddq = np.zeros(29), np.zeros(29), np.zeros(29)
        self._reference = channels.validated(self._measure())
        self._goal = self._reference.copy()
        self._rate, self._acceleration = np.zeros(17), np.zeros(17)
        self._started = True

    @property
    def measured_action(self) -> np.ndarray | None:
        """(17,) the pose the robot has, in action channels (hands.squeeze: now applied). None before a step."""
        return self._measure() if self._started else None

    def _measure(self) -> np.ndarray:
        terms = self._model.terms
        (left, right), torso = terms.rotations[LEFT_HAND : RIGHT_HAND + 1], terms.rotations[TORSO]
        pitch = np.arctan2(torso[0, 2], torso[2, 2])
        return np.concatenate(
            [terms.positions[LEFT_HAND], rotations.from_matrix(left), terms.positions[RIGHT_HAND],
             rotations.from_matrix(right), (self._q[2], pitch, self.qp.tasks.squeeze_force)]
        )  # fmt: skip

    def _aligned(self, action: np.ndarray) -> np.ndarray:
        """The same rotation with the quaternion sign nearest to the reference's."""
        for quat in (g1.LEFT_QUAT, g1.RIGHT_QUAT):
            if action[quat] @ self._reference[quat] < 0:
                action[quat] = -action[quat]
        return action

    def _learn_load(self, squeeze: float, dt: float) -> None:
        """Slow integral of the palms' common sag: the weight of what is carried, N per hand, odom axes. Only
        downwards: a sideways force is an obstacle, and leaning on it would topple the robot."""
        if squeeze > 1.0 and self.qp.tasks.squeeze_force > 0.5 * squeeze:
            load = float(self._load[2]) - LOAD_GAIN * dt * float(self.qp.tasks.common_error[2])
            self._load = np.array([0.0, 0.0, min(max(load, -LOAD_MAX), 0.0)])
        else:
            self._load = self._load * (1.0 - min(1.0, dt / LOAD_LEAK_S))

    def _integrate(self, sensors: Sensors, dt: float) -> JointCommand:
        """Integrate the accelerations to set-points that stay near the joints."""
        self._q_des, self._dq_des = _integrated(self._q_des, self._dq_des, self._ddq, sensors.q, sensors.dq, dt)
        return JointCommand(self._q_des, self._dq_des, self._tau)


@compiled
def _filter(goal, reference, rate, acceleration, dt):
    """Critically damped second-order filter from goal to reference (17,), in rate and acceleration limits."""
    omega = 2 * np.pi * FILTER_HZ
    for i in range(goal.size):
        speed, limit = g1.ACTION_SPEED[i], g1.ACTION_ACCELERATION[i]
        wanted = min(max(0.5 * omega * (goal[i] - reference[i]), -speed), speed)
        acceleration[i] = min(max(2 * omega * (wanted - rate[i]), -limit), limit)
        rate[i] += acceleration[i] * dt
        reference[i] += rate[i] * dt
    for first in (3, 10):  # the two quaternions
        square = 0.0
        for i in range(first, first + 4):
            square += reference[i] * reference[i]
        for i in range(first, first + 4):
            reference[i] /= math.sqrt(square)


@compiled
def _integrated(q_des, dq_des, ddq, q, dq, dt):
    """The next q_des, dq_des (29,): integrals of ddq that forget what the joints do not follow."""
    leak = dt / LEAK_S
    new_q, new_dq = np.empty(g1.NUM_JOINTS), np.empty(g1.NUM_JOINTS)
    for i in range(g1.NUM_JOINTS):
        speed = (1 - leak) * dq_des[i] + ddq[i] * dt + leak * dq[i]
        new_dq[i] = min(max(speed, -g1.DQ_MAX[i]), g1.DQ_MAX[i])
        position = (1 - leak) * q_des[i] + new_dq[i] * dt + leak * q[i]
        new_q[i] = min(max(position, g1.Q_LOWER[i]), g1.Q_UPPER[i])
    return new_q, new_dq
