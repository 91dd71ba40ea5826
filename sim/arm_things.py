"""What lies on the arms' table: shapes for the tasks' scenes, and where things are."""

from __future__ import annotations

import mujoco
import numpy as np

from sim.arm_world import OTHER_ROBOT, ROBOT, THINGS

BOX = mujoco.mjtGeom.mjGEOM_BOX
STIFF = (0.006, 1.0)  # solref of tight fits: at 2 ms steps contacts give by tenths of a millimetre
FRICTION = (0.6, 0.005, 0.0001)


def add_box(
    body: mujoco.MjsBody, name: str, half: tuple[float, float, float], pos: tuple[float, float, float] = (0, 0, 0),
    quat_wxyz: tuple[float, float, float, float] = (1, 0, 0, 0), rgba: tuple[float, ...] = (0.5, 0.5, 0.5, 1),
    mass: float = 0.0,
) -> None:  # fmt: skip
    """A box that arms and things collide with; `half` sizes in m."""
    body.add_geom(name=name, type=BOX, size=half, pos=pos, quat=quat_wxyz, rgba=rgba, mass=mass, contype=THINGS,
                  conaffinity=ROBOT | OTHER_ROBOT | THINGS, friction=FRICTION, solref=STIFF, condim=4)  # fmt: skip


class Thing:
    """A free body of a world: where it is, and how to put it somewhere."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, name: str) -> None:
        self._data = data
        self.body = int(model.body(name).id)
        joint = model.joint(name)
        self._q, self._dq = int(joint.qposadr[0]), int(joint.dofadr[0])

    def place(self, position: np.ndarray, quat_xyzw: np.ndarray) -> None:
        """At rest at `position` (3,) m."""
        q = self._q
        self._data.qpos[q : q + 3], self._data.qpos[q + 3 : q + 7] = position, np.roll(quat_xyzw, 1)
        self._data.qvel[self._dq : self._dq + 6] = 0.0

    @property
    def position(self) -> np.ndarray:
        """(3,) m, world."""
        return self._data.qpos[self._q : self._q + 3].copy()

    @property
    def quat_xyzw(self) -> np.ndarray:
        """(4,) orientation in the world."""
        return np.roll(self._data.qpos[self._q + 3 : self._q + 7], -1)

    @property
    def speed(self) -> float:
        """Largest of its linear (m/s) and angular (rad/s) velocities."""
        return float(np.abs(self._data.qvel[self._dq : self._dq + 6]).max())


def resize_box(model: mujoco.MjModel, geom: int, half: np.ndarray, mass: float) -> None:
    """Give a free body's only geom, a box, other half sizes (3,) m and mass, kg."""
    model.geom_size[geom], model.geom_aabb[geom, 3:] = half, half
    model.geom_rbound[geom] = np.linalg.norm(half)
    body = model.geom_bodyid[geom]
    x, y, z = half**2
    model.body_mass[body], model.body_inertia[body] = mass, mass / 3.0 * np.array([y + z, x + z, x + y])
