"""The G1 in MuJoCo with the g1_box furniture: physics, motors and sensors; no rendering, no ROS.

The motor law runs inside the physics step as an affine actuator: force = ctrl - kp q - kd dq with
ctrl = tau_ff + kp q_des + kd dq_des, clipped to the motor's torque, so it acts at every step as it does in the motor.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import mujoco
import numpy as np

from controllers import g1, rotations
from controllers.g1_controller import G1Controller, JointCommand, Sensors
from controllers.rigs import G1
from sim.assets import g1_spec
from sim.render_state import RenderStateCodec

START_TIME_S = 1.98  # the clock of a fresh world; a multiple of every period in the graph
HAND_FRICTION = (0.8, 0.02, 0.0001)  # sliding, torsional (m), rolling: a rubber palm is a patch, not a point
INNER_SOLE = (3, 4, 5)  # capsules between the outer ones: on level ground they add contacts and nothing else
_XYZW = np.array([1, 2, 3, 0])  # MuJoCo's quaternions are w x y z
DROP_GAP = 0.002  # m between soles and floor at reset


@dataclass(frozen=True)
class Noise:
    """Standard deviations of what is measured, and delay of what is commanded."""

    q: float = 0.0005  # rad, encoder
    dq: float = 0.02  # rad/s
    tau: float = 0.3  # N·m, torque estimate
    gyro: float = 0.005  # rad/s
    accel: float = 0.05  # m/s²
    tilt: float = 0.002  # rad, IMU attitude
    yaw_drift: float = 0.0005  # rad/s, constant over an episode


def build_spec() -> mujoco.MjSpec:
    """Floor, G1 with motors, box, pick stand and shelf; the same model for physics and for drawing."""
    spec = g1_spec()
    spec.option.timestep = g1.CONTROL_DT
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    # a held box creeps out of the palms under the pyramidal cone: 5 cm in 5 s, under 1 cm with these two
    spec.option.cone, spec.option.impratio = mujoco.mjtCone.mjCONE_ELLIPTIC, 20.0
    spec.option.iterations, spec.option.ls_iterations = 30, 30
    spec.visual.global_.offwidth, spec.visual.global_.offheight = 1280, 960
    _add_motors(spec)
    for geom in spec.geoms:
        if "foot" in geom.name:
            geom.condim, geom.friction, geom.priority = 3, (0.6, 0.02, 0.0001), 1
        if any(f"foot{k}_" in geom.name for k in INNER_SOLE):
            geom.contype = geom.conaffinity = 0
    _add_scene(spec)
    return spec


def _add_motors(spec: mujoco.MjSpec) -> None:
    for i, name in enumerate(g1.JOINT_NAMES):
        spec.joint(name).armature = g1.ARMATURE[i]
        motor = spec.add_actuator(name=name.removesuffix("_joint"), target=name)
        motor.trntype = mujoco.mjtTrn.mjTRN_JOINT
        motor.biastype = mujoco.mjtBias.mjBIAS_AFFINE
        motor.gainprm[0] = 1.0
        motor.biasprm[1], motor.biasprm[2] = -g1.KP[i], -g1.KD[i]
        motor.forcelimited, motor.forcerange = True, (-g1.TAU_MAX[i], g1.TAU_MAX[i])


def _add_scene(spec: mujoco.MjSpec) -> None:
    """Floor, lights, and the furniture whose sizes and places the task sets."""
    world = spec.worldbody
    texture = spec.add_texture(
        name="floor", type=mujoco.mjtTexture.mjTEXTURE_2D, builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        rgb1=(0.42, 0.45, 0.48), rgb2=(0.48, 0.51, 0.54), width=128, height=128,
    )  # fmt: skip
    floor = spec.add_material(name="floor", texrepeat=(6, 6), texuniform=True)
    floor.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = texture.name
    world.add_geom(name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=(0, 0, 0.05), material="floor",
                   friction=(0.8, 0.02, 0.0001))  # fmt: skip
    for name, pos, direction, grey in (
        ("key", (0.5, 1.0, 3.0), (-0.1, -0.3, -1.0), 0.6),
        ("fill", (-1.0, -1.5, 2.5), (0.4, 0.5, -1.0), 0.35),
    ):
        world.add_light(name=name, pos=pos, dir=direction, diffuse=(grey, grey, grey), castshadow=False)
    stand = world.add_body(name="stand", pos=(0.42, 0, 0.2))
    stand.add_geom(name="stand", type=mujoco.mjtGeom.mjGEOM_BOX, size=(0.11, 0.13, 0.2), rgba=(0.55, 0.45, 0.35, 1))
    shelf = world.add_body(name="shelf", pos=(0.65, 0, 0.85))
    shelf.add_geom(name="shelf", type=mujoco.mjtGeom.mjGEOM_BOX, size=(0.15, 0.35, 0.015), rgba=(0.72, 0.62, 0.48, 1))
    for side, y in (("left", 0.33), ("right", -0.33)):
        shelf.add_geom(name=f"shelf_{side}_post", type=mujoco.mjtGeom.mjGEOM_BOX, size=(0.02, 0.02, 0.5),
                       pos=(0.12, y, -0.515), rgba=(0.35, 0.35, 0.38, 1))  # fmt: skip
    box = world.add_body(name="box", pos=(0.42, 0, 0.5))
    box.add_freejoint(name="box")
    box.add_geom(name="box", type=mujoco.mjtGeom.mjGEOM_BOX, size=(0.1, 0.12, 0.08), mass=1.0, condim=4, priority=2,
                 friction=HAND_FRICTION, rgba=(0.8, 0.35, 0.15, 1))  # fmt: skip


class G1World:
    """One world. `step` advances CONTROL_DT with the newest command; the task sets box, stand and shelf."""

    rig, start_time_s = G1, START_TIME_S

    def __init__(self, noise: bool = False, command_delay: int = 0) -> None:
        """`noise` turns sensor noise on; `command_delay` is in control steps."""
        self.model = build_spec().compile()
        self.data = mujoco.MjData(self.model)
        self._noise = Noise() if noise else None
        self._delay = command_delay
        self._codec = RenderStateCodec(self.model)
        q = np.array([self.model.joint(name).qposadr[0] for name in g1.JOINT_NAMES])
        dq = np.array([self.model.joint(name).dofadr[0] for name in g1.JOINT_NAMES])
        assert (np.diff(q) == 1).all() and (np.diff(dq) == 1).all()  # so that slices see them, below and without copies
        data, self._joints = self.data, slice(dq[0], dq[-1] + 1)
        self._q, self._dq, self._tau = data.qpos[q[0] : q[-1] + 1], data.qvel[self._joints], data.actuator_force
        self._quat_wxyz = data.xquat[self.model.body(g1.IMU_LINK).id]
        gyro, accel = (self.model.sensor(name).adr[0] for name in ("imu_ang_vel", "imu_lin_acc"))
        self._gyro, self._accel = data.sensordata[gyro : gyro + 3], data.sensordata[accel : accel + 3]
        self._ctrl, self._none = data.ctrl, np.zeros(29)
        self.reset(0)

    def make_controller(self) -> G1Controller:
        """The robot's own controller."""
        return G1Controller()

    def reset(self, seed: int, q: np.ndarray | None = None) -> None:
        """Standing robot at the origin, joints at `q` (29,) or Q_HOME; `seed` drives the noise only."""
        self._rng = np.random.default_rng(seed)
        self._drift = 0.0 if self._noise is None else self._rng.normal(0.0, self._noise.yaw_drift)
        mujoco.mj_resetData(self.model, self.data)
        self.data.time = 0.0
        self._q[:] = g1.Q_HOME if q is None else q
        mujoco.mj_kinematics(self.model, self.data)
        soles = [self.data.geom(f"{side}_foot4_collision").xpos[2] for side in ("left", "right")]
        self.data.qpos[2] += DROP_GAP + 0.01 - min(soles)  # 0.01: radius of the sole's capsules
        self._pending: deque[JointCommand | None] = deque([None] * self._delay)
        self.applied = JointCommand(self._q.copy(), self._none, self._none, damp=True)
        self._damping: bool | None = None
        mujoco.mj_forward(self.model, self.data)
        # until the first command arrives somebody holds the robot upright: the motors hold the reset pose
        self.hold()

    def hold(self) -> None:
        """Hold the joints where they are until the next command, as a robot on its gantry."""
        self._apply(JointCommand(self._q.copy(), self._none, self.data.qfrc_bias[self._joints].copy()))

    @property
    def time(self) -> float:
        """Seconds since reset."""
        return float(self.data.time)

    def step(self, command: JointCommand | None) -> None:
        """One CONTROL_DT; None damps. `applied` then holds what the motors were given, after clamping."""
        self._pending.append(command)
        command = self._pending.popleft()
        if command is None or command.damp:
            command = JointCommand(self._q.copy(), self._none, self._none, damp=True)
        self._apply(command)
        mujoco.mj_step(self.model, self.data)

    def _apply(self, command: JointCommand) -> None:
        if command.damp is not self._damping:
            self._damping = command.damp
            self.model.actuator_biasprm[:, 1] = 0.0 if command.damp else -g1.KP
            self.model.actuator_biasprm[:, 2] = -g1.KD_DAMP if command.damp else -g1.KD
        if command.damp:
            self._ctrl[:] = 0.0
            self.applied = command
            return
        q_des = np.minimum(np.maximum(command.q_des, g1.Q_LOWER), g1.Q_UPPER)  # np.clip takes three times as long
        tau_ff = np.minimum(np.maximum(command.tau_ff, -g1.TAU_MAX), g1.TAU_MAX)
        self._ctrl[:] = tau_ff + g1.KP * q_des + g1.KD * command.dq_des
        self.applied = JointCommand(q_des, command.dq_des, tau_ff)

    def sensors(self) -> Sensors:
        """What the hardware measures: encoders, torque estimates, IMU. Never a base position."""
        quat = self._quat_wxyz[_XYZW]
        q, dq, tau = self._q.copy(), self._dq.copy(), self._tau.copy()
        gyro, accel = self._gyro.copy(), self._accel.copy()
        noise = self._noise
        if noise is not None:
            rng = self._rng
            q, dq = q + rng.normal(0, noise.q, 29), dq + rng.normal(0, noise.dq, 29)
            tau, gyro = tau + rng.normal(0, noise.tau, 29), gyro + rng.normal(0, noise.gyro, 3)
            accel = accel + rng.normal(0, noise.accel, 3)
            quat = _disturbed(quat, rng.normal(0, noise.tilt, 2), self._drift * self.time)
        return Sensors(q, dq, tau, quat, gyro, accel)

    def render_state(self) -> np.ndarray:
        """(n,) float64: all that a second process needs to draw this world; decoded by sim/render_state.py."""
        return self._codec.pack(self.data)


def _disturbed(quat_xyzw: np.ndarray, tilt: np.ndarray, yaw: float) -> np.ndarray:
    """An attitude with a small tilt error (2,) rad and a heading error, rad."""
    error = rotations.from_rotvec(np.array([tilt[0], tilt[1], yaw]))
    return rotations.multiply(error, quat_xyzw)
