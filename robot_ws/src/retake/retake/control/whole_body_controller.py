"""Turns the robot's state and the reference into joint commands; the only writer of `joint_command`.

In: joint_states, imu (500 Hz; a step needs both with one stamp), reference (50 Hz). Out: joint_command (each state),
measured_action (50 Hz), odometry (100 Hz), diagnostics (1 Hz). QoS NEWEST. No state: nothing is published, and the
robot side damps when its lease ends. reference older than 200 ms: balance at the last one. A fall: damp, until the
world restarts (a gap above 0.5 s in the state's stamps, or one that goes back). Lockstep: waits for each tick's
reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from nav_msgs.msg import Odometry
from rclpy.node import Node
from sensor_msgs.msg import Imu, JointState

from controllers import g1
from controllers.g1_controller import BaseState, G1Controller, JointCommand, Sensors
from controllers.rigs import G1
from retake.control.ticks import Ticks
from retake.ros import conversions, qos
from retake.ros.diagnostics import Diagnostics
from retake.ros.one_writer import refuse_second_writer
from retake.ros.parameters import declare
from retake.ros.realtime import CONTROLLER
from retake.ros.spin import run
from retake.ros.wire import DAMP, ImuCodec, JointStateCodec

CONTROL_NS = round(g1.CONTROL_DT * 1e9)
ODOMETRY_NS = 10_000_000
RESTART_GAP_NS = 500_000_000
DT_MAX_S = 0.02  # states that were lost are not integrated over


@dataclass(frozen=True)
class Parameters:
    """Parameters of the controller."""

    lockstep: bool = False  # answer a state only after the reference of its tick


class WholeBodyController(Node):
    """A border around G1Controller: checks what comes in, steps, publishes with the state's stamp."""

    def __init__(self, **node_options: Any) -> None:
        super().__init__("whole_body_controller", **node_options)
        parameters = declare(self, Parameters)
        refuse_second_writer(self, JointState, "joint_command")
        self._core = G1Controller()
        self._states, self._imus = JointStateCodec(g1.JOINT_NAMES), ImuCodec(g1.IMU_LINK)
        self._commands, self._damp_commands = self._states, JointStateCodec(g1.JOINT_NAMES, DAMP)
        self._state: tuple[int, np.ndarray, np.ndarray, np.ndarray] | None = None  # stamp, q, dq, tau_est
        self._imu: tuple[int, np.ndarray, np.ndarray, np.ndarray] | None = None  # stamp, quat, gyro, accel
        self._stamp, self._answer = -1, b""  # the newest state that was answered, and the answer
        self._joint_command = self.create_publisher(JointState, "joint_command", qos.SEND)
        self._odometry = self.create_publisher(Odometry, "odometry", qos.SEND)
        self._diagnostics = Diagnostics(self)
        self._ticks = Ticks(self, G1, g1.REFERENCE_LEASE_PERIODS, "balancing at the last one", parameters.lockstep,
                            self._diagnostics, self._advance)
        self.create_subscription(JointState, "joint_states", self._on_state, qos.NEWEST, raw=True)
        self.create_subscription(Imu, "imu", self._on_imu, qos.NEWEST, raw=True)
        self.get_logger().info(f"started: {parameters}, {1 / g1.CONTROL_DT:.0f} Hz")

    def _on_state(self, data: bytes) -> None:
        try:
            stamp, q, dq, tau, _ = self._states.decode(data)
        except ValueError as error:
            return self._diagnostics.refuse("joint_states", str(error))
        if stamp == self._stamp and self._answer:
            return self._joint_command.publish(self._answer)  # asked again: the robot side missed the answer
        self._state = stamp, q, dq, tau
        self._advance()

    def _on_imu(self, data: bytes) -> None:
        try:
            self._imu = self._imus.decode(data)
        except ValueError as error:
            return self._diagnostics.refuse("imu", str(error))
        self._advance()

    def _advance(self) -> None:
        """Answer the newest state, when all that belongs to it is here."""
        if self._state is None or self._imu is None or self._state[0] != self._imu[0]:
            return
        stamp, q, dq, tau = self._state
        gap = stamp - self._stamp
        if gap == 0:
            return
        if self._stamp < 0 or gap < 0 or gap > RESTART_GAP_NS:
            self._restart()
            gap = CONTROL_NS
        if self._ticks.lacks_reference():
            return
        sensors = Sensors(q, dq, tau, *self._imu[1:])
        command = self._core.step(sensors, self._ticks.reference(stamp), min(gap * 1e-9, DT_MAX_S))
        before, self._stamp = stamp - gap, stamp
        self._command(command)
        if self._ticks.is_due(before, stamp):
            self._ticks.publish(stamp, self._core.measured_action)
        if stamp // ODOMETRY_NS != before // ODOMETRY_NS and (base := self._core.base) is not None:
            self._odometry.publish(_odometry_message(base, stamp))

    def _restart(self) -> None:
        """Another run of the world: nothing from before counts."""
        self._core.reset()
        self._stamp = -1
        self._ticks.restart()

    def _command(self, command: JointCommand) -> None:
        """Publish what the core decided; nothing when it is not finite, so that the robot side damps."""
        self._diagnostics.count("step")
        self._diagnostics.trouble("fall", "fallen: damping until the world restarts" if self._core.fallen else None)
        total = float(command.q_des.sum() + command.dq_des.sum() + command.tau_ff.sum())
        if total - total != 0.0:
            self._answer = b""
            return self._diagnostics.refuse("joint_command", "the controller's own command is not finite")
        codec = self._damp_commands if command.damp else self._commands
        self._answer = codec.encode(self._stamp, command.q_des, command.dq_des, command.tau_ff)
        self._joint_command.publish(self._answer)


def _odometry_message(base: BaseState, stamp: int) -> Odometry:
    """Pelvis in odom; velocities in the pelvis frame."""
    message = Odometry(child_frame_id=g1.IMU_LINK)
    message.header.stamp, message.header.frame_id = conversions.time_message(stamp), "odom"
    pose, twist = message.pose.pose, message.twist.twist
    pose.position.x, pose.position.y, pose.position.z = base.position.tolist()
    quat = pose.orientation
    quat.x, quat.y, quat.z, quat.w = base.quat_xyzw.tolist()
    twist.linear.x, twist.linear.y, twist.linear.z = base.linear_velocity.tolist()
    twist.angular.x, twist.angular.y, twist.angular.z = base.angular_velocity.tolist()
    return message


def main(args: list[str] | None = None) -> int:
    """Run the node until interrupted."""
    return run(WholeBodyController, args, priority=CONTROLLER)


if __name__ == "__main__":
    raise SystemExit(main())
