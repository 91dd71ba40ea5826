"""Arms from URDF or MJCF through Pinocchio: kinematics as arrays for arm_kernels, gravity and inertia, capsules.

Several arms stand in one rig as a forest; their dynamics are separate, their capsules are not.
"""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pinocchio as pin

from controllers import arm_distances, arm_kernels
from controllers.arm import ArmDescription, Arms, Mount

CAPSULE_RADIUS_MIN = 0.002  # m; smaller geoms are contact points of fingertips, the plates beside them suffice
PLAY = 0.01  # m; link pairs nearer than this in the home posture are made to touch and are not kept apart
IK_STEPS, IK_DAMPING = 60, 1e-5
_ROBOTS = "../../../../share/example-robot-data/robots"  # from the package of a wheel that is laid out as pin's
_FILES = {  # model: (package, path from it, remedy)
    "i2rt_yam": ("mjlab", "asset_zoo/robots/i2rt_yam/xmls/yam.xml", "pip install --no-deps mjlab==1.6.0"),
    "panda": ("pinocchio", f"{_ROBOTS}/panda_description/urdf/panda.urdf",
              "pip install --no-deps example-robot-data==6.0.0"),
}


def model_path(model: str) -> Path:
    """The file of a known model's name, or of a path to a .urdf or .xml.

    Raises:
        FileNotFoundError: it is not there.
    """
    if model not in _FILES:
        if Path(model).is_file():
            return Path(model)
        raise FileNotFoundError(f"no arm model {model!r}; allowed: {', '.join(_FILES)}, or the path of a URDF or MJCF")
    package, inside, remedy = _FILES[model]
    found = importlib.util.find_spec(package)
    for folder in list(found.submodule_search_locations or []) if found else []:
        path = (Path(folder) / inside).resolve()
        if path.is_file():
            return path
    raise FileNotFoundError(f"the model {model} is missing; install it with: {remedy}")


class ArmModel:
    """The arms of a rig. Arrays over all n joints, arm after arm: those that arm_kernels names.

    `models` holds one Pinocchio model per arm, grippers fixed at their middle; `joints` (arms) its slice of the n.
    """

    def __init__(self, arms: Arms) -> None:
        self.description, self.mounts = description, mounts = arms.description, arms.mounts
        self.table = -np.inf if arms.table is None else arms.table
        path = model_path(description.model)
        self.model, geometry = _load(path, description)
        m = len(description.joints)
        self.n = m * len(mounts)
        self.joints = tuple(slice(m * k, m * k + m) for k in range(len(mounts)))
        self.models = tuple((self.model, self.model.createData()) for _ in mounts)
        self._kinematics(m)
        self._capsules(geometry, m)

    def forward(self, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rotations (arms, 3, 3) and positions (arms, 3) of the hands for q (n,); for tests and for the first step."""
        R, p, z = np.zeros((self.n, 3, 3)), np.zeros((self.n, 3)), np.zeros((self.n, 3))
        hand_R, hand_p = np.zeros((len(self.mounts), 3, 3)), np.zeros((len(self.mounts), 3))
        arm_kernels.forward(self.parent, self.offset_R, self.offset_p, self.axis, self.slides, q, R, p, z)
        arm_kernels.hands(self.ee_joint, self.ee_R, self.ee_p, R, p, hand_R, hand_p)
        return hand_R, hand_p

    def inverse_kinematics(self, hand_R: np.ndarray, hand_p: np.ndarray, q: np.ndarray) -> np.ndarray:
        """(n,) joints near q (n,), within their limits, that bring the hands to hand_R (arms, 3, 3), hand_p (arms, 3).

        Raises:
            ValueError: the hands do not get nearer than 1 mm and 0.01 rad.
        """
        arms, d, q = len(self.mounts), self.description, q.copy()
        lower, upper = np.tile(d.q_lower, arms), np.tile(d.q_upper, arms)
        R, p, z = np.zeros((self.n, 3, 3)), np.zeros((self.n, 3)), np.zeros((self.n, 3))
        at_R, at_p, J = np.zeros((arms, 3, 3)), np.zeros((arms, 3)), np.zeros((arms, 6, self.n))
        error = np.zeros((arms, 6))
        for _ in range(IK_STEPS):
            arm_kernels.forward(self.parent, self.offset_R, self.offset_p, self.axis, self.slides, q, R, p, z)
            arm_kernels.hands(self.ee_joint, self.ee_R, self.ee_p, R, p, at_R, at_p)
            arm_kernels.jacobian(self.parent, self.slides, self.ee_joint, p, z, at_p, J)
            for k in range(arms):
                error[k, :3] = hand_p[k] - at_p[k]
                arm_kernels.turn_between(at_R[k], hand_R[k], error[k, 3:])
            if np.abs(error[:, :3]).max() < 1e-6 and np.abs(error[:, 3:]).max() < 1e-6:
                break
            flat = J.reshape(-1, self.n)
            change = flat.T @ np.linalg.solve(flat @ flat.T + IK_DAMPING * np.eye(len(flat)), error.ravel())
            q = np.clip(q + np.clip(change, -0.3, 0.3), lower, upper)
        if np.abs(error[:, :3]).max() > 1e-3 or np.abs(error[:, 3:]).max() > 1e-2:
            raise ValueError(f"the hands cannot be at {hand_p.round(3).tolist()} with that orientation")
        return q

    def inverse_dynamics(self, q: np.ndarray, dq: np.ndarray, ddq: np.ndarray) -> np.ndarray:
        """(n,) N·m that give accelerations ddq (n,) at q, dq (n,): gravity and rotor inertia included."""
        if len(self.models) == 1:  # without joining: 3 µs less
            return np.asarray(pin.rnea(*self.models[0], q, dq, ddq))
        arms = zip(self.models, self.joints, strict=True)
        return np.concatenate([pin.rnea(model, data, q[j], dq[j], ddq[j]) for (model, data), j in arms])

    def distances(self, q: np.ndarray) -> np.ndarray:
        """(pairs,) m between all capsule pairs, and of capsules to the table, for q (n,)."""
        R, p, z = np.zeros((self.n, 3, 3)), np.zeros((self.n, 3)), np.zeros((self.n, 3))
        arm_kernels.forward(self.parent, self.offset_R, self.offset_p, self.axis, self.slides, q, R, p, z)
        rows, near = np.zeros((len(self.pairs), self.n)), np.zeros(len(self.pairs))
        arm_distances.distance_rows(self.parent, self.slides, R, p, z, self.capsule_joint, self.capsule_ends,
                                  self.capsule_radius, self.pairs, self.table, np.inf, rows, near)
        return near

    def _kinematics(self, m: int) -> None:
        model, count = self.model, len(self.mounts)
        places = [model.jointPlacements[k + 1] for k in range(m)]
        axes = [np.ravel(model.joints[k + 1].createData().S) for k in range(m)]
        slides = [bool(np.linalg.norm(axis[:3]) > 0.5) for axis in axes]
        self.parent = np.array([model.parents[k + 1] - 1 for k in range(m)] * count, dtype=np.int64)
        for arm in range(1, count):
            later = self.parent[arm * m : arm * m + m]
            later[later >= 0] += arm * m
        self.slides = np.array(slides * count)
        self.axis = np.array([axis[:3] if s else axis[3:] for axis, s in zip(axes, slides, strict=True)] * count)
        self.offset_R = np.array([place.rotation for place in places] * count)
        self.offset_p = np.array([place.translation for place in places] * count)
        for arm, mount in enumerate(self.mounts):
            stand = _stand(mount)
            for k in range(m):
                if model.parents[k + 1] == 0:
                    placed = stand * places[k]
                    self.offset_R[arm * m + k], self.offset_p[arm * m + k] = placed.rotation, placed.translation
        d = self.description
        frame = model.frames[_frame(model, d.ee_link)]
        ee = frame.placement * pin.XYZQUATToSE3(np.array([*d.ee_position, *d.ee_quat_xyzw]))
        self.ee_joint = np.array([frame.parentJoint - 1 + arm * m for arm in range(count)], dtype=np.int64)
        self.ee_R, self.ee_p = np.array([ee.rotation] * count), np.array([ee.translation] * count)

    def _capsules(self, geometry: pin.GeometryModel, m: int) -> None:
        """Capsules of all arms, and which are kept apart: not neighbours in the tree, not what touches at home."""
        joint, ends, radius = [], [], []
        for arm, mount in enumerate(self.mounts):
            stand = _stand(mount)
            for item in geometry.geometryObjects:
                fitted = _capsule(item)
                if fitted is None:
                    continue
                (a, b), r = fitted
                place = item.placement if item.parentJoint else stand * item.placement
                joint.append(item.parentJoint - 1 + arm * m if item.parentJoint else -1)
                ends.append((place.act(a), place.act(b)))
                radius.append(r)
        self.capsule_joint = np.array(joint, dtype=np.int64)
        self.capsule_ends, self.capsule_radius = np.array(ends).reshape(-1, 2, 3), np.array(radius)
        arms = np.repeat(np.arange(len(self.mounts)), len(joint) // len(self.mounts))
        pairs = [(a, b) for a, b in itertools.combinations(range(len(joint)), 2)
                 if arms[a] != arms[b] or not self._neighbours(joint[a], joint[b])]
        pairs += [(a, -1) for a, k in enumerate(joint) if k >= 0 and self.parent[k] >= 0]
        self.pairs = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        home = np.tile(self.description.q_home, len(self.mounts))
        self.pairs = self.pairs[self.distances(home) > PLAY] if pairs else self.pairs

    def _neighbours(self, a: int, b: int) -> bool:
        """The same link, or one carries the other directly."""
        above = [-1 if k < 0 else int(self.parent[k]) for k in (a, b)]
        return a == b or above[0] == b or above[1] == a


def _load(path: Path, description: ArmDescription) -> tuple[pin.Model, pin.GeometryModel]:
    """The arm alone, every other joint fixed at the middle of its range."""
    is_urdf = path.suffix == ".urdf"
    full = pin.buildModelFromUrdf(str(path)) if is_urdf else pin.buildModelFromMJCF(str(path))
    missing = [name for name in description.joints if not full.existJointName(name)]
    if missing:
        raise ValueError(f"{path.name} has no joint {', '.join(missing)}; it has: {', '.join(full.names[1:])}")
    if is_urdf:
        roots = [str(parent) for parent in path.parents]  # where package://name/... of the meshes may start
        shapes = pin.buildGeomFromUrdf(full, str(path), pin.GeometryType.COLLISION, package_dirs=roots)
    else:
        shapes = pin.buildGeomFromMJCF(full, str(path), pin.GeometryType.COLLISION)
    q = pin.neutral(full)
    fixed = [k for k in range(1, full.njoints) if full.names[k] not in description.joints]
    for k in fixed:
        i = full.joints[k].idx_q
        q[i] = 0.5 * (full.lowerPositionLimit[i] + full.upperPositionLimit[i])
    model, shapes = pin.buildReducedModel(full, shapes, fixed, q)
    model.armature = np.array(description.armature)
    return model, shapes


def drawing_model(arms: Arms) -> tuple[pin.Model, tuple[str, ...]]:
    """One Pinocchio model of all arms where they stand, and what it puts in front of each arm's names."""
    single, _ = _load(model_path(arms.description.model), arms.description)
    prefixes = tuple(f"{mount.side}_" if len(arms.mounts) > 1 else "" for mount in arms.mounts)
    whole = pin.Model()
    for prefix, mount in zip(prefixes, arms.mounts, strict=True):
        part = single.copy()
        for k in range(1, part.njoints):
            part.names[k] = prefix + part.names[k]
        for k in range(1, part.nframes):
            part.frames[k].name = prefix + part.frames[k].name
        whole = pin.appendModel(whole, part, 0, _stand(mount))
    return whole, prefixes


def _frame(model: pin.Model, link: str) -> int:
    if not model.existFrame(link):
        raise ValueError(f"the model has no link {link!r}; it has: {', '.join(f.name for f in model.frames)}")
    return int(model.getFrameId(link))


def _stand(mount: Mount) -> pin.SE3:
    return pin.SE3(pin.rpy.rpyToMatrix(0.0, 0.0, mount.yaw), np.array([mount.x, mount.y, 0.0]))


def _capsule(item: pin.GeometryObject) -> tuple[tuple[np.ndarray, np.ndarray], float] | None:
    """The ends and radius of a capsule that covers a shape, in the shape's frame; None for what is too small."""
    shape = item.geometry
    kind = type(shape).__name__
    if kind in ("Capsule", "Cylinder"):  # a cylinder's rim lies outside of the capsule by 0.4 radius at the edge only
        a, radius = np.array([0.0, 0.0, shape.halfLength]), shape.radius
        return ((a, -a), radius) if radius >= CAPSULE_RADIUS_MIN else None
    if kind == "Sphere":
        return ((np.zeros(3), np.zeros(3)), shape.radius) if shape.radius >= CAPSULE_RADIUS_MIN else None
    if kind == "Box":
        half = np.array(shape.halfSide)
        k = int(np.argmax(half))
        radius = float(np.sqrt(half @ half - half[k] ** 2))
        a = np.eye(3)[k] * max(half[k] - radius, 0.0)
        return (a, -a), radius
    points = np.array(shape.vertices() if callable(shape.vertices) else shape.vertices) * np.array(item.meshScale)
    return _cover(points)


def _cover(points: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], float]:
    """A capsule around points (n, 3): along their longest principal axis, as thin as they allow."""
    middle = 0.5 * (points.max(axis=0) + points.min(axis=0))
    axes = np.linalg.svd(points - middle, full_matrices=False)[2]
    local = (points - middle) @ axes.T
    off = 0.5 * (local.max(axis=0) + local.min(axis=0)) * np.array([0.0, 1.0, 1.0])
    local = local - off
    radius = float(np.sqrt((local[:, 1:] ** 2).sum(axis=1)).max())
    side = np.sqrt(np.maximum(radius**2 - (local[:, 1:] ** 2).sum(axis=1), 0.0))
    low, high = float((local[:, 0] + side).min()), float((local[:, 0] - side).max())
    low, high = min(low, high), max(low, high)
    ends = [(np.array([x, 0.0, 0.0]) + off) @ axes + middle for x in (low, high)]
    return (ends[0], ends[1]), radius
