"""Tasks arm_pick and arm_pick_tight: take a cube from the table and drop it into a bin.

Everything random comes from the seed: size, mass, colour and pose of the cube, place of the bin, starting pose of the
arm. Success is judged here from ground truth and reaches nobody but the evaluator and the recorder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from controllers import rotations
from controllers.rigs import YAM
from sim.arm_things import Thing, add_box, resize_box
from sim.arm_world import ArmWorld

MAX_EPISODE_S = 15.0
SETTLED_S = 0.3  # the cube must rest in the bin so long
BIN_HALF = np.array([0.065, 0.065, 0.03])  # m, outside
BIN_WALL = 0.004
HALF = (0.017, 0.024)  # m, of the cube: from, to
TIGHT_HALF = (0.029, 0.032)  # the fingers open 79 mm wide: who aims 8 mm beside such a cube lands on it, and tilts it
REACH = (0.13, 0.45)  # m from the base; a cube outside is lost
HELD_OUT_SEED = 100_000  # seeds from here on are for evaluation, never for training or tuning


@dataclass(frozen=True)
class PickScene:
    """One draw. Lengths in m, mass in kg, angles in rad, in base_link."""

    half: float  # of the cube
    mass: float
    position: np.ndarray  # (3,) of the cube
    yaw: float
    bin_position: np.ndarray  # (2,)
    rgba: np.ndarray
    start: np.ndarray  # (3,) m, the hand


def draw_scene(seed: int, halves: tuple[float, float] = HALF) -> PickScene:
    """The scene of a seed: a cube of a size between `halves` on one side of the table, the bin on the other."""
    rng = np.random.default_rng([seed, 0x91C4])
    half = float(rng.uniform(*halves))
    side = 1.0 if rng.random() < 0.5 else -1.0
    distance, angle = rng.uniform(0.24, 0.34), side * rng.uniform(0.0, 0.5)
    bin_distance, bin_angle = rng.uniform(0.26, 0.31), -side * rng.uniform(0.75, 1.05)
    return PickScene(
        half=half,
        mass=float(rng.uniform(0.03, 0.12)),
        position=np.array([distance * np.cos(angle), distance * np.sin(angle), half]),
        yaw=float(rng.uniform(-np.pi / 4, np.pi / 4)),
        bin_position=bin_distance * np.array([np.cos(bin_angle), np.sin(bin_angle)]),
        rgba=np.array([*rng.uniform(0.15, 0.95, 3) * np.array([1.0, 0.6, 0.5]), 1.0]),
        start=np.array([0.28, 0.0, 0.13]) + rng.uniform(-0.03, 0.03, 3),
    )


def add_scene(spec: mujoco.MjSpec) -> None:
    """Cube and bin, whose sizes and places the task sets."""
    cube = spec.worldbody.add_body(name="cube", pos=(0.3, 0.1, 0.02))
    cube.add_freejoint(name="cube")
    add_box(cube, "cube", (0.02, 0.02, 0.02), mass=0.08, rgba=(0.8, 0.3, 0.2, 1))
    tray = spec.worldbody.add_body(name="bin", pos=(0.2, -0.25, 0.0))
    x, y, z = BIN_HALF
    blue = (0.25, 0.35, 0.55, 1)
    add_box(tray, "bin_floor", (x, y, 0.002), (0, 0, 0.002), rgba=blue)
    for name, half, pos in (
        ("front", (BIN_WALL / 2, y, z), (x, 0, z)), ("back", (BIN_WALL / 2, y, z), (-x, 0, z)),
        ("left", (x, BIN_WALL / 2, z), (0, y, z)), ("right", (x, BIN_WALL / 2, z), (0, -y, z)),
    ):  # fmt: skip
        add_box(tray, f"bin_{name}", half, pos, rgba=blue)


class ArmPickTask:
    """Sets the scene in a world and judges it."""

    name, rig, max_episode_s, held_out_seed = "arm_pick", YAM, MAX_EPISODE_S, HELD_OUT_SEED
    halves = HALF

    def __init__(self, noise: bool = False, command_delay: int = 0) -> None:
        """`noise` and `command_delay` (control steps) as in ArmWorld."""
        self.world = ArmWorld(YAM, add_scene, noise, command_delay)
        model = self.world.model
        self.cube = Thing(model, self.world.data, "cube")
        self._geom, self._bin = int(model.geom("cube").id), int(model.body("bin").id)
        self._bin_geoms = {int(g) for g in np.flatnonzero(model.geom_bodyid == self._bin)}
        self._ik = self.world.make_controller().model
        self._down = rotations.matrix(YAM.home_action[3:7])

    def randomise(self, seed: int) -> PickScene:
        """Reset the world and place everything as `seed` says."""
        self.seed = seed
        self.scene = scene = draw_scene(seed, self.halves)
        world, model = self.world, self.world.model
        resize_box(model, self._geom, np.full(3, scene.half), scene.mass)
        model.geom_rgba[self._geom] = scene.rgba
        model.body_pos[self._bin, :2] = scene.bin_position
        heading = float(np.arctan2(scene.bin_position[1], scene.bin_position[0]))
        model.body_quat[self._bin] = np.roll(rotations.from_yaw(heading), 1)
        mujoco.mj_setConst(model, world.data)
        assert YAM.arms is not None
        q = self._ik.inverse_kinematics(self._down[None], scene.start[None], np.array(YAM.arms.description.q_home))
        world.reset(seed, np.append(q, 1.0))
        self.cube.place(scene.position + np.array([0, 0, 0.0005]), rotations.from_yaw(scene.yaw))
        mujoco.mj_forward(model, world.data)
        self._resting_since: float | None = None
        return scene

    def update(self) -> None:
        """Call at least every 60 ms: keeps the time since which the cube rests in the bin, released."""
        if self._is_in_bin():
            self._resting_since = self.world.time if self._resting_since is None else self._resting_since
        else:
            self._resting_since = None

    def success(self) -> bool:
        """The cube has rested in the bin for SETTLED_S, touched by nothing else."""
        return self._resting_since is not None and self.world.time - self._resting_since >= SETTLED_S

    def failure(self) -> str:
        """Why the episode cannot succeed any more, or ""."""
        position = self.cube.position
        distance = float(np.hypot(position[0], position[1]))
        is_lost = not REACH[0] < distance < REACH[1] and position[2] < 2 * self.scene.half
        return "dropped" if is_lost and not self._is_in_bin() else ""

    def _is_in_bin(self) -> bool:
        position = self.cube.position
        R = self.world.data.xmat[self._bin].reshape(3, 3)
        away = np.abs(R.T @ (position - self.world.data.xpos[self._bin]))
        is_inside = bool((away[:2] < BIN_HALF[:2]).all() and away[2] < 0.05)
        return is_inside and self.cube.speed < 0.15 and self._touches_only_the_bin()

    def _touches_only_the_bin(self) -> bool:
        contacts = self.world.data.contact.geom[: self.world.data.ncon]
        others = {int(a) if b == self._geom else int(b) for a, b in contacts if self._geom in (a, b)}
        return bool(others) and others <= self._bin_geoms

    def ground_truth(self) -> dict[str, Any]:
        """For the evaluator and the recorder, JSON-ready."""
        return {
            "seed": self.seed, "time": round(self.world.time, 6), "success": self.success(),
            "failure": self.failure(), "cube_position": self.cube.position.round(6).tolist(),
            "cube_quat_xyzw": self.cube.quat_xyzw.round(6).tolist(), "cube_half": round(self.scene.half, 6),
            "bin_position": self.scene.bin_position.round(6).tolist(),
        }  # fmt: skip


class TightPickTask(ArmPickTask):
    """With cubes nearly as wide as the fingers open."""

    name, halves = "arm_pick_tight", TIGHT_HALF
