"""Messages to plain values and back: the border where names, sizes and numbers are checked.

Joints and channels are mapped by name. A missing or extra name, a wrong size or a number that is not finite is a
ValueError that says so; nothing is filled in. Stamps are int nanoseconds inside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Time
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from controllers.rigs import Rig

NS_PER_S = 1_000_000_000
PATH_SPEED = "path.speed"  # the one channel of a rewind action


def stamp_ns(stamp: Time) -> int:
    """A stamp in ns."""
    return stamp.sec * NS_PER_S + stamp.nanosec


def time_message(stamp: int) -> Time:
    """A stamp in ns as a message."""
    sec, nanosec = divmod(stamp, NS_PER_S)
    return Time(sec=sec, nanosec=nanosec)


def by_name(names: Sequence[str], values: Sequence[float], wanted: Sequence[str]) -> np.ndarray:
    """`values` (n,) in the order of `wanted`, finite.

    Raises:
        ValueError: a missing, extra or repeated name, a size that does not match, or a number that is not finite.
    """
    if len(values) != len(names):
        raise ValueError(f"{len(names)} names but {len(values)} values")
    array = np.array(values, dtype=float)
    if tuple(names) != tuple(wanted):
        index = {name: i for i, name in enumerate(names)}
        missing = [name for name in wanted if name not in index]
        extra = [name for name in names if name not in wanted]
        if missing or extra or len(index) != len(names):
            raise ValueError(
                f"missing: {', '.join(missing) or 'none'}; extra or repeated: {', '.join(extra) or 'none'}; "
                f"allowed are exactly {len(wanted)} names, {wanted[0]} to {wanted[-1]}"
            )
        array = array[[index[name] for name in wanted]]
    if not math.isfinite(float(array @ array)) and not np.all(np.isfinite(array)):
        bad = [name for name, value in zip(wanted, array, strict=True) if not math.isfinite(value)]
        raise ValueError(f"not finite: {', '.join(bad)}")
    return array


def action_message(action: np.ndarray, stamp: int, rig: Rig, device: str = "") -> JointTrajectory:
    """One action (dim,) as a trajectory with one point, the rig's channels and frame; of a teleop device its name."""
    message = JointTrajectory(joint_names=rig.layout.channels, points=[JointTrajectoryPoint(positions=action.tolist())])
    message.header.stamp = time_message(stamp)
    message.header.frame_id = device or rig.frame
    return message


def path_speed_message(speed: float, stamp: int, device: str) -> JointTrajectory:
    """A rewind action: how fast to go along the path, -1 back to 1 forward."""
    message = JointTrajectory(joint_names=[PATH_SPEED], points=[JointTrajectoryPoint(positions=[speed])])
    message.header.stamp = time_message(stamp)
    message.header.frame_id = device
    return message


def path_speed_from(message: JointTrajectory) -> float:
    """The speed along the path of a rewind action."""
    if len(message.points) != 1:
        raise ValueError(f"{len(message.points)} points, allowed is exactly one")
    return float(by_name(message.joint_names, message.points[0].positions, (PATH_SPEED,))[0])


def action_from(message: JointTrajectory, rig: Rig) -> np.ndarray:
    """The action (dim,) of a trajectory with exactly one point."""
    if len(message.points) != 1:
        raise ValueError(f"{len(message.points)} points, allowed is exactly one")
    return by_name(message.joint_names, message.points[0].positions, rig.layout.channels)


def chunk_message(offsets_ns: Sequence[int], actions: np.ndarray, observation_ns: int, rig: Rig) -> JointTrajectory:
    """Actions (n, dim) at `offsets_ns` (n,) after the observation; the stamp is the observation's."""
    points = []
    for offset, action in zip(offsets_ns, actions, strict=True):
        point = JointTrajectoryPoint(positions=action.tolist())
        point.time_from_start.sec, point.time_from_start.nanosec = divmod(int(offset), NS_PER_S)
        points.append(point)
    message = JointTrajectory(joint_names=rig.layout.channels, points=points)
    message.header.stamp = time_message(observation_ns)
    message.header.frame_id = rig.frame
    return message


def chunk_from(message: JointTrajectory, rig: Rig) -> tuple[np.ndarray, np.ndarray]:
    """Times (n,) int64 ns after the stamp and actions (n, dim) of a chunk."""
    if not message.points:
        raise ValueError("a chunk without points; send at least one")
    actions = np.stack([by_name(message.joint_names, p.positions, rig.layout.channels) for p in message.points])
    offsets = [p.time_from_start.sec * NS_PER_S + p.time_from_start.nanosec for p in message.points]
    return np.array(offsets, dtype=np.int64), actions


def residual_message(
    displacement: np.ndarray, due_ns: int, observation_ns: int, name: str, rig: Rig
) -> JointTrajectory:
    """How far (rate_dim,) the reference shall be from the policy's chunks, m and rad, `due_ns` after the observation,
    which the stamp is; `name`: POLICY+RESIDUAL, the hashes of both."""
    point = JointTrajectoryPoint(positions=displacement.tolist())
    point.time_from_start.sec, point.time_from_start.nanosec = divmod(due_ns, NS_PER_S)
    message = JointTrajectory(joint_names=rig.layout.rate_names, points=[point])
    message.header.stamp = time_message(observation_ns)
    message.header.frame_id = name
    return message


def residual_from(message: JointTrajectory, rig: Rig) -> tuple[int, np.ndarray]:
    """When a residual is due after its stamp, ns, and the displacement (rate_dim,)."""
    if len(message.points) != 1:
        raise ValueError(f"{len(message.points)} points, allowed is exactly one")
    point = message.points[0]
    due_ns = point.time_from_start.sec * NS_PER_S + point.time_from_start.nanosec
    return due_ns, by_name(message.joint_names, point.positions, rig.layout.rate_names)
