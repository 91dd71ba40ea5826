"""The G1's world with motors that take any gains, a gantry, and motors that grow warm: what the wire can say and hear.

The motor law runs inside the physics step, as in sim.g1_world, with the gains of the newest set-points.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import mujoco
import numpy as np

from controllers import g1
from sim.g1_world import G1World

ROPE_N_M, ROPE_N_S_M = 20_000.0, 900.0  # a rope can only pull
STRAP_NM, STRAP_NM_S = 250.0, 15.0  # what keeps a robot in its straps upright
HANGING_M = 0.10  # soles above the floor
WEIGHT_N = 340.0
CATCH_M = 0.04  # below standing, where the lowered rope is taut again
LOWER_M_S = 0.10
AMBIENT_C = 25.0
HEAT_S = 600.0  # time constant of a motor in its casing, `ours`
HEAT_C = 90.0  # above ambient, in the end, at a third of the greatest torque


def _zeros() -> np.ndarray:
    return np.zeros(g1.NUM_JOINTS)


@dataclass(slots=True)
class Motors:
    """Set-points of the motor law, arrays (29,); all zero is limp."""

    q: np.ndarray = field(default_factory=_zeros)
    dq: np.ndarray = field(default_factory=_zeros)
    tau: np.ndarray = field(default_factory=_zeros)
    kp: np.ndarray = field(default_factory=_zeros)
    kd: np.ndarray = field(default_factory=_zeros)


class Gantry:
    """A rope at the pelvis, `pull_n` strong now, from a hook that can be lowered; removed, it holds nothing."""

    def __init__(self) -> None:
        self.state = "removed"
        self._height = 0.0  # of the pelvis when the rope is just taut, m
        self._lowest = 0.0
        self.pull_n = 0.0

    def hang(self, standing_height: float) -> None:
        """Lift a robot whose pelvis is at `standing_height` (m) when it stands."""
        self.state, self._height, self._lowest = "hanging", standing_height + HANGING_M, standing_height - CATCH_M
        self.pull_n = WEIGHT_N

    def lower(self) -> None:
        """Let the hook down at LOWER_M_S until the robot can stand; one that sinks further is caught."""
        self.state = "lowering" if self.state != "removed" else "removed"

    def remove(self) -> None:
        """Take the rope off."""
        self.state, self.pull_n = "removed", 0.0

    def wrench(self, position: np.ndarray, up: np.ndarray, velocity: np.ndarray, dt: float) -> np.ndarray:
        """Force and torque (6,) in the world on a pelvis: its position, its own up (3,), velocity (6,) rot, lin."""
        if self.state == "lowering":
            self._height = max(self._lowest, self._height - LOWER_M_S * dt)
        stretch = self._height - position[2]
        self.pull_n = max(0.0, ROPE_N_M * stretch - ROPE_N_S_M * velocity[5]) if stretch > 0.0 else 0.0
        sideways = -0.1 * ROPE_N_S_M * velocity[3:5]  # hands on the robot, as long as the rope is: it does not swing
        tilt = np.cross(up, np.array([0.0, 0.0, 1.0]))
        return np.concatenate([sideways, [self.pull_n], STRAP_NM * tilt - STRAP_NM_S * velocity[:3]])


class WireWorld(G1World):
    """One world; `step_motors` advances CONTROL_DT."""

    def __init__(self, noise: bool = False, start_c: float = 35.0) -> None:
        self.gantry = Gantry()
        self._pelvis = -1  # G1World resets itself before we know
        self._start_c = start_c
        super().__init__(noise=noise)
        self._pelvis = self.model.body(g1.IMU_LINK).id
        self.reset(0)

    def reset(self, seed: int, q: np.ndarray | None = None) -> None:
        """As G1World's; cool motors, no gantry."""
        super().reset(seed, q)
        self.casing_c = np.full(g1.NUM_JOINTS, self._start_c)
        self.gantry.remove()
        self.standing_height = float(self.data.qpos[2])

    def hang_up(self) -> None:
        """Put the robot into its gantry, above the floor."""
        self.gantry.hang(self.standing_height)
        self.data.qpos[2] = self.standing_height + HANGING_M
        self.data.qvel[:6] = 0.0
        mujoco.mj_forward(self.model, self.data)

    def step_motors(self, motors: Motors) -> None:
        """One CONTROL_DT with these set-points; torques are clipped to what each motor can."""
        model, data = self.model, self.data
        model.actuator_biasprm[:, 1], model.actuator_biasprm[:, 2] = -motors.kp, -motors.kd
        data.ctrl[:] = motors.tau + motors.kp * motors.q + motors.kd * motors.dq
        if self.gantry.state != "removed":
            velocity = np.zeros(6)
            mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_BODY, self._pelvis, velocity, 0)
            up = data.xmat[self._pelvis].reshape(3, 3)[:, 2]
            data.xfrc_applied[self._pelvis] = self.gantry.wrench(
                data.xpos[self._pelvis], up, velocity, g1.CONTROL_DT
            )  # fmt: skip
        else:
            data.xfrc_applied[self._pelvis] = 0.0
        mujoco.mj_step(model, data)
        load = data.actuator_force / g1.TAU_MAX
        settles_c = AMBIENT_C + HEAT_C * 9.0 * load * load
        self.casing_c += (g1.CONTROL_DT / HEAT_S) * (settles_c - self.casing_c)
