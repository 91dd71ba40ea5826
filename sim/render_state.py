"""What the eye sees of a world, as one flat array: written where physics runs, read where pictures are made.

Both sides hold the same model (same builder). Sent are the pose of every joint and everything that a task may change
from a seed: pose of the bodies that do not belong to the robot, size, place and colour of their geoms, the lights.
What is fixed to the world body, the floor, is not sent: the drawing side may have its own.
"""

from __future__ import annotations

import mujoco
import numpy as np

G1_ROOTS = ("pelvis",)


class RenderStateError(ValueError):
    """An array that does not describe this world."""


def _free_bodies(model: mujoco.MjModel, robot_roots: tuple[str, ...]) -> np.ndarray:
    """Indices of the bodies outside the robot's trees, without the world body."""
    is_free = np.ones(model.nbody, dtype=bool)
    for name in robot_roots:
        root = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, name)
        if root < 0:
            raise RenderStateError(f"the model has no body {name!r}; build it as the world that sends the state")
        is_free &= model.body_rootid != model.body_rootid[root]
    return np.flatnonzero(is_free)[1:]


class RenderStateCodec:
    """Packs the visible state of one model and unpacks it into another of the same build."""

    def __init__(self, model: mujoco.MjModel, robot_roots: tuple[str, ...] = G1_ROOTS) -> None:
        """`robot_roots`: the bodies at the roots of the robot's trees, which no task changes."""
        bodies = _free_bodies(model, robot_roots)
        geoms = np.flatnonzero(np.isin(model.geom_bodyid, bodies))
        self._of_model = [(model.body_pos, bodies), (model.body_quat, bodies), (model.geom_pos, geoms),
                          (model.geom_quat, geoms), (model.geom_size, geoms), (model.geom_rgba, geoms),
                          (model.light_pos, slice(None)), (model.light_dir, slice(None)),
                          (model.light_diffuse, slice(None))]
        self._of_data = ("qpos", "mocap_pos", "mocap_quat")
        self.size = len(self.pack(mujoco.MjData(model)))

    def pack(self, data: mujoco.MjData) -> np.ndarray:
        """(size,) float64: joint positions, mocap poses, then the model's changeable parts."""
        parts = [getattr(data, name) for name in self._of_data] + [array[rows] for array, rows in self._of_model]
        return np.concatenate([np.ravel(part) for part in parts]).astype(np.float64)

    def unpack_into(self, state: np.ndarray, data: mujoco.MjData) -> None:
        """Sets `data` and this codec's model to `state` (size,) and updates the poses of all bodies.

        Raises:
            RenderStateError: `state` is of another world, or not finite.
        """
        state = np.asarray(state, dtype=np.float64)
        if state.shape != (self.size,):
            raise RenderStateError(f"render state has shape {state.shape}, this world needs ({self.size},); "
                                   "run both sides from the same version")
        if not np.isfinite(state).all():
            raise RenderStateError("render state has values that are not finite; the simulation has diverged")
        start = 0
        for name in self._of_data:
            array = getattr(data, name)
            array[:] = state[start : start + array.size].reshape(array.shape)
            start += array.size
        for array, rows in self._of_model:
            shape = array[rows].shape
            count = int(np.prod(shape))
            array[rows] = state[start : start + count].reshape(shape)
            start += count
        mujoco.mj_kinematics(data.model, data)
        mujoco.mj_comPos(data.model, data)  # lights and cameras that track a centre of mass need it
        mujoco.mj_camlight(data.model, data)
