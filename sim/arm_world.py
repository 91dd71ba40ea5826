"""Arms in MuJoCo on a table: physics, motors and sensors of any rig of YAM arms; no rendering, no ROS.

The motor law runs inside the physics step as an affine actuator, as in sim/g1_world.py. A gripper's motor turns a crank
that moves both fingers; here its torque acts on one finger, and a joint equality moves the other one. The pads meet at
opening 0: the MJCF lets them pass 2 mm into each other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import mujoco
import numpy as np

from controllers import arm
from controllers.arm_controller import ArmController, ArmSensors
from controllers.arm_model import model_path
from controllers.joint_command import JointCommand
from controllers.rigs import Rig
from sim.assets import yam_visuals
from sim.render_state import RenderStateCodec

START_TIME_S = 1.8  # the clock of a fresh world; a multiple of every period in the graph
PHYSICS_DT = 0.002
SUBSTEPS = round(arm.CONTROL_DT / PHYSICS_DT)
LEVER = arm.GRIPPER_TURN / arm.FINGER_STROKE  # rad/m: force on the finger joint per torque of the gripper's motor
PAD = "f_down4_collision"  # of both fingers: the plate that holds things
BRACES = ("f_down2_collision", "f_down3_collision", "f_down5_collision")  # behind the plate, in line with its face
PAD_FRICTION = (1.2, 0.01, 0.0001)  # sliding, torsional (m), rolling: rubber
# of the gripper: with MuJoCo's defaults pads sink 3 mm into what they hold, since rotor inertia weighs 9 kg at a finger
STIFF_SOLREF, STIFF_SOLIMP = (0.004, 1.0), (0.98, 0.99, 0.0005, 0.5, 2.0)
ROBOT, OTHER_ROBOT, THINGS = 1, 2, 4  # collision bits: an arm does not collide with itself, its controller sees to that
COLLISION_GROUP = 3  # as the YAM's MJCF groups its collision geoms; they are not drawn


@dataclass(frozen=True)
class Noise:
    """Standard deviations of what is measured; steps are those of the motors' messages."""

    q: float = 0.0002  # rad; a step is 0.0004
    dq: float = 0.01  # rad/s; a step is 0.005 or 0.015
    tau: float = 0.05  # N·m


def build_spec(rig: Rig, scene: Callable[[mujoco.MjSpec], None], visuals: bool = False) -> mujoco.MjSpec:
    """Table, arms with motors, and what `scene` adds; without `visuals` the arms have no meshes, physics needs none."""
    if rig.arms is None or rig.arms.description.model != "i2rt_yam":
        raise ValueError(f"{rig.name} is no rig of YAM arms; only those are simulated")
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    spec.option.timestep = PHYSICS_DT
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone, spec.option.impratio = mujoco.mjtCone.mjCONE_ELLIPTIC, 10.0  # or held things creep
    spec.option.iterations, spec.option.ls_iterations = 20, 20
    for k, mount in enumerate(rig.arms.mounts):
        _add_arm(spec, mount, ROBOT if k == 0 else OTHER_ROBOT, visuals)
    _add_table(spec)
    scene(spec)
    return spec


def _add_arm(spec: mujoco.MjSpec, mount: arm.Mount, bit: int, visuals: bool) -> None:
    child = mujoco.MjSpec.from_file(str(model_path("i2rt_yam")))
    if visuals:
        child.meshdir = str(yam_visuals().folder)
    for element in (*child.lights, *child.cameras):
        child.delete(element)
    for geom in list(child.geoms):
        if geom.type == mujoco.mjtGeom.mjGEOM_MESH and visuals:
            continue
        if geom.type in (mujoco.mjtGeom.mjGEOM_MESH, mujoco.mjtGeom.mjGEOM_SPHERE):  # the spheres: see PAD
            child.delete(geom)
            continue
        geom.group = COLLISION_GROUP
        geom.contype, geom.conaffinity = bit, (ROBOT | OTHER_ROBOT | THINGS) & ~bit
        geom.condim, geom.friction = 3, (0.6, 0.005, 0.0001)
        if geom.name.endswith(BRACES):
            geom.contype = geom.conaffinity = 0
        if geom.name.endswith(PAD):
            geom.condim, geom.friction, geom.priority = 4, PAD_FRICTION, 1
            geom.solref, geom.solimp = STIFF_SOLREF, STIFF_SOLIMP
    if not visuals:
        for mesh in list(child.meshes):
            child.delete(mesh)
    for coupling in child.equalities:
        coupling.solref, coupling.solimp = STIFF_SOLREF, STIFF_SOLIMP
    _add_motors(child)
    quat = (np.cos(0.5 * mount.yaw), 0.0, 0.0, np.sin(0.5 * mount.yaw))
    frame = spec.worldbody.add_frame(pos=(mount.x, mount.y, 0.0), quat=quat)
    spec.attach(child, frame=frame, prefix=f"{mount.side}_")


def _add_motors(spec: mujoco.MjSpec) -> None:
    d = arm.YAM
    for i, name in enumerate(d.joints):
        spec.joint(name).armature = d.armature[i]
        _add_motor(spec, name, d.kp[i], d.kd[i], d.tau_max[i])
    spec.joint("left_finger").range, spec.joint("right_finger").range = (0, arm.FINGER_STROKE), (-arm.FINGER_STROKE, 0)
    spec.joint("left_finger").armature = d.armature[5] * LEVER**2
    scale = LEVER / arm.FINGER_STROKE
    _add_motor(spec, "left_finger", scale * arm.GRIPPER_KP, scale * arm.GRIPPER_KD, LEVER * arm.GRIPPER_TAU_MAX)


def _add_motor(spec: mujoco.MjSpec, joint: str, kp: float, kd: float, most: float) -> None:
    motor = spec.add_actuator(name=joint, target=joint)
    motor.trntype, motor.biastype = mujoco.mjtTrn.mjTRN_JOINT, mujoco.mjtBias.mjBIAS_AFFINE
    motor.gainprm[0], motor.biasprm[1], motor.biasprm[2] = 1.0, -kp, -kd
    motor.forcelimited, motor.forcerange = True, (-most, most)


def _add_table(spec: mujoco.MjSpec) -> None:
    world = spec.worldbody
    spec.visual.headlight.ambient, spec.visual.headlight.diffuse = (0.3, 0.3, 0.3), (0.25, 0.25, 0.25)
    spec.visual.headlight.specular = (0.0, 0.0, 0.0)
    world.add_geom(name="table", type=mujoco.mjtGeom.mjGEOM_PLANE, size=(0.8, 0.8, 0.05), rgba=(0.62, 0.6, 0.56, 1),
                   contype=THINGS, conaffinity=ROBOT | OTHER_ROBOT | THINGS, friction=(0.6, 0.005, 0.0001))  # fmt: skip
    for name, pos, direction, grey in (("key", (0.3, 0.8, 2.0), (0.0, -0.35, -1.0), 0.5),
                                       ("fill", (0.6, -1.0, 1.8), (-0.1, 0.5, -1.0), 0.3)):  # fmt: skip
        world.add_light(name=name, pos=pos, dir=direction, diffuse=(grey, grey, grey), castshadow=False)


class ArmWorld:
    """One world. `step` advances CONTROL_DT with the newest command; a task places its things."""

    start_time_s = START_TIME_S

    def __init__(
        self, rig: Rig, scene: Callable[[mujoco.MjSpec], None], noise: bool = False, command_delay: int = 0
    ) -> None:
        """`noise` turns sensor noise on; `command_delay` is in control steps."""
        assert rig.arms is not None  # build_spec has said so
        self.rig, self.scene = rig, scene
        self.model = build_spec(rig, scene).compile()
        self.data = mujoco.MjData(self.model)
        self._noise = Noise() if noise else None
        self._delay = command_delay
        self._biasprm = self.model.actuator_biasprm.copy()
        self._indices(rig.arms)
        self._codec = RenderStateCodec(self.model, robot_roots(rig))
        self.reset(0)

    def _indices(self, arms: arm.Arms) -> None:
        """Per joint of the rig: where it is, its unit in MuJoCo's (m per opening for grippers), gains and limits."""
        d, model = arms.description, self.model
        names = [f"{m.side}_{joint}" for m in arms.mounts for joint in (*d.joints, "left_finger")]
        self._q = np.array([model.joint(name).qposadr[0] for name in names])
        self._dq = np.array([model.joint(name).dofadr[0] for name in names])
        self._other = np.array([model.joint(f"{m.side}_right_finger").qposadr[0] for m in arms.mounts])
        count, grip = len(arms.mounts), np.append(np.zeros(len(d.joints)), 1.0)
        self._is_gripper = np.tile(grip > 0, count)
        self._unit = np.tile(np.where(grip, arm.FINGER_STROKE, 1.0), count)
        self._lever = np.tile(np.where(grip, LEVER, 1.0), count)
        self._kp, self._kd, self._tau_max = (
            np.tile(np.append(values, last), count)
            for values, last in (
                (d.kp, arm.GRIPPER_KP), (d.kd, arm.GRIPPER_KD), (d.tau_max, arm.GRIPPER_TAU_MAX))
        )  # fmt: skip
        self._q_lower = np.tile(np.append(d.q_lower, 0.0), count)
        self._q_upper = np.tile(np.append(d.q_upper, 1.0), count)
        self._home = np.tile(np.append(d.q_home, 1.0), count)

    def make_controller(self) -> ArmController:
        """The rig's own controller."""
        return ArmController(self.rig)

    def reset(self, seed: int, q: np.ndarray | None = None) -> None:
        """Arms at rest at `q` (joints,) or the home posture with open grippers; `seed` drives the noise only."""
        self._rng = np.random.default_rng(seed)
        mujoco.mj_resetData(self.model, self.data)
        self.model.actuator_biasprm[:] = self._biasprm  # step_motor_law may have changed it
        self.place_arms(self._home if q is None else q)
        self._pending: deque[JointCommand | None] = deque([None] * self._delay)
        self._held: np.ndarray | None = None
        self._grip = (self._home if q is None else q)[self._is_gripper]
        mujoco.mj_forward(self.model, self.data)
        self.step_motors(None)

    def place_arms(self, q: np.ndarray) -> None:
        """Put the joints at `q` (joints,), at rest."""
        self.data.qpos[self._q] = q * self._unit
        self.data.qpos[self._other] = -self.data.qpos[self._q[self._is_gripper]]
        self.data.qvel[self._dq] = 0.0

    def grip(self, opening: float) -> None:
        """Until the first command the grippers press towards `opening`."""
        self._grip = np.full(len(self._grip), opening)
        self._held = None

    @property
    def time(self) -> float:
        """Seconds since reset."""
        return float(self.data.time)

    def step(self, command: JointCommand | None) -> None:
        """One CONTROL_DT; None holds the arms where they are and the grip as it was. `applied` is what the motors were
        given, after clamping."""
        self._pending.append(command)
        self.step_motors(self._pending.popleft())
        mujoco.mj_step(self.model, self.data, nstep=SUBSTEPS)

    def step_motors(self, command: JointCommand | None) -> None:
        """Give the motors a command, clamped; None holds the pose, carried against gravity."""
        if command is None:
            if self._held is None:
                self._held = self.data.qpos[self._q] / self._unit
                self._held[self._is_gripper] = self._grip
            bias = self.data.qfrc_bias[self._dq] / self._lever
            command = JointCommand(self._held, np.zeros(len(self._q)), np.where(self._is_gripper, 0.0, bias))
        else:
            self._held = None
            self._grip = command.q_des[self._is_gripper]
        q_des = np.minimum(np.maximum(command.q_des, self._q_lower), self._q_upper)
        tau_ff = np.minimum(np.maximum(command.tau_ff, -self._tau_max), self._tau_max)
        self.data.ctrl[:] = self._lever * (tau_ff + self._kp * q_des + self._kd * command.dq_des)
        self.applied = JointCommand(q_des, command.dq_des, tau_ff)

    def step_motor_law(
        self, q_des: np.ndarray, dq_des: np.ndarray, tau_ff: np.ndarray, kp: np.ndarray, kd: np.ndarray
    ) -> None:
        """One PHYSICS_DT with motors that got these set-points and gains, (joints,) in the rig's units."""
        scale = self._lever / self._unit
        self.model.actuator_biasprm[:, 1], self.model.actuator_biasprm[:, 2] = -scale * kp, -scale * kd
        self.data.ctrl[:] = self._lever * (tau_ff + kp * q_des + kd * dq_des)
        mujoco.mj_step(self.model, self.data)

    def sensors(self) -> ArmSensors:
        """What the motors report."""
        data, noise = self.data, self._noise
        q, dq = data.qpos[self._q] / self._unit, data.qvel[self._dq] / self._unit
        tau = data.actuator_force / self._lever
        if noise is not None:
            rng, n = self._rng, len(q)
            q, dq = q + rng.normal(0, noise.q, n), dq + rng.normal(0, noise.dq, n)
            tau = tau + rng.normal(0, noise.tau, n)
        return ArmSensors(q, dq, tau)

    def render_state(self) -> np.ndarray:
        """(n,) float64: all that a second process needs to draw this world; decoded by sim/render_state.py."""
        return self._codec.pack(self.data)


def robot_roots(rig: Rig) -> tuple[str, ...]:
    """Bodies at the roots of the arms' trees."""
    assert rig.arms is not None
    return tuple(f"{mount.side}_arm" for mount in rig.arms.mounts)
