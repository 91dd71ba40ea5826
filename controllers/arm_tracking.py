"""Compiled steps of ArmController: reference filter, velocity program, stiffness. Arrays as in arm_kernels."""

from __future__ import annotations

import math

import numpy as np

from controllers.arm_kernels import cholesky_solve, forward, hands, jacobian, manipulability, turn_between
from controllers.compiled import compiled


@compiled
def filter_reference(
    goal: np.ndarray, reference: np.ndarray, rate: np.ndarray, speed: np.ndarray, acceleration: np.ndarray,
    quats: np.ndarray, omega: float, dt: float,
) -> None:  # fmt: skip
    """Critically damped second-order filter of the action (dim,) at omega rad/s, limited in rate and acceleration; in
    place. `quats` (h,) are the starts of the quaternions, which stay unit."""
    for i in range(goal.shape[0]):
        wanted = min(max(0.5 * omega * (goal[i] - reference[i]), -speed[i]), speed[i])
        change = min(max(2.0 * omega * (wanted - rate[i]), -acceleration[i]), acceleration[i])
        rate[i] += change * dt
        reference[i] += rate[i] * dt
    for k in range(quats.shape[0]):
        j = quats[k]
        norm = 0.0
        for i in range(j, j + 4):
            norm += reference[i] * reference[i]
        for i in range(j, j + 4):
            reference[i] /= math.sqrt(norm)


@compiled
def hand_targets(
    reference: np.ndarray, rate: np.ndarray, positions: np.ndarray, quats: np.ndarray, want_R: np.ndarray,
    want_p: np.ndarray, want_v: np.ndarray,
) -> None:  # fmt: skip
    """Fills rotations (h, 3, 3), positions (h, 3) and velocities (h, 6), world axes, of the hands from an action."""
    for h in range(positions.shape[0]):
        i, j = positions[h], quats[h]
        x, y, z, w = reference[j], reference[j + 1], reference[j + 2], reference[j + 3]
        dx, dy, dz, dw = rate[j], rate[j + 1], rate[j + 2], rate[j + 3]
        for r in range(3):
            want_p[h, r], want_v[h, r] = reference[i + r], rate[i + r]
        R = want_R[h]
        R[0, 0], R[0, 1], R[0, 2] = 1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)
        R[1, 0], R[1, 1], R[1, 2] = 2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)
        R[2, 0], R[2, 1], R[2, 2] = 2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)
        want_v[h, 3] = 2 * (dx * w - dw * x - dy * z + dz * y)  # vector part of 2 dq conj(q)
        want_v[h, 4] = 2 * (dy * w - dw * y - dz * x + dx * z)
        want_v[h, 5] = 2 * (dz * w - dw * z - dx * y + dy * x)


@compiled
def hand_rates(
    want_R: np.ndarray, want_p: np.ndarray, want_v: np.ndarray, hand_R: np.ndarray, hand_p: np.ndarray, gain: float,
    most: np.ndarray, v: np.ndarray,
) -> None:  # fmt: skip
    """Fills v (h, 6): the velocities that follow the targets and close what is missing at `gain` 1/s, each of the two
    errors at most at most[0] m/s and most[1] rad/s."""
    turn = np.empty(3)
    for h in range(want_p.shape[0]):
        turn_between(hand_R[h], want_R[h], turn)
        linear = angular = 0.0
        for r in range(3):
            v[h, r], v[h, 3 + r] = gain * (want_p[h, r] - hand_p[h, r]), gain * turn[r]
            linear, angular = linear + v[h, r] ** 2, angular + v[h, 3 + r] ** 2
        linear = min(1.0, most[0] / max(math.sqrt(linear), 1e-9))
        angular = min(1.0, most[1] / max(math.sqrt(angular), 1e-9))
        for r in range(3):
            v[h, r] = linear * v[h, r] + want_v[h, r]
            v[h, 3 + r] = angular * v[h, 3 + r] + want_v[h, 3 + r]


@compiled
def velocity_program(
    J: np.ndarray, v: np.ndarray, weights: np.ndarray, posture: np.ndarray, floor: np.ndarray, regular: float,
    damping: float, H: np.ndarray, f: np.ndarray,
) -> None:  # fmt: skip
    """Fills H (n, n), f (n,) of min sum |J dq - v|²_weights + regular |dq - posture|² + damping near singularities.

    `floor` (h,): the manipulability below which damping sets in, growing to `damping` at the singularity.
    """
    n = f.shape[0]
    H[:], f[:] = 0.0, 0.0
    for h in range(J.shape[0]):
        share = max(0.0, 1.0 - manipulability(J, h) / floor[h])
        extra = damping * share * share
        for i in range(n):
            moves = False
            for r in range(6):
                moves = moves or J[h, r, i] != 0.0
            if not moves:
                continue
            H[i, i] += extra
            for r in range(6):
                weighted = weights[r] * J[h, r, i]
                f[i] -= weighted * v[h, r]
                for k in range(n):
                    H[i, k] += weighted * J[h, r, k]
    for i in range(n):
        H[i, i] += regular
        f[i] -= regular * posture[i]


@compiled
def joint_bounds(
    q: np.ndarray, dq: np.ndarray, q_lower: np.ndarray, q_upper: np.ndarray, dq_max: np.ndarray,
    ddq_max: np.ndarray, dt: float, lower: np.ndarray, upper: np.ndarray,
) -> None:  # fmt: skip
    """Fills velocity bounds (n,) from which every joint can still brake before its limit; speed and acceleration
    limits too. A joint beyond its limit is asked to come back."""
    for i in range(q.shape[0]):
        half = 0.5 * ddq_max[i] * dt
        up, down = q_upper[i] - q[i], q[i] - q_lower[i]
        top = -half + math.sqrt(half * half + 2.0 * ddq_max[i] * up) if up > 0.0 else 0.0
        bottom = half - math.sqrt(half * half + 2.0 * ddq_max[i] * down) if down > 0.0 else 0.0
        top, bottom = min(top, dq_max[i]), max(bottom, -dq_max[i])
        least, most = dq[i] - ddq_max[i] * dt, dq[i] + ddq_max[i] * dt
        hardest_up, hardest_down = max(up, 0.0) / dt, -max(down, 0.0) / dt  # a limit counts more than its brake
        lower[i] = max(min(max(bottom, least), most), hardest_down)
        upper[i] = min(max(min(top, most), least), hardest_up)
        if lower[i] > upper[i]:
            lower[i] = upper[i] = min(max(0.5 * (lower[i] + upper[i]), hardest_down), hardest_up)


@compiled
def is_legal(
    dq: np.ndarray, lower: np.ndarray, upper: np.ndarray, rows: np.ndarray, near: np.ndarray, count: int, rate: float,
    clearance: float, limits: np.ndarray,
) -> bool:  # fmt: skip
    """True when velocities dq (n,) meet all bounds. Fills limits (m,): how fast each of the `count` near pairs may
    close, an exponential approach at `rate` 1/s to `clearance`."""
    legal = True
    for i in range(dq.shape[0]):
        legal = legal and lower[i] <= dq[i] <= upper[i]
    for k in range(count):
        limits[k] = -rate * (near[k] - clearance)
        speed = 0.0
        for i in range(dq.shape[0]):
            speed += rows[k, i] * dq[i]
        legal = legal and speed >= limits[k]
    return legal


@compiled
def stiffness_torques(
    parent: np.ndarray, offset_R: np.ndarray, offset_p: np.ndarray, axis: np.ndarray, slides: np.ndarray,
    ee_joint: np.ndarray, ee_R: np.ndarray, ee_p: np.ndarray, q: np.ndarray, q_des: np.ndarray, goal_R: np.ndarray,
    goal_p: np.ndarray, kp: np.ndarray, stiffness: np.ndarray, most: np.ndarray, share: float, R: np.ndarray,
    p: np.ndarray, z: np.ndarray, hand_R: np.ndarray, hand_p: np.ndarray, J: np.ndarray, tau: np.ndarray,
) -> None:  # fmt: skip
    """Fills tau (n,) = J^T F - (1 - share) kp (q_des - q): turns the motors' joint stiffness into a Cartesian one.

    F (h, 6) is stiffness (6,) times the way from the measured hands to the commanded ones, at most most[0] N and
    most[1] N·m. Leaves the measured hands in hand_R (h, 3, 3), hand_p (h, 3).
    """
    forward(parent, offset_R, offset_p, axis, slides, q, R, p, z)
    hands(ee_joint, ee_R, ee_p, R, p, hand_R, hand_p)
    jacobian(parent, slides, ee_joint, p, z, hand_p, J)
    force, turn = np.empty(6), np.empty(3)
    for i in range(q.shape[0]):
        tau[i] = -(1.0 - share) * kp[i] * (q_des[i] - q[i])
    for h in range(ee_joint.shape[0]):
        turn_between(hand_R[h], goal_R[h], turn)
        linear = angular = 0.0
        for r in range(3):
            force[r], force[3 + r] = stiffness[r] * (goal_p[h, r] - hand_p[h, r]), stiffness[3 + r] * turn[r]
            linear, angular = linear + force[r] ** 2, angular + force[3 + r] ** 2
        linear = min(1.0, most[0] / max(math.sqrt(linear), 1e-9))
        angular = min(1.0, most[1] / max(math.sqrt(angular), 1e-9))
        for i in range(q.shape[0]):
            for r in range(3):
                tau[i] += J[h, r, i] * force[r] * linear + J[h, 3 + r, i] * force[3 + r] * angular


# One call each for what a step does together: a call from Python costs 3 to 8 µs, these save a third of a step.


@compiled
def kinematics(
    parent: np.ndarray, offset_R: np.ndarray, offset_p: np.ndarray, axis: np.ndarray, slides: np.ndarray,
    ee_joint: np.ndarray, ee_R: np.ndarray, ee_p: np.ndarray, q: np.ndarray, R: np.ndarray, p: np.ndarray,
    z: np.ndarray, hand_R: np.ndarray, hand_p: np.ndarray, J: np.ndarray,
) -> None:  # fmt: skip
    """Joints, hands and Jacobian at q (n,)."""
    forward(parent, offset_R, offset_p, axis, slides, q, R, p, z)
    hands(ee_joint, ee_R, ee_p, R, p, hand_R, hand_p)
    jacobian(parent, slides, ee_joint, p, z, hand_p, J)


@compiled
def plan(
    reference: np.ndarray, rate: np.ndarray, positions: np.ndarray, quats: np.ndarray, want_R: np.ndarray,
    want_p: np.ndarray, want_v: np.ndarray, hand_R: np.ndarray, hand_p: np.ndarray, gain: float, most: np.ndarray,
    v: np.ndarray, J: np.ndarray, weights: np.ndarray, posture_gain: float, q_home: np.ndarray, floor: np.ndarray,
    regular: float, damping: float, H: np.ndarray, f: np.ndarray, q: np.ndarray, dq_before: np.ndarray,
    q_lower: np.ndarray, q_upper: np.ndarray, dq_max: np.ndarray, ddq_max: np.ndarray, dt: float, lower: np.ndarray,
    upper: np.ndarray, dq: np.ndarray, L: np.ndarray,
) -> None:  # fmt: skip
    """The velocity program for commanded joints q (n,), its bounds, and its solution without constraints in dq (n,)."""
    hand_targets(reference, rate, positions, quats, want_R, want_p, want_v)
    hand_rates(want_R, want_p, want_v, hand_R, hand_p, gain, most, v)
    for i in range(q.shape[0]):
        dq[i] = posture_gain * (q_home[i] - q[i])
    velocity_program(J, v, weights, dq, floor, regular, damping, H, f)
    joint_bounds(q, dq_before, q_lower, q_upper, dq_max, ddq_max, dt, lower, upper)
    cholesky_solve(H, f, dq, L)
