"""Distances between capsules, compiled, and how fast the joints change them. Arrays as in arm_kernels.

A capsule is fixed to a joint (`joint` (c,), -1: the world): `ends` (c, 2, 3) in the joint's frame, `radius` (c,).
"""

from __future__ import annotations

import math

import numpy as np

from controllers.compiled import compiled


@compiled
def nearest(
    a0: np.ndarray, a1: np.ndarray, b0: np.ndarray, b1: np.ndarray, on_a: np.ndarray, on_b: np.ndarray,
) -> float:  # fmt: skip
    """Distance between the segments a0-a1 and b0-b1; fills the nearest points on both."""
    aa = ab = bb = ar = br = 0.0
    for k in range(3):
        d1, d2, r = a1[k] - a0[k], b1[k] - b0[k], a0[k] - b0[k]
        aa, bb, ab = aa + d1 * d1, bb + d2 * d2, ab + d1 * d2
        ar, br = ar + d1 * r, br + d2 * r
    det = aa * bb - ab * ab
    s = min(max((ab * br - ar * bb) / det, 0.0), 1.0) if det > 1e-12 else 0.0
    t = (ab * s + br) / bb if bb > 1e-12 else 0.0
    if t < 0.0 or t > 1.0:
        t = min(max(t, 0.0), 1.0)
        s = min(max((ab * t - ar) / aa, 0.0), 1.0) if aa > 1e-12 else 0.0
    elif bb <= 1e-12:
        s = min(max(-ar / aa, 0.0), 1.0) if aa > 1e-12 else 0.0
    total = 0.0
    for k in range(3):
        on_a[k], on_b[k] = a0[k] + s * (a1[k] - a0[k]), b0[k] + t * (b1[k] - b0[k])
        total += (on_a[k] - on_b[k]) ** 2
    return math.sqrt(total)


@compiled
def _add_point(
    parent: np.ndarray, slides: np.ndarray, p: np.ndarray, z: np.ndarray, joint: int, point: np.ndarray,
    normal: np.ndarray, sign: float, row: np.ndarray,
) -> None:  # fmt: skip
    """Adds to row (n,) the velocity of a world point on `joint` along `normal`, times `sign`."""
    i = joint
    while i >= 0:
        if slides[i]:
            row[i] += sign * (z[i, 0] * normal[0] + z[i, 1] * normal[1] + z[i, 2] * normal[2])
        else:
            x, y, w = point[0] - p[i, 0], point[1] - p[i, 1], point[2] - p[i, 2]
            vx, vy, vz = z[i, 1] * w - z[i, 2] * y, z[i, 2] * x - z[i, 0] * w, z[i, 0] * y - z[i, 1] * x
            row[i] += sign * (vx * normal[0] + vy * normal[1] + vz * normal[2])
        i = parent[i]


@compiled
def capsule_ends(joint: np.ndarray, ends: np.ndarray, R: np.ndarray, p: np.ndarray, out: np.ndarray) -> None:
    """Fills the capsules' end points in the world, out (c, 2, 3); joint -1 is fixed to the world."""
    for c in range(joint.shape[0]):
        k = joint[c]
        for e in range(2):
            for r in range(3):
                if k < 0:
                    out[c, e, r] = ends[c, e, r]
                    continue
                out[c, e, r] = p[k, r]
                for m in range(3):
                    out[c, e, r] += R[k, r, m] * ends[c, e, m]


@compiled
def distance_rows(
    parent: np.ndarray, slides: np.ndarray, R: np.ndarray, p: np.ndarray, z: np.ndarray, joint: np.ndarray,
    ends: np.ndarray, radius: np.ndarray, pairs: np.ndarray, table: float, reach: float, rows: np.ndarray,
    near: np.ndarray,
) -> int:  # fmt: skip
    """Distances of capsule pairs (k, 2), and of capsules to the plane z = table where the pair's second is -1.

    Fills rows (m, n), d distance / d q, and near (m,), m, for the pairs nearer than `reach`, the m nearest of them;
    returns their number.
    """
    world = np.empty((joint.shape[0], 2, 3))
    capsule_ends(joint, ends, R, p, world)
    middle, half = np.empty((joint.shape[0], 3)), np.empty(joint.shape[0])
    for c in range(joint.shape[0]):
        total = 0.0
        for r in range(3):
            middle[c, r] = 0.5 * (world[c, 0, r] + world[c, 1, r])
            total += (world[c, 0, r] - middle[c, r]) ** 2
        half[c] = math.sqrt(total) + radius[c]
    on_a, on_b, normal = np.empty(3), np.empty(3), np.empty(3)
    count = 0
    for k in range(pairs.shape[0]):
        a, b = pairs[k, 0], pairs[k, 1]
        if b < 0:
            e = 0 if world[a, 0, 2] < world[a, 1, 2] else 1
            on_a[:] = world[a, e]
            distance = on_a[2] - table - radius[a]
            normal[0], normal[1], normal[2] = 0.0, 0.0, 1.0
        else:
            apart = 0.0
            for r in range(3):
                apart += (middle[a, r] - middle[b, r]) ** 2
            if apart > (half[a] + half[b] + reach) ** 2:
                continue
            between = nearest(world[a, 0], world[a, 1], world[b, 0], world[b, 1], on_a, on_b)
            distance = between - radius[a] - radius[b]
            for r in range(3):
                normal[r] = (on_a[r] - on_b[r]) / max(between, 1e-9)
        if distance >= reach:
            continue
        row = count
        if count == rows.shape[0]:  # the farthest gives way
            row = int(np.argmax(near))
            if near[row] <= distance:
                continue
        else:
            count += 1
        rows[row, :] = 0.0
        _add_point(parent, slides, p, z, joint[a], on_a, normal, 1.0, rows[row])
        if b >= 0 and joint[b] >= 0:
            _add_point(parent, slides, p, z, joint[b], on_b, normal, -1.0, rows[row])
        near[row] = distance
    return count
