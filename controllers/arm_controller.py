"""Arm controller: joint states and an action in, a joint command out, at any rate; for any rig of arms.

The reference passes a filter; a velocity QP lets the commanded joints q_des follow it within position, speed and
acceleration limits and away from themselves, each other and the table; near singularities it is damped. The torques
are gravity and inertia, plus what turns the motors' joint stiffness into a Cartesian one whose force is bounded.
The QP is solved in closed form; a solver is called only when the free solution breaks a constraint.
"""

from __future__ import annotations

from dataclasses import dataclass

import daqp
import numpy as np

from controllers import arm_distances, arm_kernels, arm_tracking, rotations
from controllers.arm import CONTROL_DT, GRIPPER_DQ_MAX, GRIPPER_KP, ArmDescription
from controllers.arm_model import ArmModel
from controllers.joint_command import JointCommand
from controllers.quadratic_program import HARD, SOFT, UNBOUNDED
from controllers.rigs import YAM, Rig

FILTER_HZ = 8.0  # of the reference filter: 50 Hz steps come out smooth, 40 ms behind
GAIN = 25.0  # 1/s, how fast the commanded hands close what they miss
TASK_WEIGHTS = np.array([1.0, 1.0, 1.0, 0.05, 0.05, 0.05])  # 1 rad counts as 0.22 m
REGULAR = 1e-4  # weight of the posture's velocities
POSTURE_GAIN = 1.0  # 1/s, how fast redundant joints return to the home posture
DAMPING = 0.02  # weight of joint velocities at a singularity
SINGULAR_SHARE = 0.3  # of the home posture's manipulability: damping sets in below
JOINT_SHARE = 0.05  # of the motors' stiffness that stays where the hand's says nothing
REACH = 0.08  # m, pairs nearer than this are constrained
CLEARANCE = 0.004  # m that is kept
CLOSING_RATE = 10.0  # 1/s, how fast near pairs may close
MAX_ROWS = 24


@dataclass(frozen=True, slots=True)
class ArmSensors:
    """What an arm measures, in the order of the rig's joint names, grippers included: rad (gripper: opening), N·m."""

    q: np.ndarray
    dq: np.ndarray
    tau_est: np.ndarray


class ArmController:
    """See the module docstring. After `reset` the next `step` starts from the pose the arms have."""

    def __init__(self, rig: Rig) -> None:
        """For a rig with arms; raises ValueError for another one."""
        if rig.arms is None:
            raise ValueError(f"{rig.name} is no rig of arms; arm_controller moves only those")
        self.rig, self.layout = rig, rig.layout
        self.model = model = ArmModel(rig.arms)
        n, h, d = model.n, len(rig.arms.mounts), rig.arms.description
        self._arm, self._grippers, self._gripper_channels = _indices(rig, d, h)
        self._positions = np.array([s.start for s in rig.layout.positions], dtype=np.int64)
        self._quats = np.array([s.start for s in rig.layout.quats], dtype=np.int64)
        lower, upper, home, dq_max, ddq_max, self._tau_max, self._kp, self._kd = (
            np.tile(values, h)
            for values in (d.q_lower, d.q_upper, d.q_home, d.dq_max, d.ddq_max, d.tau_max, d.kp, d.kd)
        )
        self._limits, self._home = (lower, upper, dq_max, ddq_max), home
        self._kinematics = (model.parent, model.offset_R, model.offset_p, model.axis, model.slides)
        self._stiffness = np.repeat(d.stiffness, 3)
        self._force_max = np.array(d.force_max)
        speed = rig.layout.speed
        self._closing_max = np.array([speed[self._positions[0]], speed[self._quats[0]]])
        # kinematics of the commanded and of the measured joints: R, p, z of the joints, R, p of the hands, Jacobian
        self._R, self._p, self._z, self._hand_R, self._hand_p, self._J = _scratch(n, h)
        self._now = _scratch(n, h)
        self._now_R, self._now_p = self._now[3:5]
        self._want_R, self._want_p, self._want_v, self._v = (
            np.zeros((h, 3, 3)), np.zeros((h, 3)), np.zeros((h, 6)), np.zeros((h, 6)))  # fmt: skip
        self._H, self._f, self._L, self._tau = np.zeros((n, n)), np.zeros(n), np.zeros((n, n)), np.zeros(n)
        self._lower, self._upper = np.zeros(n), np.zeros(n)
        self._rows, self._near, self._closing = np.zeros((MAX_ROWS, n)), np.zeros(MAX_ROWS), np.zeros(MAX_ROWS)
        self.solver_calls = 0
        self.reset()
        self._update()
        self._floor = np.array([SINGULAR_SHARE * arm_kernels.manipulability(self._J, k) for k in range(h)])

    def reset(self) -> None:
        """Forget everything; `measured_action` is valid again after the next step."""
        self._started = False
        self._action: np.ndarray | None = None
        self._goal = self._reference = self.rig.home_action.copy()
        self._rate = np.zeros(self.layout.dim)
        self._q_des, self._dq_des = self._home.copy(), np.zeros(self.model.n)
        self._opening = np.zeros(len(self._grippers))

    def step(self, sensors: ArmSensors, action: np.ndarray | None, dt: float = CONTROL_DT) -> JointCommand:
        """One control step.

        Args:
            sensors: what the arms measured.
            action: (dim,) in the rig's channels; None holds the last one, or the pose it had at reset.
            dt: s since the last step.

        Raises:
            ValueError: an action that is not finite or has the wrong shape, or sensors of the wrong size.
        """
        q = sensors.q[self._arm]
        if not self._started:
            self._start(sensors, q)
        if action is not None and action is not self._action:
            self._goal, self._action = self._aligned(self.layout.validated(action)), action
        layout = self.layout
        arm_tracking.filter_reference(self._goal, self._reference, self._rate, layout.speed, layout.acceleration,
                                      self._quats, 2.0 * np.pi * FILTER_HZ, dt)
        before = self._dq_des
        self._dq_des = self._follow(dt)
        self._q_des = self._q_des + self._dq_des * dt
        self._update()
        tau = self._torques(q, (self._dq_des - before) / dt, sensors.dq[self._arm])
        return self._command(sensors, tau)

    @property
    def measured_action(self) -> np.ndarray | None:
        """(dim,) the pose the arms have, in action channels; None before a step. A gripper's is the opening that it
        presses towards: who goes on from here keeps what is held."""
        return self._measure() if self._started else None

    def _measure(self) -> np.ndarray:
        action = np.empty(self.layout.dim)
        for hand, (position, quat) in enumerate(zip(self.layout.positions, self.layout.quats, strict=True)):
            action[position], action[quat] = self._now_p[hand], rotations.from_matrix(self._now_R[hand])
        action[self._gripper_channels] = self._opening
        return action

    def _start(self, sensors: ArmSensors, q: np.ndarray) -> None:
        if sensors.q.shape != (len(self.rig.joint_names),) or not np.isfinite(sensors.q).all():
            raise ValueError(f"sensor q must be {len(self.rig.joint_names)} finite numbers, got {sensors.q}")
        self._started = True
        self._q_des, self._dq_des = q.copy(), np.zeros(self.model.n)
        self._opening = self._pressed(sensors)
        self._now_R[:], self._now_p[:] = self.model.forward(q)
        self._update()
        self._goal = self.layout.validated(self._measure())
        self._reference, self._rate = self._goal.copy(), np.zeros(self.layout.dim)

    def _pressed(self, sensors: ArmSensors) -> np.ndarray:
        """(grippers,) where the motors' springs would be at rest."""
        pressed = sensors.q[self._grippers] + sensors.tau_est[self._grippers] / GRIPPER_KP
        return np.minimum(np.maximum(pressed, 0.0), 1.0)

    def _aligned(self, action: np.ndarray) -> np.ndarray:
        """The same rotation with the quaternion sign nearest to the reference's."""
        for quat in self.layout.quats:
            if action[quat] @ self._reference[quat] < 0:
                action[quat] = -action[quat]
        return action

    def _follow(self, dt: float) -> np.ndarray:
        """(n,) velocities of the commanded joints, whose kinematics are up to date."""
        model, n = self.model, self.model.n
        dq = np.empty(n)
        arm_tracking.plan(self._reference, self._rate, self._positions, self._quats, self._want_R, self._want_p,
                          self._want_v, self._hand_R, self._hand_p, GAIN, self._closing_max, self._v, self._J,
                          TASK_WEIGHTS, POSTURE_GAIN, self._home, self._floor, REGULAR, DAMPING, self._H, self._f,
                          self._q_des, self._dq_des, *self._limits, dt, self._lower, self._upper, dq, self._L)
        count = arm_distances.distance_rows(model.parent, model.slides, self._R, self._p, self._z, model.capsule_joint,
                                          model.capsule_ends, model.capsule_radius, model.pairs, model.table, REACH,
                                          self._rows, self._near)
        if arm_tracking.is_legal(dq, self._lower, self._upper, self._rows, self._near, count, CLOSING_RATE, CLEARANCE,
                                 self._closing):
            return dq
        return self._solve(count, dq)

    def _solve(self, count: int, dq: np.ndarray) -> np.ndarray:
        """(n,) velocities within the bounds; distances are soft, so that there is always an answer."""
        self.solver_calls += 1
        upper = np.concatenate([self._upper, np.full(count, UNBOUNDED)])
        lower = np.concatenate([self._lower, self._closing[:count]])
        kind = np.concatenate([np.full(self.model.n, HARD, np.int32), np.full(count, SOFT, np.int32)])
        x, _, flag, _ = daqp.solve(self._H, self._f, self._rows[:count].copy(), upper, lower, kind)
        if flag < 1:  # cannot be: bounds never cross and the rest is soft; if it is, brake
            return np.minimum(np.maximum(np.zeros_like(dq), self._lower), self._upper)
        return np.minimum(np.maximum(x, self._lower), self._upper)

    def _torques(self, q: np.ndarray, ddq_des: np.ndarray, dq: np.ndarray) -> np.ndarray:
        """(n,) feed-forward torques that leave the motors within their limits, for what was measured."""
        model = self.model
        arm_tracking.stiffness_torques(*self._kinematics, model.ee_joint, model.ee_R, model.ee_p, q, self._q_des,
                                       self._hand_R, self._hand_p, self._kp, self._stiffness, self._force_max,
                                       JOINT_SHARE, *self._now, self._tau)
        tau = self._tau + model.inverse_dynamics(q, self._dq_des, ddq_des)
        law = self._kp * (self._q_des - q) + self._kd * (self._dq_des - dq)
        return np.minimum(np.maximum(tau + law, -self._tau_max), self._tau_max) - law

    def _command(self, sensors: ArmSensors, tau: np.ndarray) -> JointCommand:
        count = len(self.rig.joint_names)
        if len(self._grippers) == 0:
            return JointCommand(self._q_des, self._dq_des, tau)
        q_des, dq_des, tau_ff = np.empty(count), np.zeros(count), np.zeros(count)
        q_des[self._arm], dq_des[self._arm], tau_ff[self._arm] = self._q_des, self._dq_des, tau
        q_des[self._grippers] = self._reference[self._gripper_channels]
        rate = self._rate[self._gripper_channels]
        dq_des[self._grippers] = np.minimum(np.maximum(rate, -GRIPPER_DQ_MAX), GRIPPER_DQ_MAX)
        self._opening = self._pressed(sensors)
        return JointCommand(q_des, dq_des, tau_ff)

    def _update(self) -> None:
        """Kinematics of the commanded joints."""
        model = self.model
        arm_tracking.kinematics(*self._kinematics, model.ee_joint, model.ee_R, model.ee_p, self._q_des, self._R,
                                self._p, self._z, self._hand_R, self._hand_p, self._J)


def _scratch(n: int, h: int) -> tuple[np.ndarray, ...]:
    """Arrays for the kinematics of n joints and h hands."""
    return (np.zeros((n, 3, 3)), np.zeros((n, 3)), np.zeros((n, 3)), np.zeros((h, 3, 3)), np.zeros((h, 3)),
            np.zeros((h, 6, n)))  # fmt: skip


def _indices(rig: Rig, description: ArmDescription, arms: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the rig's joints: those of the arms, the grippers; and the grippers' channels."""
    m, extra = len(description.joints), int(description.has_gripper)
    if len(rig.joint_names) != (m + extra) * arms:
        raise ValueError(f"{rig.name} has {len(rig.joint_names)} joints, its arms have {(m + extra) * arms}")
    arm = np.concatenate([np.arange(m) + k * (m + extra) for k in range(arms)])
    grippers = np.array([m + k * (m + extra) for k in range(arms * extra)], dtype=np.int64)
    channels = [i for i, name in enumerate(rig.layout.channels) if name.endswith("_gripper")]
    return arm, grippers, np.array(channels, dtype=np.int64)


def compile_all() -> None:
    """Compile every function that a step uses, once per machine and version; takes some 20 s the first time."""
    controller = ArmController(YAM)
    zero = np.zeros(len(YAM.joint_names))
    for _ in range(2):
        controller.step(ArmSensors(zero, zero, zero), YAM.home_action)
