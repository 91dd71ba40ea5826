"""Cameras in MuJoCo, drawn from a render state in a process of their own; and where those of the G1 sit.

head   the robot's own D435, where Unitree mounts it: above the face, 47.6 degrees down. It sees the box and the shelf
       from above while the robot stands, and the near part of the box's top when it bends down to it.
chest  a second camera that a G1 can carry: a D455 (wider lens) on the sternum, straight ahead. Standing, it sees the
       shelf's edge, also past a carried box; bent over a low stand, where the head camera looks at the robot's feet,
       it has the whole box and both hands in the middle of its picture.

Both are fixed to the torso, so the picture says where things are relative to the arms' shoulders.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import mujoco
import numpy as np

from sim.g1_world import build_spec
from sim.gl import offscreen_context
from sim.render_state import G1_ROOTS, RenderStateCodec

CAMERAS = ("head", "chest")
SPECTATOR = "spectator"  # a view of robot and task for people; no robot carries it
CAMERA_PERIOD_S = 0.066  # 15 Hz on the control grid of 2 ms
MAX_GEOMS = 500
FLOOR_HALF_M = 6.0
COLLISION_GROUP = 3  # as the G1's MJCF groups its collision geoms; they are not drawn


@dataclass(frozen=True)
class Mount:
    """Where a camera sits: a body, a point in its frame (m), vertical field of view, and where it looks: along the
    body's x, turned left by yaw, then down (rad); or as `quat_wxyz` says, MuJoCo's way."""

    body: str
    position: tuple[float, float, float]
    pitch_down: float
    fovy_deg: float
    yaw: float = 0.0
    quat_wxyz: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class View:
    """What the cameras of one world need: how to build it, where they sit, and what no task changes."""

    build_spec: Callable[[], mujoco.MjSpec]
    mounts: Mapping[str, Mount]
    robot_roots: tuple[str, ...]
    spectator: tuple[tuple[float, float, float], tuple[float, float, float]]  # eye and what it looks at, m


MOUNTS = {
    # Unitree's g1_29dof description, d435_joint: xyz 0.0576235 0.01753 0.42987, rpy 0 0.8307767 0. The D435's colour
    # picture is 69.4 x 42.5 degrees at 16:9; 4:3 modes crop its sides and keep the height.
    "head": Mount("torso_link", (0.0576235, 0.01753, 0.42987), 0.8307767, 42.5),
    # ours: the torso's shell ends at x = 0.074 there. D455 colour: 90 x 65 degrees.
    "chest": Mount("torso_link", (0.10, 0.0, 0.21), 0.0, 65.0),
}


G1_VIEW = View(build_spec, MOUNTS, G1_ROOTS, ((1.7, -1.5, 1.25), (0.2, 0.0, 0.7)))


class CameraRig:
    """All cameras of a view with their own model and OpenGL context; use and close it in the thread that made it."""

    def __init__(self, width: int = 320, height: int = 240, view: View = G1_VIEW) -> None:
        self.width, self.height = width, height
        self.names, self._mounts = tuple(view.mounts), view.mounts
        spec = view.build_spec()
        _add_cameras(spec, view)
        if spec.geom("floor") is not None:
            _flatten_floor(spec)
        spec.visual.quality.offsamples = 0  # no MSAA
        spec.visual.quality.shadowsize = 0
        spec.visual.global_.offwidth, spec.visual.global_.offheight = width, height
        self.model = spec.compile()
        self._data = mujoco.MjData(self.model)
        self._codec = RenderStateCodec(self.model, view.robot_roots)
        self._scene = mujoco.MjvScene(self.model, MAX_GEOMS)
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            self._scene.flags[flag] = False
        self._option = mujoco.MjvOption()
        self._option.geomgroup[COLLISION_GROUP] = False
        self._option.sitegroup[:] = False
        self._gl = offscreen_context(width, height)
        self._gl.make_current()
        self._context = mujoco.MjrContext(self.model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._rect = mujoco.MjrRect(0, 0, width, height)

    def draw(self, render_state: np.ndarray, names: tuple[str, ...] | None = None) -> dict[str, np.ndarray]:
        """Pictures (height, width, 3) uint8 RGB of a world's `render_state()`, by camera name; all without `names`."""
        self._codec.unpack_into(render_state, self._data)
        self._gl.make_current()
        return {name: self._picture(name) for name in names or self.names}

    def intrinsics(self, name: str) -> tuple[float, float, float, float]:
        """fx, fy, cx, cy in pixels, pixel centres at whole numbers (REP 104); no distortion."""
        if name not in self.names:
            raise ValueError(f"unknown camera {name!r}; there are: {', '.join(self.names)}")
        focal = 0.5 * self.height / np.tan(0.5 * np.deg2rad(self._mounts[name].fovy_deg))
        return focal, focal, 0.5 * (self.width - 1), 0.5 * (self.height - 1)

    def close(self) -> None:
        """Gives the OpenGL context back."""
        self._context.free()
        self._gl.free()

    def _picture(self, name: str) -> np.ndarray:
        camera = mujoco.MjvCamera()
        camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        camera.fixedcamid = mujoco.mj_name2id(self.model, mujoco.mjtObj.mjOBJ_CAMERA, name)
        if camera.fixedcamid < 0:
            raise ValueError(f"unknown camera {name!r}; there are: {', '.join((*self.names, SPECTATOR))}")
        everything = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(self.model, self._data, self._option, None, camera, everything, self._scene)
        mujoco.mjr_render(self._rect, self._scene, self._context)
        picture = np.empty((self.height, self.width, 3), np.uint8)
        mujoco.mjr_readPixels(picture, None, self._rect, self._context)
        return np.ascontiguousarray(picture[::-1])  # OpenGL's rows start at the bottom


def _add_cameras(spec: mujoco.MjSpec, view: View) -> None:
    for name, mount in view.mounts.items():
        quat = _look_quat_wxyz(mount.pitch_down, mount.yaw) if mount.quat_wxyz is None else mount.quat_wxyz
        spec.body(mount.body).add_camera(name=name, pos=mount.position, quat=quat, fovy=mount.fovy_deg)
    eye, focus = (np.array(point) for point in view.spectator)
    ahead = focus - eye
    yaw, pitch_down = np.arctan2(ahead[1], ahead[0]), np.arctan2(-ahead[2], np.hypot(ahead[0], ahead[1]))
    spec.worldbody.add_camera(name=SPECTATOR, pos=eye, quat=_look_quat_wxyz(pitch_down, yaw), fovy=45.0)


def _flatten_floor(spec: mujoco.MjSpec) -> None:
    """Draws the floor as a thin box: MuJoCo cuts a plane into so many pieces that it costs more than all the rest."""
    floor = spec.geom("floor")
    floor.group = COLLISION_GROUP
    picture = spec.worldbody.add_geom(name="floor_picture", type=mujoco.mjtGeom.mjGEOM_BOX, pos=(0, 0, -0.01))
    picture.size, picture.material, picture.rgba = (FLOOR_HALF_M, FLOOR_HALF_M, 0.01), floor.material, floor.rgba


def _look_quat_wxyz(pitch_down: float, yaw: float = 0.0) -> np.ndarray:
    """MuJoCo camera orientation (looks along its -z, y up) that looks along x, turned left by yaw, then down."""
    ahead = np.array([np.cos(yaw) * np.cos(pitch_down), np.sin(yaw) * np.cos(pitch_down), -np.sin(pitch_down)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    quat = np.empty(4)
    mujoco.mju_mat2Quat(quat, np.stack([right, np.cross(right, ahead), -ahead], axis=1).ravel())
    return quat
