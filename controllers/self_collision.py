"""Keep arms, torso, thighs and head apart: distance barriers on the MJCF's own collision capsules."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pinocchio as pin

from controllers.compiled import compiled
from controllers.model import NV, G1Model, g1_mjcf

CLEARANCE = 0.012  # m kept between any pair
RANGE = 0.06  # m, pairs nearer than this get a row in the QP
RATE = 15.0  # 1/s of the exponential barrier  d'' >= -2 RATE d' - RATE² (d - CLEARANCE)

_ARM = ("elbow_yaw", "wrist", "hand")
_BODY = ("torso", "head", "pelvis", "left_hip", "right_hip", "left_thigh", "right_thigh", "left_shin", "right_shin")


class SelfCollision:
    """Distances of 63 pairs of capsules and the acceleration rows that keep them open."""

    def __init__(self, model: G1Model) -> None:
        self._model = model
        self._geometry = pin.buildGeomFromMJCF(model.model, str(g1_mjcf()), pin.GeometryType.COLLISION)
        left, right = ([f"{side}_{part}" for part in _ARM] for side in ("left", "right"))
        self.pairs = (*itertools.product(left, right), *itertools.product(left + right, _BODY))
        names = list(dict.fromkeys(itertools.chain(*self.pairs)))
        self._indices = np.array([[names.index(first), names.index(second)] for first, second in self.pairs])
        objects = {g.name.removesuffix("_collision"): g for g in self._geometry.geometryObjects}
        capsules = [objects[name] for name in names]
        joints = [capsule.parentJoint for capsule in capsules]
        data = model.data
        self._links = tuple((data.oMi[joint].translation, data.oMi[joint].rotation) for joint in joints)
        self._axes = np.array([_axis(capsule) for capsule in capsules])  # (geoms, 2, 3)
        self._radii = np.array([capsule.geometry.radius for capsule in capsules])
        self._supports = np.array([model.support(joint) for joint in joints])
        self._ends, self._distances = np.empty_like(self._axes), np.zeros(len(self.pairs))
        self._rows, self._bounds = np.zeros((len(self.pairs), NV)), np.zeros(len(self.pairs))

    def distances(self) -> np.ndarray:
        """(pairs,) m between the surfaces of each pair, negative inside, at the model's last update."""
        self.rows(np.zeros(NV))
        return self._distances.copy()

    def rows(self, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows J (k, 35) and bounds (k,) with J a >= bound for the k pairs within RANGE at the model's last update.

        v (35,): generalised velocity. Both arrays are overwritten by the next call.
        """
        k = _fill(self._rows, self._bounds, self._distances, self._ends, self._links, self._axes, self._radii,
                  self._indices, self._supports, self._model.data.J, v)  # fmt: skip
        return self._rows[:k], self._bounds[:k]


def _axis(capsule: pin.GeometryObject) -> np.ndarray:
    """(2, 3) m, the ends of a capsule's axis in its joint; a sphere's are one point.

    Raises:
        ValueError: another shape.
    """
    shape, place = capsule.geometry, capsule.placement
    if type(shape).__name__ not in ("Capsule", "Sphere"):
        raise ValueError(f"{capsule.name} is a {type(shape).__name__}; self-collision knows capsules and spheres")
    half = place.rotation[:, 2] * getattr(shape, "halfLength", 0.0)
    return np.array([place.translation - half, place.translation + half])


@compiled
def _fill(
    rows, bounds, distances, ends, links, axes, radii, pairs, supports, J_world, v
):
    """Fill `distances` (pairs,), and rows and bounds of the pairs within RANGE; their number."""
    for g in range(radii.size):
        p, R = links[g]
        for e in range(2):
            for c in range(3):
                ends[g, e, c] = p[c]
                for d in range(3):
                    ends[g, e, c] += R[c, d] * axes[g, e, d]
    near, point, normal, arm = 0, np.empty((2, 3)), np.empty(3), np.empty(3)
    for i in range(pairs.shape[0]):
        first, second = pairs[i, 0], pairs[i, 1]
        between = _nearest(ends[first], ends[second], point, normal)
        distances[i] = between - radii[first] - radii[second]
        if distances[i] >= RANGE:
            continue
        speed = 0.0
        for k in range(v.size):
            rows[near, k] = 0.0
        for side in range(2):  # the second body's nearest point moves along the normal, the first one's against it
            sign, support = 2.0 * side - 1.0, supports[pairs[i, side]]
            for c in range(3):
                d, e = (c + 1) % 3, (c + 2) % 3
                arm[c] = point[side, d] * normal[e] - point[side, e] * normal[d]
            for k in range(v.size):
                if support[k]:
                    for c in range(3):
                        rows[near, k] += sign * (normal[c] * J_world[c, k] + arm[c] * J_world[3 + c, k])
        for k in range(v.size):
            speed += rows[near, k] * v[k]
        bounds[near] = -2 * RATE * speed - RATE * RATE * (distances[i] - CLEARANCE)
        near += 1
    return near


@compiled
def _nearest(first, second, point, normal):
    """Distance of two segments (2, 3), their nearest points (2, 3) and the unit normal (3,) from first to second.

    After Ericson, Real-Time Collision Detection, 5.1.9.
    """
    a, e, f, c, b = 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(3):
        u, w, r = first[1, k] - first[0, k], second[1, k] - second[0, k], first[0, k] - second[0, k]
        a, e, b, c, f = a + u * u, e + w * w, b + u * w, c + u * r, f + w * r
    s, t = 0.0, 0.0
    if a > 1e-12 and e > 1e-12:
        square = a * e - b * b
        if square > 1e-12:
            s = min(max((b * f - c * e) / square, 0.0), 1.0)
        t = (b * s + f) / e
        if t < 0.0 or t > 1.0:
            t = min(max(t, 0.0), 1.0)
            s = min(max((b * t - c) / a, 0.0), 1.0)
    elif a > 1e-12:  # the second is a point
        s = min(max(-c / a, 0.0), 1.0)
    elif e > 1e-12:
        t = min(max(f / e, 0.0), 1.0)
    square = 0.0
    for k in range(3):
        point[0, k] = first[0, k] + s * (first[1, k] - first[0, k])
        point[1, k] = second[0, k] + t * (second[1, k] - second[0, k])
        normal[k] = point[1, k] - point[0, k]
        square += normal[k] * normal[k]
    distance = math.sqrt(square)
    for k in range(3):  # axes that meet have no normal: the bodies are deep inside each other, any way out is one
        normal[k] = normal[k] / distance if distance > 1e-9 else (1.0 if k == 2 else 0.0)
    return distance
