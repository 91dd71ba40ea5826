"""The robot as the panel draws it: a tree of links with meshes, posed by joint angles only. Pure.

The browser composes the tree, so one pose costs one quaternion per joint here and no kinematics.
Meshes come from a folder with `visuals.json` (bodies, mesh files, placements, colours); without one the robot is a
stick figure made from its joint placements.
"""

from __future__ import annotations

import itertools
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
    """Scene paths, fixed placements and axes of a tree of one-axis joints, under a floating base or on the ground."""

    def __init__(self, model: pin.Model, visuals: Path | None, prefixes: tuple[str, ...] = ("",)) -> None:
        """`prefixes`: what the model puts in front of the bodies' names in visuals.json, one for each arm."""
        root = _root(model)
        joints = range(root + 1, model.njoints)
        self.joint_names = tuple(model.names[root + 1 :])
        self.paths = [ROOT]
        for joint in joints:
            self.paths.append(f"{self.paths[model.parents[joint] - root]}/{joint - root}")
        self.offsets = np.array([model.jointPlacements[joint].translation for joint in joints])  # (n, 3) in parent
        self._fixed = np.array([pin.Quaternion(model.jointPlacements[joint].rotation).coeffs() for joint in joints])
        self._axes = np.array([np.ravel(model.joints[joint].createData().S)[3:] for joint in joints])  # (n, 3)
        self.meshes = _read_visuals(model, visuals, prefixes) if visuals else _sticks(model)
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


def _root(model: pin.Model) -> int:
    """Index of the joint that carries all: the floating base 1, or the universe 0 of a robot that is bolted down."""
    return 1 if model.joints[1].nv == 6 else 0


def _read_visuals(model: pin.Model, folder: Path, prefixes: tuple[str, ...]) -> list[LinkMesh]:
    """The meshes that visuals.json names, merged per link and colour: fewer things to draw."""
    try:
        described = json.loads((folder / "visuals.json").read_text())["geoms"]
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"no robot meshes in {folder} ({error}); give a folder with visuals.json, or none") from error
    parts: dict[tuple, list[trimesh.Trimesh]] = {}
    for prefix, geom in itertools.product(prefixes, described):
        body = prefix + geom["body"]
        if not model.existBodyName(body):
            raise ValueError(f"visuals.json in {folder} names body {body!r}, which the robot does not have")
        frame = model.frames[model.getBodyId(body)]
        placement = frame.placement * pin.XYZQUATToSE3(np.array([*geom["position"], *geom["quat_xyzw"]]))
        mesh: Any = trimesh.load_mesh(folder / geom["mesh_file"])
        mesh.apply_transform(placement.homogeneous)
        parts.setdefault((frame.parentJoint - _root(model), tuple(geom["rgba"])), []).append(mesh)
    return [_link_mesh(joint, trimesh.util.concatenate(meshes), rgba) for (joint, rgba), meshes in parts.items()]


def _sticks(model: pin.Model) -> list[LinkMesh]:
    """One cylinder from each joint to each of its children."""
    sticks = []
    root = _root(model)
    for joint in range(root + 1, model.njoints):
        end = model.jointPlacements[joint].translation
        if np.linalg.norm(end) > STICK_RADIUS:
            stick = trimesh.creation.cylinder(STICK_RADIUS, segment=[np.zeros(3), end], sections=8)
            sticks.append(_link_mesh(model.parents[joint] - root, stick, STICK_RGBA))
    return sticks


def _link_mesh(joint: int, mesh: Any, rgba: tuple[float, ...]) -> LinkMesh:
    red, green, blue = (round(255 * channel) for channel in rgba[:3])
    return LinkMesh(joint, np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.uint32), (red, green, blue))
