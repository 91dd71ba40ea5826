"""Task arm_insert: put the peg that the gripper holds into a hole 1 mm wider.

Everything random comes from the seed: place and heading of the hole, how the peg sits between the fingers, starting
pose of the arm, friction, colours. Success is judged here from ground truth and reaches nobody but the evaluator and
the recorder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from controllers import rotations
from controllers.arm import FINGER_STROKE
from controllers.rigs import YAM
from sim.arm_things import Thing, add_box
from sim.arm_world import ArmWorld

MAX_EPISODE_S = 8.0
PEG_HALF = np.array([0.04, 0.008, 0.008])  # m; its x is its long axis, along the hand's x
PEG_MASS = 0.06
PEG_AHEAD = 0.02  # m from the hand's point to the peg's middle, along the fingers
CLEARANCE = 0.001  # m, the hole's side less the peg's
SOCKET_HALF, SOCKET_HEIGHT = 0.04, 0.04  # m
CHAMFER = 0.002  # m, at 45 degrees around the hole
INSERTED = 0.025  # m, the tip below the socket's top
SETTLED_S = 0.1
LOST = 0.03  # m, the peg from its place in the hand: it has fallen out
PAD_GAP = 0.0004  # m, MJCF: the pads' faces from their joint's zero
GRASP_S = 0.2  # the fingers close on the peg before the clock starts
HELD_OUT_SEED = 100_000  # seeds from here on are for evaluation, never for training or tuning


@dataclass(frozen=True)
class InsertScene:
    """One draw. m, rad, in base_link; the peg's offset and tilt in the hand's frame."""

    hole: np.ndarray  # (2,)
    yaw: float
    start: np.ndarray  # (3,) the hand
    start_yaw: float
    peg_offset: np.ndarray  # (3,) x along the fingers, z across the pads
    peg_tilt: float  # about the way the fingers open
    friction: float
    peg_rgba: np.ndarray
    socket_rgba: np.ndarray


def draw_scene(seed: int) -> InsertScene:
    """The scene of a seed."""
    rng = np.random.default_rng([seed, 0x1A5E])
    hole = np.array([rng.uniform(0.26, 0.34), rng.uniform(-0.07, 0.07)])
    grey = rng.uniform(0.45, 0.75)
    return InsertScene(
        hole=hole,
        yaw=float(rng.uniform(-0.1, 0.1)),
        start=np.array([0.30, 0.0, 0.138]) + rng.uniform((-0.03, -0.05, -0.008), (0.03, 0.05, 0.012)),
        start_yaw=float(rng.uniform(-0.1, 0.1)),
        peg_offset=np.array([rng.uniform(-0.003, 0.003), 0.0, rng.uniform(-0.0015, 0.0015)]),
        peg_tilt=float(rng.uniform(-0.03, 0.03)),
        friction=float(rng.uniform(0.2, 0.4)),
        peg_rgba=np.array([rng.uniform(0.6, 0.9), rng.uniform(0.2, 0.5), rng.uniform(0.1, 0.3), 1.0]),
        socket_rgba=np.array([grey, grey, grey * rng.uniform(0.9, 1.1), 1.0]),
    )


def add_scene(spec: mujoco.MjSpec) -> None:
    """Peg, and a socket of four walls with a chamfer of four slabs."""
    peg = spec.worldbody.add_body(name="peg", pos=(0.3, 0.0, 0.1))
    peg.add_freejoint(name="peg")
    add_box(peg, "peg", tuple(PEG_HALF), mass=PEG_MASS, rgba=(0.8, 0.4, 0.2, 1))
    socket = spec.worldbody.add_body(name="socket", pos=(0.3, 0.0, 0.0))
    hole = PEG_HALF[1] + CLEARANCE / 2
    wall, height = 0.5 * (SOCKET_HALF - hole), 0.5 * (SOCKET_HEIGHT - CHAMFER)
    rim = 0.5 * (SOCKET_HALF - hole - CHAMFER)  # above the walls, outside of the chamfer
    for k, (x, y) in enumerate(((1, 0), (-1, 0), (0, 1), (0, -1))):
        for name, half, out, z in (("wall", (wall, height), hole + wall, height),
                                   ("rim", (rim, 0.5 * CHAMFER), hole + CHAMFER + rim, SOCKET_HEIGHT - CHAMFER / 2)):
            across = SOCKET_HALF if x else hole + (CHAMFER if name == "rim" else 0.0)
            size = (half[0], across, half[1]) if x else (across, half[0], half[1])
            add_box(socket, f"socket_{name}{k}", size, (x * out, y * out, z))
        slab = 0.7071 * CHAMFER  # half the slope's length; the slab lies under it
        turn = 0.3827 * np.array([0.0, -y, x, 0.0])  # pi/4 about the axis across: leans outwards
        inner = hole + 0.5 * CHAMFER + 0.5 * slab
        size = (slab, hole, slab) if x else (hole, slab, slab)
        add_box(socket, f"socket_slope{k}", size, (x * inner, y * inner, SOCKET_HEIGHT - CHAMFER / 2 - 0.5 * slab),
                (0.9239, float(turn[1]), float(turn[2]), 0.0))


class ArmInsertTask:
    """Sets the scene in a world and judges it."""

    name, rig, max_episode_s, held_out_seed = "arm_insert", YAM, MAX_EPISODE_S, HELD_OUT_SEED

    def __init__(self, noise: bool = False, command_delay: int = 0) -> None:
        """`noise` and `command_delay` (control steps) as in ArmWorld."""
        self.world = ArmWorld(YAM, add_scene, noise, command_delay)
        model = self.world.model
        self.peg = Thing(model, self.world.data, "peg")
        self._peg_geom, self._socket = int(model.geom("peg").id), int(model.body("socket").id)
        self._socket_geoms = np.flatnonzero(model.geom_bodyid == self._socket)
        self.kinematics = self.world.make_controller().model

    def randomise(self, seed: int) -> InsertScene:
        """Reset the world, place everything as `seed` says, and let the fingers close on the peg."""
        self.seed = seed
        self.scene = scene = draw_scene(seed)
        world, model = self.world, self.world.model
        model.body_pos[self._socket, :2] = scene.hole
        model.body_quat[self._socket] = np.roll(rotations.from_yaw(scene.yaw), 1)
        model.geom_rgba[self._socket_geoms], model.geom_rgba[self._peg_geom] = scene.socket_rgba, scene.peg_rgba
        model.geom_friction[self._socket_geoms, 0] = model.geom_friction[self._peg_geom, 0] = scene.friction
        mujoco.mj_setConst(model, world.data)
        quat = rotations.multiply(rotations.from_yaw(scene.start_yaw), YAM.home_action[3:7])
        assert YAM.arms is not None
        home = np.array(YAM.arms.description.q_home)
        q = self.kinematics.inverse_kinematics(rotations.matrix(quat)[None], scene.start[None], home)
        world.reset(seed, np.append(q, (PEG_HALF[1] - PAD_GAP) / FINGER_STROKE))
        ahead = scene.peg_offset + np.array([PEG_AHEAD, 0.0, 0.0])
        tilted = rotations.multiply(quat, rotations.from_rotvec(np.array([0.0, scene.peg_tilt, 0.0])))
        self.peg.place(scene.start + rotations.matrix(quat) @ ahead, tilted)
        world.grip(0.0)
        for _ in range(round(GRASP_S / world.rig.control_dt)):
            world.step(None)
        world.data.time = 0.0
        self._held_at = self._in_hand()
        self._inserted_since: float | None = None
        return scene

    @property
    def tip(self) -> np.ndarray:
        """(3,) m, the middle of the peg's lower end in the socket's frame: z above the table."""
        tip = self.peg.position + rotations.matrix(self.peg.quat_xyzw)[:, 0] * PEG_HALF[0]
        R = self.world.data.xmat[self._socket].reshape(3, 3)
        return R.T @ (tip - self.world.data.xpos[self._socket])

    def update(self) -> None:
        """Call at least every 60 ms: keeps the time since which the peg is in."""
        tip = self.tip
        is_in = tip[2] < SOCKET_HEIGHT - INSERTED and np.abs(tip[:2]).max() < 0.5 * PEG_HALF[1]
        if not is_in:
            self._inserted_since = None
        elif self._inserted_since is None:
            self._inserted_since = self.world.time

    def success(self) -> bool:
        """The peg has been INSERTED deep for SETTLED_S."""
        return self._inserted_since is not None and self.world.time - self._inserted_since >= SETTLED_S

    def failure(self) -> str:
        """Why the episode cannot succeed any more, or ""."""
        is_lost = np.linalg.norm(self._in_hand() - self._held_at) > LOST
        return "dropped" if is_lost and self._inserted_since is None else ""

    def _in_hand(self) -> np.ndarray:
        """(3,) m, the peg's middle in the frame of the link that carries the fingers."""
        data, hand = self.world.data, self.world.model.body("left_link_6").id
        return data.xmat[hand].reshape(3, 3).T @ (self.peg.position - data.xpos[hand])

    def ground_truth(self) -> dict[str, Any]:
        """For the evaluator and the recorder, JSON-ready."""
        return {
            "seed": self.seed, "time": round(self.world.time, 6), "success": self.success(),
            "failure": self.failure(), "peg_position": self.peg.position.round(6).tolist(),
            "peg_quat_xyzw": self.peg.quat_xyzw.round(6).tolist(), "tip_in_socket": self.tip.round(6).tolist(),
            "hole": self.scene.hole.round(6).tolist(), "hole_yaw": round(self.scene.yaw, 6),
        }  # fmt: skip
