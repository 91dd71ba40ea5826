"""Drives any arm that has a ROS 2 driver of its own: UR, Franka, xArm, whatever ros2_control speaks to.

Of the arm's driver: `states` (sensor_msgs/JointState, any order, other joints ignored) in; out, by `commands_as`,
either trajectory (trajectory_msgs/JointTrajectory, one point one period ahead) or positions
(std_msgs/Float64MultiArray) on `commands`. For the graph: joint_states and applied_joint_command at the rate of the
arm's own states, in: joint_command (each answers one state's stamp), diagnostics 1 Hz. Set-points move at most as fast
as the rig's joints may. Refused: a second publisher on `commands`, a first set-point that is away from where the arm
is, states without a joint or stamp. No joint_command for 100 ms: the last set-point is repeated for a second, then the
arm's own driver is left alone.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from controllers import arm
from controllers.rigs import rig_of
from retake.ros import conversions, qos
from retake.ros.diagnostics import Diagnostics
from retake.ros.one_writer import refuse_second_writer
from retake.ros.parameters import declare
from retake.ros.realtime import ROBOT
from retake.ros.spin import run
from retake.ros.wire import JointStateCodec

LEASE_NS = round(arm.JOINT_COMMAND_LEASE_PERIODS * arm.CONTROL_DT * 1e9)
REPEAT_NS = 1_000_000_000  # how long the last set-point is repeated
PERIOD_MAX_S = 0.05  # states that were lost give no more room to move
FIRST_STEP = 0.1  # rad that the first set-point may be away
KINDS = ("trajectory", "positions")


@dataclass(frozen=True)
class Parameters:
    """Parameters of the bridge."""

    robot: str = field(default="panda", metadata={"description": "the rig of arms"})
    states: str = field(default="/joint_states", metadata={"description": "topic of the arm's own driver"})
    commands: str = field(default="/joint_trajectory_controller/joint_trajectory",
                          metadata={"description": "topic that the arm's own driver obeys"})
    commands_as: str = field(default="trajectory", metadata={"description": " or ".join(KINDS)})

    def __post_init__(self) -> None:
        if self.commands_as not in KINDS:
            raise ValueError(f"commands_as {self.commands_as!r}; allowed: {', '.join(KINDS)}")


class Ros2ArmDriver(Node):
    """Everything happens when the arm's driver says where the arm is."""

    def __init__(self, **node_options: Any) -> None:
        super().__init__("ros2_arm_driver", **node_options)
        self._given = given = declare(self, Parameters)
        self._rig = rig = rig_of(given.robot)
        if rig.arms is None or rig.arms.description.has_gripper:
            raise ValueError(f"{rig.name} is no rig of arms without grippers; this driver moves only those")
        self._names = rig.joint_names
        d, count = rig.arms.description, len(rig.arms.mounts)
        self._lower, self._upper, self._speed = (np.tile(v, count) for v in (d.q_lower, d.q_upper, d.dq_max))
        self._codec = JointStateCodec(rig.joint_names)
        kind: type = JointTrajectory if given.commands_as == "trajectory" else Float64MultiArray
        refuse_second_writer(self, kind, given.commands)
        self._stamps: deque[int] = deque(maxlen=arm.JOINT_COMMAND_LEASE_PERIODS)
        self._q: np.ndarray | None = None
        self._command: tuple[int, np.ndarray] | None = None  # stamp of the state that it answers, q_des
        self._set_point: np.ndarray | None = None  # what was sent last; None before anything was
        self._joint_states = self.create_publisher(JointState, "joint_states", qos.SEND)
        self._applied = self.create_publisher(JointState, "applied_joint_command", qos.SEND)
        self._commands = self.create_publisher(kind, given.commands, qos.STREAM)
        self._diagnostics = Diagnostics(self)
        commands = self.create_subscription(JointState, "joint_command", self._on_command, qos.NEWEST, raw=True)
        self._diagnostics.guard(commands, "joint_command")
        self.create_subscription(JointState, given.states, self._on_state, qos.NEWEST)
        self.get_logger().info(f"started: {given}")

    def _on_state(self, message: JointState) -> None:
        """The arm's own state: pass it on in our order, and answer it with the next set-point."""
        try:
            stamp, q, dq, tau = self._read(message)
        except ValueError as error:
            return self._diagnostics.refuse(self._given.states, str(error))
        before = self._stamps[-1] if self._stamps else stamp
        if stamp < before or (self._stamps and stamp == before):
            return self._diagnostics.refuse(self._given.states, f"{stamp} ns is not newer than {before} ns")
        self._q = q
        self._stamps.append(stamp)
        self._joint_states.publish(self._codec.encode(stamp, q, dq, tau))
        self._diagnostics.count("state")
        self._send(stamp, min((stamp - before) * 1e-9, PERIOD_MAX_S), before)

    def _read(self, message: JointState) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
        """Stamp and positions, velocities, efforts (n,) of our joints; what the driver does not measure is zero."""
        stamp = conversions.stamp_ns(message.header.stamp)
        if stamp == 0:
            raise ValueError("the state has no stamp; its age is unknown")
        index = {name: k for k, name in enumerate(message.name)}
        missing = [name for name in self._names if name not in index]
        if missing:
            raise ValueError(f"without {', '.join(missing)}; it has: {', '.join(message.name)}")
        order = [index[name] for name in self._names]
        rows = []
        for what, values in (("positions", message.position), ("velocities", message.velocity),
                             ("efforts", message.effort)):
            if len(values) == 0 and what != "positions":
                rows.append(np.zeros(len(order)))
                continue
            if len(values) != len(message.name):
                raise ValueError(f"{len(values)} {what} for {len(message.name)} joints")
            rows.append(np.array(values, dtype=float)[order])
        if not np.isfinite(rows[0]).all() or not np.isfinite(rows[1]).all():
            raise ValueError("positions or velocities are not finite")
        return stamp, rows[0], rows[1], np.nan_to_num(rows[2])

    def _on_command(self, data: bytes) -> None:
        try:
            stamp, q_des, _, _, _ = self._codec.decode(data)
        except ValueError as error:
            return self._diagnostics.refuse("joint_command", str(error))
        if stamp not in self._stamps:
            return self._diagnostics.refuse("joint_command", f"{stamp} ns answers none of the last states")
        if self._command is not None and stamp <= self._command[0]:
            return self._diagnostics.refuse("joint_command", f"{stamp} ns is not newer than {self._command[0]} ns")
        if self._set_point is None and self._q is not None and np.abs(q_des - self._q).max() > FIRST_STEP:
            k = int(np.abs(q_des - self._q).argmax())
            return self._diagnostics.refuse("joint_command", f"the first set-point is {q_des[k] - self._q[k]:.2f} rad "
                                            f"away from {self._names[k]}; allowed are {FIRST_STEP}")
        self._command = stamp, q_des

    def _send(self, stamp: int, dt: float, answered: int) -> None:
        """The set-point for the state at `stamp`, `dt` s after the one before; nothing while nobody commands."""
        if self._command is None or self._q is None:
            return
        age = stamp - self._command[0]
        is_over = age > LEASE_NS
        self._diagnostics.trouble("lease", "no joint_command for 100 ms: the last set-point stays" if is_over else None)
        if age > REPEAT_NS:
            self._command = self._set_point = None
            return
        last = self._q if self._set_point is None else self._set_point
        wanted = last if is_over else np.minimum(np.maximum(self._command[1], self._lower), self._upper)
        room = self._speed * dt
        step = np.minimum(np.maximum(wanted - last, -room), room)
        self._set_point = last + step
        self._publish(self._set_point, step / dt if dt > 0 else np.zeros(len(step)), max(dt, arm.CONTROL_DT))
        self._applied.publish(self._codec.encode(answered, self._set_point, step / max(dt, 1e-3), np.zeros(len(step))))
        self._diagnostics.count("set_point")

    def _publish(self, q_des: np.ndarray, dq_des: np.ndarray, ahead_s: float) -> None:
        if self._given.commands_as == "positions":
            self._commands.publish(Float64MultiArray(data=q_des.tolist()))
            return
        point = JointTrajectoryPoint(positions=q_des.tolist(), velocities=dq_des.tolist())
        point.time_from_start.nanosec = round(ahead_s * 1e9)
        self._commands.publish(JointTrajectory(joint_names=self._names, points=[point]))  # stamp 0: at once


def main(args: list[str] | None = None) -> int:
    """Run the node until interrupted."""
    return run(Ros2ArmDriver, args, priority=ROBOT)


if __name__ == "__main__":
    raise SystemExit(main())
