"""Drives YAM arms over CAN: the motors' MIT frames at 250 Hz.

In: joint_command (250 Hz, each answers one state's stamp; NEWEST). Out: joint_states (grippers as opening, 0 closed to
1 open), applied_joint_command (what was sent, after clamping) (250 Hz), diagnostics (1 Hz: temperatures, missed
answers, rates). Service clear_errors. Before anything moves every motor is asked for type, mode and timeout, its errors
and joint limits are checked, the grippers are homed; what is wrong ends the node with one line. No command for 100 ms,
or a motor's error: the arms hold where they are and grip as they did. The process dead: the motors damp after 0.4 s.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from controllers import arm
from controllers.joint_command import JointCommand
from controllers.rigs import rig_of
from retake.arms.dm_bus import MotorBus
from retake.arms.link import ArmLink
from retake.arms.loop import ArmLoop, Leased
from retake.ros import qos
from retake.ros.diagnostics import Diagnostics
from retake.ros.parameters import declare
from retake.ros.realtime import ROBOT
from retake.ros.spin import STEADY, run
from retake.ros.wire import JointStateCodec

WATCH_S = 0.1
LEASE_S = arm.JOINT_COMMAND_LEASE_PERIODS * arm.CONTROL_DT


@dataclass(frozen=True)
class Parameters:
    """Parameters of the driver."""

    robot: str = field(default="yam", metadata={"description": "the rig of arms"})
    interface: str = field(default="socketcan", metadata={"description": "python-can's name for the kind of bus"})
    can: str = field(default="can0", metadata={"description": "one bus per arm, comma-separated, left first"})
    patience_s: float = field(default=0.0, metadata={"description": "how long the motors may take to be switched on"})
    clear_errors: bool = field(default=False, metadata={"description": "switch motors on that report an error"})


class ArmDriver(Node):
    """Messages on one side, ArmLoop on the other."""

    def __init__(self, **node_options: Any) -> None:
        super().__init__("arm_driver", **node_options)
        given = declare(self, Parameters)
        rig = rig_of(given.robot)
        buses = [name.strip() for name in given.can.split(",") if name.strip()]
        if rig.arms is None or len(buses) != len(rig.arms.mounts):
            arms = 0 if rig.arms is None else len(rig.arms.mounts)
            raise ValueError(f"{rig.name} has {arms} arms, can:={given.can} names {len(buses)} buses; name one per arm")
        self._codec = JointStateCodec(rig.joint_names)
        self._names = rig.joint_names
        self._stamps: deque[int] = deque(maxlen=arm.JOINT_COMMAND_LEASE_PERIODS)  # of the newest states, by the thread
        self._answered = -1
        self._joint_states = self.create_publisher(JointState, "joint_states", qos.SEND)
        self._applied = self.create_publisher(JointState, "applied_joint_command", qos.SEND)
        self._diagnostics = Diagnostics(self)
        commands = self.create_subscription(JointState, "joint_command", self._on_command, qos.NEWEST, raw=True)
        self._diagnostics.guard(commands, "joint_command")
        self.create_service(Trigger, "clear_errors", self._on_clear)
        parts = [rig.joint_names[7 * k : 7 * k + 7] for k in range(len(buses))]
        self._links = [ArmLink(MotorBus(given.interface, bus), part) for bus, part in zip(buses, parts, strict=True)]
        self._loop = ArmLoop(rig, self._links, given.clear_errors, given.patience_s, self._publish)
        self._loop.start()
        self._reported = 0
        self.create_timer(WATCH_S, self._watch, clock=STEADY)
        self.get_logger().info(f"started: {given}, {1 / arm.CONTROL_DT:.0f} Hz")

    def _publish(self, q: np.ndarray, dq: np.ndarray, tau: np.ndarray, applied: JointCommand) -> None:
        """In the loop's thread: rcl's publish is thread-safe, and waking the executor would add its delay."""
        stamp = self.get_clock().now().nanoseconds
        before = self._stamps[-1] if self._stamps else stamp
        self._stamps.append(stamp)
        self._joint_states.publish(self._codec.encode(stamp, q, dq, tau))
        self._applied.publish(self._codec.encode(before, applied.q_des, applied.dq_des, applied.tau_ff))

    def _on_command(self, data: bytes) -> None:
        """Take a command that answers one of the states of the last 100 ms, each only once."""
        try:
            stamp, q_des, dq_des, tau_ff, gains = self._codec.decode(data)
        except ValueError as error:
            return self._diagnostics.refuse("joint_command", str(error))
        if stamp not in tuple(self._stamps):
            return self._diagnostics.refuse("joint_command", f"{stamp} ns answers no state of the last 100 ms")
        if stamp <= self._answered:
            return self._diagnostics.refuse("joint_command", f"{stamp} ns is not newer than {self._answered} ns")
        if gains:
            return self._diagnostics.refuse("joint_command", f"unknown gains {gains!r}, allowed are ''")
        self._answered = stamp
        age_s = (self.get_clock().now().nanoseconds - stamp) * 1e-9
        self._loop.leased = Leased(JointCommand(q_des, dq_des, tau_ff), time.monotonic() + LEASE_S - age_s)
        self._diagnostics.count("joint_command")

    def _on_clear(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """A person says that the cause of a problem is gone."""
        response.success = bool(self._loop.problem)
        response.message = f"cleared: {self._loop.problem}" if response.success else "there is no problem to clear"
        self._loop.leased = None
        self._loop.release.set()
        return response

    def _watch(self) -> None:
        """What the loop's thread has left to say; a bus that refuses ends the node."""
        loop = self._loop
        if loop.refusal is not None:
            raise loop.refusal
        new, self._reported = loop.cycles - self._reported, loop.cycles
        self._diagnostics.count("cycle", new)
        is_silent = loop.cycles > 0 and loop.is_holding and not loop.problem
        self._diagnostics.trouble("problem", loop.problem or None)
        self._diagnostics.trouble("lease", "no joint_command for 100 ms: holding" if is_silent else None)
        hottest = -1.0
        for link in self._links:
            for k, name in enumerate(link.names):
                self._diagnostics.set(f"{name}.mos_c", f"{link.mos_c[k]:.0f}")
                self._diagnostics.set(f"{name}.rotor_c", f"{link.rotor_c[k]:.0f}")
            hottest = max(hottest, float(link.mos_c.max()), float(link.rotor_c.max()))
        warm = f"{hottest:.0f} °C, from {arm.TEMPERATURE_MAX_C} the arms hold; rest them"
        self._diagnostics.trouble("temperature", warm if hottest >= arm.TEMPERATURE_WARN_C else None)
        for name, value in (("missed", loop.missed), ("late", loop.late),
                            ("bus_errors", sum(link.bus.bus_errors for link in self._links))):
            self._diagnostics.set(name, value)

    def destroy_node(self) -> None:
        """End the thread; the motors then damp by their own timeout."""
        self._loop.stop.set()
        self._loop.join(timeout=1.0)
        super().destroy_node()


def main(args: list[str] | None = None) -> int:
    """Run the node until interrupted; the exit code is 1 when the arms refuse."""
    return run(ArmDriver, args, priority=ROBOT)


if __name__ == "__main__":
    raise SystemExit(main())
