"""Task g1_box: pick a box from a low stand by squeezing it between the palms, stand up, set it on a shelf.

Everything random comes from the seed: box size, mass, friction, colour and pose, height of stand and shelf. Success is
judged here from ground truth and reaches nobody but the evaluator and the recorder.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from controllers.rigs import G1
from sim.g1_world import G1World

MAX_EPISODE_S = 25.0
STAND_HALF_X, STAND_HALF_Y = 0.11, 0.13  # m
SHELF_EDGE_X = 0.44  # m, front edge of the shelf ahead of the feet
SHELF_HALF = np.array([0.15, 0.35, 0.015])  # m
SHELF_ABOVE_BOX = 0.10  # m, from the box's top at pick: the shelf is over the box's far half, never inside it
SETTLED_S = 0.5  # the box must rest this long
HELD_OUT_SEED = 100_000  # seeds from here on are for evaluation, never for training or tuning


@dataclass(frozen=True)
class BoxScene:
    """One draw. Lengths in m, mass in kg, angles in rad, in the world whose origin is between the feet."""

    half_size: np.ndarray  # (3,)
    mass: float
    friction: float
    position: np.ndarray  # (3,) box centre at pick
    yaw: float
    shelf_height: float  # top surface
    rgba: np.ndarray  # (4,)
    shelf_rgba: np.ndarray  # (4,)


def draw_scene(seed: int) -> BoxScene:
    """The scene of a seed."""
    rng = np.random.default_rng([seed, 0x60B0])
    half = rng.uniform((0.08, 0.09, 0.07), (0.11, 0.14, 0.10))
    position = np.array([rng.uniform(0.40, 0.44), rng.uniform(-0.06, 0.06), rng.uniform(0.30, 0.70)])
    lowest_shelf = max(0.75, position[2] + half[2] + SHELF_ABOVE_BOX)
    hue = rng.uniform(0, 1)
    wood = rng.uniform(0.8, 1.1)
    return BoxScene(
        half_size=half,
        mass=float(rng.uniform(0.5, 2.0)),
        friction=float(rng.uniform(0.6, 1.0)),
        position=position,
        yaw=float(rng.uniform(-0.17, 0.17)),
        shelf_height=float(rng.uniform(lowest_shelf, 1.00)),
        rgba=np.array([*_colour(hue), 1.0]),
        shelf_rgba=np.array([*np.clip(np.array([0.72, 0.62, 0.48]) * wood, 0, 1), 1.0]),
    )


def _colour(hue: float) -> np.ndarray:
    """A saturated colour between red and blue; never the grey of floor and robot."""
    return np.clip(np.array([0.85, 0.35, 0.15]) * (1 - hue) + np.array([0.15, 0.4, 0.85]) * hue, 0, 1)


class G1BoxTask:
    """Sets the scene in a world and judges it."""

    name, rig, max_episode_s, held_out_seed = "g1_box", G1, MAX_EPISODE_S, HELD_OUT_SEED

    def __init__(self, world: G1World) -> None:
        self.world = self._world = world
        model = world.model
        self._box_geom, self._box_body = model.geom("box").id, model.body("box").id
        self._stand, self._shelf = model.body("stand").id, model.body("shelf").id
        self._qpos = model.joint("box").qposadr[0]
        self._dof = model.joint("box").dofadr[0]
        self._shelf_geom = model.geom("shelf").id
        self._pelvis, self._torso = model.body("pelvis").id, model.body("torso_link").id

    def randomise(self, seed: int) -> BoxScene:
        """Reset the world and place everything as `seed` says."""
        self.seed = seed
        self.scene = scene = draw_scene(seed)
        model = self._world.model
        model.geom_size[self._box_geom] = scene.half_size
        model.geom_rbound[self._box_geom] = np.linalg.norm(scene.half_size)
        model.geom_aabb[self._box_geom, 3:] = scene.half_size
        model.geom_friction[self._box_geom, 0] = scene.friction
        model.geom_rgba[self._box_geom], model.geom_rgba[self._shelf_geom] = scene.rgba, scene.shelf_rgba
        x, y, z = scene.half_size
        model.body_mass[self._box_body] = scene.mass
        model.body_inertia[self._box_body] = scene.mass / 3.0 * np.array([y * y + z * z, x * x + z * z, x * x + y * y])
        top = scene.position[2] - z
        stand = model.geom("stand").id
        model.geom_size[stand] = (STAND_HALF_X, min(STAND_HALF_Y, y - 0.01), top / 2)
        model.geom_aabb[stand, 3:] = model.geom_size[stand]
        model.geom_rbound[stand] = np.linalg.norm(model.geom_size[stand])
        model.body_pos[self._stand] = (scene.position[0], scene.position[1], top / 2)
        model.body_pos[self._shelf] = (SHELF_EDGE_X + SHELF_HALF[0], 0.0, scene.shelf_height - SHELF_HALF[2])
        mujoco.mj_setConst(model, self._world.data)
        self._world.reset(seed)
        data = self._world.data
        data.qpos[self._qpos : self._qpos + 3] = scene.position + np.array([0, 0, 0.001])
        data.qpos[self._qpos + 3 : self._qpos + 7] = np.cos(scene.yaw / 2), 0, 0, np.sin(scene.yaw / 2)
        mujoco.mj_forward(model, data)
        self._resting_since: float | None = None
        return scene

    @property
    def box_position(self) -> np.ndarray:
        """(3,) m, world."""
        return self._world.data.qpos[self._qpos : self._qpos + 3].copy()

    @property
    def box_quat_xyzw(self) -> np.ndarray:
        """(4,) orientation of the box in the world."""
        w, x, y, z = self._world.data.qpos[self._qpos + 3 : self._qpos + 7]
        return np.array([x, y, z, w])

    def update(self) -> None:
        """Call at least every 50 ms: keeps the time since which the box rests on the shelf, released."""
        if self._on_shelf():
            if self._resting_since is None:
                self._resting_since = self._world.time
        else:
            self._resting_since = None

    def success(self) -> bool:
        """The box has rested on the shelf, upright and released, for SETTLED_S, and the robot stands."""
        since = self._resting_since
        return since is not None and self._world.time - since >= SETTLED_S and not self.fallen()

    def _on_shelf(self) -> bool:
        data, scene = self._world.data, self.scene
        height = data.qpos[self._qpos + 2] - scene.shelf_height
        upright = data.xmat[self._box_body][8] > np.cos(np.deg2rad(15))
        slow = np.abs(data.qvel[self._dof : self._dof + 6]).max() < 0.1
        return bool(abs(height - scene.half_size[2]) < 0.02 and upright and slow and self._touches_only_shelf())

    def _touches_only_shelf(self) -> bool:
        contacts = self._world.data.contact.geom[: self._world.data.ncon]
        others = {int(a) if b == self._box_geom else int(b) for a, b in contacts if self._box_geom in (a, b)}
        return others == {self._shelf_geom}

    def fallen(self) -> bool:
        """The robot is no longer on its feet."""
        data = self._world.data
        return bool(data.xpos[self._pelvis][2] < 0.3 or data.xmat[self._pelvis][8] < 0.4)

    def dropped(self) -> bool:
        """The box is lower than it was at pick, or off the furniture."""
        return bool(self._world.data.qpos[self._qpos + 2] < self.scene.position[2] - 0.05)

    def failure(self) -> str:
        """Why the episode cannot succeed any more: fallen, dropped, or ""."""
        return "fallen" if self.fallen() else "dropped" if self.dropped() else ""

    def ground_truth(self) -> dict:
        """For the evaluator and the recorder, JSON-ready."""
        return {
            "seed": self.seed,
            "time": round(self._world.time, 6),
            "box_position": self.box_position.round(6).tolist(),
            "box_quat_xyzw": self.box_quat_xyzw.round(6).tolist(),
            "box_half_size": self.scene.half_size.round(6).tolist(),
            "shelf_height": round(self.scene.shelf_height, 6),
            "success": self.success(),
            "failure": self.failure(),
            "fallen": self.fallen(),
            "dropped": self.dropped(),
        }
