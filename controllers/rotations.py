"""Quaternions x y z w and rotation matrices, only what the controllers use."""

from __future__ import annotations

import math

import numpy as np

from controllers.compiled import compiled


def normalised(quat_xyzw: np.ndarray) -> np.ndarray:
    """Unit quaternion (4,); raises ValueError on a zero quaternion."""
    norm = float(np.sqrt(quat_xyzw @ quat_xyzw))
    if not norm > 1e-6:
        raise ValueError(f"quaternion {quat_xyzw} has no direction; send a unit x y z w quaternion")
    return quat_xyzw / norm


def matrix(quat_xyzw: np.ndarray) -> np.ndarray:
    """(3, 3) rotation of a unit quaternion."""
    x, y, z, w = quat_xyzw.tolist()
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def from_matrix(R: np.ndarray) -> np.ndarray:
    """Unit quaternion x y z w with w >= 0 of a rotation matrix (3, 3)."""
    (a, b, c), (d, e, f), (g, h, i) = R.tolist()
    candidates = (1 + a - e - i, 1 - a + e - i, 1 - a - e + i, 1 + a + e + i)  # 4x², 4y², 4z², 4w²
    k = max(range(4), key=candidates.__getitem__)
    rows = (
        (candidates[0], b + d, c + g, h - f),
        (b + d, candidates[1], f + h, c - g),
        (c + g, f + h, candidates[2], d - b),
        (h - f, c - g, d - b, candidates[3]),
    )
    quat = np.array(rows[k])
    quat /= np.sqrt(quat @ quat)
    return quat if quat[3] >= 0 else -quat


def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Hamilton product of two quaternions x y z w."""
    ax, ay, az, aw = a.tolist()
    bx, by, bz, bw = b.tolist()
    return np.array(
        [
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
            aw * bw - ax * bx - ay * by - az * bz,
        ]
    )


def conjugate(quat_xyzw: np.ndarray) -> np.ndarray:
    """The inverse of a unit quaternion."""
    return quat_xyzw * np.array([-1.0, -1.0, -1.0, 1.0])


def to_rotvec(quat_xyzw: np.ndarray) -> np.ndarray:
    """(3,) rotation vector, rad, of a unit quaternion, the short way round."""
    vector, w = quat_xyzw[:3], float(quat_xyzw[3])
    sine = float(np.sqrt(vector @ vector))
    if sine < 1e-9:
        return 2.0 * vector * (1.0 if w >= 0 else -1.0)
    angle = 2.0 * np.arctan2(sine, abs(w))
    return vector * ((angle if w >= 0 else -angle) / sine)


def from_rotvec(rotvec: np.ndarray) -> np.ndarray:
    """Unit quaternion x y z w of a rotation vector, rad."""
    angle = float(np.sqrt(rotvec @ rotvec))
    scale = 0.5 if angle < 1e-9 else np.sin(0.5 * angle) / angle
    return np.array([*(rotvec * scale), np.cos(0.5 * angle)])


def from_yaw(yaw: float) -> np.ndarray:
    """Unit quaternion of a rotation about z, rad."""
    return np.array([0.0, 0.0, np.sin(0.5 * yaw), np.cos(0.5 * yaw)])


def yaw_of(quat_xyzw: np.ndarray) -> float:
    """Heading, rad, of a body whose orientation is given."""
    x, y, z, w = quat_xyzw.tolist()
    return float(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))


def slerp(a: np.ndarray, b: np.ndarray, weight: float) -> np.ndarray:
    """Unit quaternion `weight` of the way from a to b, the short way round."""
    return multiply(a, from_rotvec(weight * to_rotvec(multiply(conjugate(a), b))))


@compiled
def rotation_error(desired, R, out):
    """Rotation vector (3,) rad, odom axes, from R (3, 3) to the unit quaternion `desired`, x y z w; the short way."""
    # quaternion of R, up to its length: the largest of four candidates is never small
    xx, yy = 1 + R[0, 0] - R[1, 1] - R[2, 2], 1 - R[0, 0] + R[1, 1] - R[2, 2]
    zz, ww = 1 - R[0, 0] - R[1, 1] + R[2, 2], 1 + R[0, 0] + R[1, 1] + R[2, 2]
    largest = max(xx, yy, zz, ww)
    xy, xz, yz = R[0, 1] + R[1, 0], R[0, 2] + R[2, 0], R[1, 2] + R[2, 1]
    wx, wy, wz = R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]
    if ww == largest:
        x, y, z, w = wx, wy, wz, ww
    elif xx == largest:
        x, y, z, w = xx, xy, xz, wx
    elif yy == largest:
        x, y, z, w = xy, yy, yz, wy
    else:
        x, y, z, w = xz, yz, zz, wz
    dx, dy, dz, dw = desired[0], desired[1], desired[2], desired[3]  # error = desired * conjugate(current)
    out[0] = -dw * x + dx * w - dy * z + dz * y
    out[1] = -dw * y + dx * z + dy * w - dz * x
    out[2] = -dw * z - dx * y + dy * x + dz * w
    scalar = dw * w + dx * x + dy * y + dz * z
    sine = math.sqrt(out[0] ** 2 + out[1] ** 2 + out[2] ** 2)
    if scalar < 0:
        sine, scalar = -sine, -scalar
    scale = 2.0 / scalar if abs(sine) < 1e-9 else 2.0 * math.atan2(abs(sine), scalar) / sine
    for c in range(3):
        out[c] *= scale
