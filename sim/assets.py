"""The official models of the G1 (29 joints) and the YAM arm with lighter meshes, decimated once into a cache.

The G1's meshes in the `mjlab` wheel have 393,270 faces, which a software renderer draws at 4 frames/s. Here each is
reduced once by quadric decimation (about 2 s for all) and kept under `$RETAKE_CACHE` (or `$XDG_CACHE_HOME/retake`,
`~/.cache/retake`), in a folder named by the content of MJCF and meshes and by the settings below: a changed model or
setting gets a new folder, and a complete folder is never written again.

Only `g1_spec` needs MuJoCo; the rest serves processes that merely draw the robot.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from controllers.arm_model import model_path
from controllers.cache import cache_root
from controllers.model import g1_mjcf

if TYPE_CHECKING:
    import mujoco

FACE_BUDGET = 12_000  # of the whole robot; at 320x240 the pictures differ from the full meshes only in bolt heads
MIN_FACES = 60  # of one mesh: below it even the ankle's small bar loses its shape
DECIMATION_ROUNDS = 3  # more change nothing
CACHE_FORMAT = 1  # raise when what is written below changes
DEFAULT_RGBA = (0.7, 0.7, 0.7, 1.0)


class AssetError(FileNotFoundError):
    """The mesh cache cannot be had; the text says what to do."""


@dataclass(frozen=True)
class VisualGeom:
    """One mesh that the eye sees, fixed to a body."""

    body: str
    mesh_file: str  # in Visuals.folder, binary STL, m
    position: tuple[float, float, float]  # of the mesh's frame in the body's, m
    quat_xyzw: tuple[float, float, float, float]  # of the mesh's frame in the body's
    rgba: tuple[float, float, float, float]


@dataclass(frozen=True)
class Visuals:
    """All visual geoms of a robot, and the folder of their meshes."""

    folder: Path
    geoms: tuple[VisualGeom, ...]


def g1_visuals() -> Visuals:
    """As `visuals` for the G1."""
    return visuals("g1", g1_mjcf())


def yam_visuals() -> Visuals:
    """As `visuals` for one YAM arm."""
    return visuals("i2rt_yam", model_path("i2rt_yam"))


def visuals(name: str, mjcf: Path) -> Visuals:
    """Decimated meshes and the bodies they sit on; makes them on first use, safely from several processes at once."""
    folder = _decimated(name, mjcf)
    described = json.loads((folder / "visuals.json").read_text())
    geoms = (VisualGeom(geom["body"], geom["mesh_file"], tuple(geom["position"]), tuple(geom["quat_xyzw"]),
                        tuple(geom["rgba"])) for geom in described["geoms"])
    return Visuals(folder, tuple(geoms))


def g1_spec() -> mujoco.MjSpec:
    """The G1 as in its MJCF (bodies, joints, inertias, collision geoms), with decimated visual meshes."""
    import mujoco  # here, so that the panel can use the rest of this module without it

    spec = mujoco.MjSpec.from_file(str(g1_mjcf()))
    spec.meshdir = str(g1_visuals().folder)
    for light in spec.lights:  # the MJCF's lamp hovers above the robot and follows it; a world brings its own
        spec.delete(light)
    return spec


def _decimated(name: str, mjcf: Path) -> Path:
    meshes = sorted(path for path in (mjcf.parent / "assets").iterdir() if path.suffix.lower() == ".stl")
    folder = cache_root() / f"{name}-{_content_key([mjcf, *meshes])}"
    if (folder / "visuals.json").is_file():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise AssetError(f"cannot write the mesh cache {folder.parent} ({error.strerror}); set RETAKE_CACHE to a "
                         "folder that can be written") from error
    try:
        _decimate(meshes, made)
        (made / "visuals.json").write_text(json.dumps({"format": CACHE_FORMAT, "geoms": _visual_geoms(mjcf)}, indent=1))
        made.chmod(0o755)  # mkdtemp's 0700 would lock other users out of a shared cache
        _publish(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder


def _publish(made: Path, folder: Path) -> None:
    """Renames the finished folder into place, or leaves it when another process was faster with the same content."""
    try:
        made.rename(folder)
    except OSError:
        if not (folder / "visuals.json").is_file():
            raise


def _content_key(files: list[Path]) -> str:
    digest = hashlib.sha256(f"{CACHE_FORMAT} {FACE_BUDGET} {MIN_FACES} {DECIMATION_ROUNDS}".encode())
    for path in files:
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)} ".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _decimate(meshes: list[Path], folder: Path) -> None:
    """Writes each mesh with its share of FACE_BUDGET, by the square root of its area: large links stay coarser."""
    import fast_simplification  # both only here: a process that finds the cache full does not pay for them
    import trimesh

    loaded = {path.name: trimesh.load_mesh(path) for path in meshes}
    total = sum(mesh.area**0.5 for mesh in loaded.values())
    for name, mesh in loaded.items():
        faces = max(MIN_FACES, round(FACE_BUDGET * mesh.area**0.5 / total))
        for _ in range(DECIMATION_ROUNDS):
            if len(mesh.faces) <= faces:
                break
            # Simplification stalls at open seams 0.1 mm wide, of which the CAD export has many: weld them first.
            mesh.merge_vertices(digits_vertex=3)
            mesh.update_faces(mesh.nondegenerate_faces() & mesh.unique_faces())
            if len(mesh.faces) > faces:
                mesh = trimesh.Trimesh(*fast_simplification.simplify(mesh.vertices, mesh.faces, target_count=faces))
        (folder / name).write_bytes(trimesh.exchange.stl.export_stl(mesh))


def _visual_geoms(mjcf: Path) -> list[dict]:
    """Visual geoms of an MJCF as dictionaries of VisualGeom's fields; only what this model uses is understood."""
    root = ElementTree.parse(mjcf).getroot()
    meshes = [(mesh.get("name"), mesh.get("file", "")) for mesh in root.iterfind("asset/mesh")]
    files: dict[str | None, str] = {name or Path(file).stem: file for name, file in meshes}
    painted = {default.get("class"): geom.get("material") for default in root.iterfind("default//default")
               for geom in default.iterfind("geom")}
    materials = root.iterfind("asset/material")
    rgba = {material.get("name"): _numbers(material.get("rgba", "1 1 1 1")) for material in materials}
    geoms = []
    for body in root.iterfind("worldbody//body"):
        for geom in body.iterfind("geom[@mesh]"):
            quat = np.array(_numbers(geom.get("quat", "1 0 0 0")))
            w, x, y, z = (quat / np.linalg.norm(quat)).tolist()
            geoms.append({"body": body.get("name"), "mesh_file": files[geom.get("mesh")],
                          "position": _numbers(geom.get("pos", "0 0 0")), "quat_xyzw": [x, y, z, w],
                          "rgba": rgba.get(geom.get("material", painted.get(geom.get("class"))), DEFAULT_RGBA)})
    return geoms


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split()]
