"""Turns the arms' states and the reference into joint commands; the only writer of `joint_command`.

In: joint_states (250 Hz, grippers included), reference (50 Hz). Out: joint_command (each state), measured_action
(50 Hz), diagnostics (1 Hz). QoS STREAM. No state: nothing is published, and the arms' side holds when its lease ends.
reference older than 200 ms: hold the last one. The world restarts when the state's stamps jump back or by more than
0.5 s. Lockstep: waits for each tick's reference.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import JointState

from controllers import arm
from controllers.arm_controller import ArmController, ArmSensors
from controllers.joint_command import JointCommand
from controllers.rigs import rig_of
from retake.control.ticks import Ticks
from retake.ros import qos
from retake.ros.diagnostics import Diagnostics
from retake.ros.one_writer import refuse_second_writer
from retake.ros.parameters import declare
from retake.ros.realtime import CONTROLLER
from retake.ros.spin import run
from retake.ros.wire import JointStateCodec

RESTART_GAP_NS = 500_000_000
DT_MAX_S = 0.02  # states that were lost are not integrated over


@dataclass(frozen=True)
class Parameters:
    """Parameters of the controller."""

    robot: str = field(default="yam", metadata={"description": "the rig of arms"})
    lockstep: bool = False  # answer a state only after the reference of its tick


class ArmControllerNode(Node):
    """A border around ArmController: checks what comes in, steps, publishes with the state's stamp."""

    def __init__(self, **node_options: Any) -> None:
        super().__init__("arm_controller", **node_options)
        parameters = declare(self, Parameters)
        rig = rig_of(parameters.robot)
        self._core = ArmController(rig)
        refuse_second_writer(self, JointState, "joint_command")
        self._codec = JointStateCodec(rig.joint_names)
        self._control_ns = round(rig.control_dt * 1e9)
        self._state: tuple[int, np.ndarray, np.ndarray, np.ndarray] | None = None  # stamp, q, dq, tau_est
        self._stamp, self._answer = -1, b""  # the newest state that was answered, and the answer
        self._joint_command = self.create_publisher(JointState, "joint_command", qos.SEND)
        self._diagnostics = Diagnostics(self)
        self._ticks = Ticks(self, rig, arm.REFERENCE_LEASE_PERIODS, "holding the last one", parameters.lockstep,
                            self._diagnostics, self._advance)
        self.create_subscription(JointState, "joint_states", self._on_state, qos.NEWEST, raw=True)
        self._warm_up(len(rig.joint_names))
        self.get_logger().info(f"started: {parameters}, {1 / rig.control_dt:.0f} Hz")

    def _warm_up(self, joints: int) -> None:
        """Load the compiled code before the first state: it may take seconds, the leases are milliseconds."""
        zero = np.zeros(joints)
        for _ in range(2):
            self._core.step(ArmSensors(zero, zero, zero), None)
        self._core.reset()

    def _on_state(self, data: bytes) -> None:
        try:
            stamp, q, dq, tau, _ = self._codec.decode(data)
        except ValueError as error:
            return self._diagnostics.refuse("joint_states", str(error))
        if stamp == self._stamp and self._answer:
            return self._joint_command.publish(self._answer)  # asked again: the robot side missed the answer
        self._state = stamp, q, dq, tau
        self._advance()

    def _advance(self) -> None:
        """Answer the newest state, when all that belongs to it is here."""
        if self._state is None:
            return
        stamp, q, dq, tau = self._state
        gap = stamp - self._stamp
        if gap == 0:
            return
        if self._stamp < 0 or gap < 0 or gap > RESTART_GAP_NS:
            self._core.reset()
            self._ticks.restart()
            self._stamp, gap = -1, self._control_ns
        if self._ticks.lacks_reference():
            return
        reference = self._ticks.reference(stamp)
        command = self._core.step(ArmSensors(q, dq, tau), reference, min(gap * 1e-9, DT_MAX_S))
        before, self._stamp = stamp - gap, stamp
        self._command(command)
        if self._ticks.is_due(before, stamp):
            self._ticks.publish(stamp, self._core.measured_action)

    def _command(self, command: JointCommand) -> None:
        """Publish what the core decided; nothing when it is not finite, so that the arms' side holds."""
        self._diagnostics.count("step")
        total = float(command.q_des.sum() + command.dq_des.sum() + command.tau_ff.sum())
        if total - total != 0.0:
            self._answer = b""
            return self._diagnostics.refuse("joint_command", "the controller's own command is not finite")
        self._answer = self._codec.encode(self._stamp, command.q_des, command.dq_des, command.tau_ff)
        self._joint_command.publish(self._answer)


def main(args: list[str] | None = None) -> int:
    """Run the node until interrupted."""
    return run(ArmControllerNode, args, priority=CONTROLLER)


if __name__ == "__main__":
    raise SystemExit(main())
