"""Keep arms, torso, thighs and head apart: distance barriers on the MJCF's own collision capsules."""

from __future__ import annotations

import itertools

import numpy as np
import pinocchio as pin

from controllers.model import G1Model, g1_mjcf

CLEARANCE = 0.012  # m kept between any pair
RANGE = 0.06  # m, pairs nearer than this get a row in the QP
MEASURE_EVERY = 3  # solved steps, 12 ms: at 1 m/s a pair closes 1 cm, which J v predicts to a millimetre
RATE = 15.0  # 1/s of the exponential barrier  d'' >= -2 RATE d' - RATE² (d - CLEARANCE)

_ARM = ("elbow_yaw", "wrist", "hand")
_BODY = ("torso", "head", "pelvis", "left_hip", "right_hip", "left_thigh", "right_thigh", "left_shin", "right_shin")


class SelfCollision:
    """Nearest distances of about 40 capsule pairs and the acceleration rows that keep them open."""

    def __init__(self, model: G1Model) -> None:
        self._model = model.model
        self._data = model.model.createData()
        self._geometry = pin.buildGeomFromMJCF(model.model, str(g1_mjcf()), pin.GeometryType.COLLISION)
        ids = {g.name.removesuffix("_collision"): i for i, g in enumerate(self._geometry.geometryObjects)}
        left, right = ([f"{side}_{part}" for part in _ARM] for side in ("left", "right"))
        pairs = list(itertools.product(left, right))
        pairs += [(arm, body) for arm in left + right for body in _BODY]
        for first, second in pairs:
            self._geometry.addCollisionPair(pin.CollisionPair(ids[first], ids[second]))
        self.pairs = tuple(pairs)
        self._geometry_data = self._geometry.createData()
        self.reset()

    def reset(self) -> None:
        """Measure at the next call."""
        self._age = 0
        self._gradients: np.ndarray | None = None
        self._near = np.zeros(0)

    def distances(self, q: np.ndarray) -> np.ndarray:
        """(pairs,) m between the surfaces of each pair at configuration q (36,)."""
        pin.computeDistances(self._model, self._data, self._geometry, self._geometry_data, q)
        return np.array([r.min_distance for r in self._geometry_data.distanceResults])

    def rows(self, q: np.ndarray, v: np.ndarray, dt: float) -> tuple[np.ndarray, np.ndarray] | None:
        """Rows J (k, 35) and bounds (k,) with J a >= bound for the pairs within RANGE, or None.

        Distances and gradients are measured every MEASURE_EVERY calls; between them the distances follow J v.
        """
        if self._age == 0:
            self._measure(q)
        self._age = (self._age + 1) % MEASURE_EVERY
        if self._gradients is None:
            return None
        speeds = self._gradients @ v
        self._near = self._near + speeds * dt
        return self._gradients, -2 * RATE * speeds - RATE * RATE * (self._near - CLEARANCE)

    def _measure(self, q: np.ndarray) -> None:
        distances = self.distances(q)
        near = np.flatnonzero(distances < RANGE)
        self._gradients = None
        if len(near):
            pin.computeJointJacobians(self._model, self._data, q)
            self._gradients = np.array([self._distance_gradient(k) for k in near.tolist()])  # (k, 35)
            self._near = distances[near]

    def _distance_gradient(self, k: int) -> np.ndarray:
        """(35,) d distance / d v of pair k: relative velocity of the nearest points along their normal."""
        result = self._geometry_data.distanceResults[k]
        pair = self._geometry.collisionPairs[k]
        first, second = np.array(result.getNearestPoint1()), np.array(result.getNearestPoint2())
        normal = np.array(result.normal)  # from the first to the second body
        return self._point_along(pair.second, second, normal) - self._point_along(pair.first, first, normal)

    def _point_along(self, geometry: int, point: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """(35,) velocity of a world point of a geometry's joint along a direction."""
        joint = self._geometry.geometryObjects[geometry].parentJoint
        J = pin.getJointJacobian(self._model, self._data, joint, pin.LOCAL_WORLD_ALIGNED)
        lever = point - self._data.oMi[joint].translation
        return direction @ J[:3] + np.cross(lever, direction) @ J[3:]
