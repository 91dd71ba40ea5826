"""The robot as the panel draws it: a tree of links with meshes, posed by joint angles only. Pure.

The browser composes the tree, so one pose costs one quaternion per joint here and no kinematics.
Meshes come from a folder with `visuals.json` (bodies, mesh files, placements, colours); without one the robot is a
stick figure made from its joint placements.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pinocchio as pin
import trimesh

ROOT = "/robot"
STICK_RADIUS = 0.012  # m
STICK_RGBA = (0.55, 0.6, 0.65, 1.0)
VISIBLE_TURN = 5e-4  # rad; a smaller change of a joint is not sent, the eye cannot see it


@dataclass(frozen=True)
class LinkMesh:
    """A mesh fixed to a joint's link."""

    joint: int  # index in DrawnRobot.paths; 0 is the base
    vertices: np.ndarray  # (n, 3) float32, m, in the link
    faces: np.ndarray  # (m, 3) uint32
    rgb: tuple[int, int, int]


class DrawnRobot:
    """Scene paths, fixed placements and axes of a tree of one-axis joints under a floating base."""

    def __init__(self, model: pin.Model, visuals: Path | None) -> None:
        joints = range(2, model.njoints)  # 0 is the universe, 1 the floating base
        self.joint_names = tuple(model.names[2:])
        self.paths = [ROOT]
        for joint in joints:
            self.paths.append(f"{self.paths[model.parents[joint] - 1]}/{joint - 1}")
        self.offsets = np.array([model.jointPlacements[joint].translation for joint in joints])  # (n, 3) in parent
        self._fixed = np.array([pin.Quaternion(model.jointPlacements[joint].rotation).coeffs() for joint in joints])
        self._axes = np.array([np.ravel(model.joints[joint].createData().S)[3:] for joint in joints])  # (n, 3)
        self.meshes = _read_visuals(model, visuals) if visuals else _sticks(model)
        self._drawn = np.full(len(self.joint_names), np.nan)

    def turned(self, q: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """Joints that moved visibly since the last call: (index in paths, quaternion wxyz (4,) in the parent).

        Args:
            q: (n,) rad, in the order of joint_names.
        """
        moved = ~(np.abs(q - self._drawn) < VISIBLE_TURN)  # NaN, never drawn, counts as moved
        self._drawn = np.where(moved, q, self._drawn)
        wxyz = self.joint_quats_wxyz(q)
        return [(int(index) + 1, wxyz[index]) for index in np.flatnonzero(moved)]

    def joint_quats_wxyz(self, q: np.ndarray) -> np.ndarray:
        """(n, 4) orientation of each joint's link in its parent link, wxyz, for angles q (n,) rad."""
        half = 0.5 * np.asarray(q)[:, None]
        vector, scalar = np.sin(half) * self._axes, np.cos(half)
        fixed_vector, fixed_scalar = self._fixed[:, :3], self._fixed[:, 3:]
        w = fixed_scalar * scalar - np.sum(fixed_vector * vector, axis=1, keepdims=True)
        xyz = fixed_scalar * vector + scalar * fixed_vector + np.cross(fixed_vector, vector)
        return np.hstack([w, xyz])


def _read_visuals(model: pin.Model, folder: Path) -> list[LinkMesh]:
    """The meshes that visuals.json names, merged per link and colour: fewer things to draw."""
    try:
        described = json.loads((folder / "visuals.json").read_text())["geoms"]
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"no robot meshes in {folder} ({error}); give a folder with visuals.json, or none") from error
    parts: dict[tuple, list[trimesh.Trimesh]] = {}
    for geom in described:
        if not model.existBodyName(geom["body"]):
            raise ValueError(f"visuals.json in {folder} names body {geom['body']!r}, which the robot does not have")
        frame = model.frames[model.getBodyId(geom["body"])]
        placement = frame.placement * pin.XYZQUATToSE3(np.array([*geom["position"], *geom["quat_xyzw"]]))
        mesh: Any = trimesh.load_mesh(folder / geom["mesh_file"])
        mesh.apply_transform(placement.homogeneous)
        parts.setdefault((frame.parentJoint - 1, tuple(geom["rgba"])), []).append(mesh)
    return [_link_mesh(joint, trimesh.util.concatenate(meshes), rgba) for (joint, rgba), meshes in parts.items()]


def _sticks(model: pin.Model) -> list[LinkMesh]:
    """One cylinder from each joint to each of its children."""
    sticks = []
    for joint in range(2, model.njoints):
        end = model.jointPlacements[joint].translation
        if np.linalg.norm(end) > STICK_RADIUS:
            stick = trimesh.creation.cylinder(STICK_RADIUS, segment=[np.zeros(3), end], sections=8)
            sticks.append(_link_mesh(model.parents[joint] - 1, stick, STICK_RGBA))
    return sticks


def _link_mesh(joint: int, mesh: Any, rgba: tuple[float, ...]) -> LinkMesh:
    red, green, blue = (round(255 * channel) for channel in rgba[:3])
    return LinkMesh(joint, np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.uint32), (red, green, blue))
