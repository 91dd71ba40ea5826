"""The G1's driver: Unitree's DDS on one side, the robot's topics on the other.

In: joint_command (500 Hz, each answers one state's stamp); with body:=stock also reference (50 Hz; base height and
velocity go to the firmware's locomotion service). Out: joint_states, imu, applied_joint_command (500 Hz, QoS SEND),
diagnostics 1 Hz. The node does not start before everything in retake.g1.checks is found good. START on the
remote brings the robot into its standing posture, A hands it to the controller (retake.g1.gate). L2+B, no
joint_command for 100 ms, no state for 100 ms, a rival on the robot's command topic and the end of this process damp it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import Imu, JointState
from trajectory_msgs.msg import JointTrajectory

from controllers import g1
from retake.errors import UserError
from retake.g1.body import OwnBody, StockBody
from retake.g1.gate import Gate, Phase
from retake.g1.link import Link
from retake.g1.walk import Walk
from retake.ros import qos
from retake.ros.diagnostics import Diagnostics
from retake.ros.parameters import declare
from retake.ros.realtime import ROBOT
from retake.ros.spin import STEADY, run
from retake.ros.wire import DAMP, ImuCodec, JointStateCodec
from retake.unitree import rpc
from retake.unitree.checks import BATTERY_MIN_PERCENT, hottest_joint
from retake.unitree.dds import Bus
from retake.unitree.wire import command_encoder, read_state, state_encoder

NEWS_S = 0.1
BODIES = ("own", "stock")


@dataclass(frozen=True)
class Parameters:
    """Parameters of the driver."""

    interface: str = field(metadata={"description": "network interface of the cable to the robot"})
    dds_domain: int = 0  # the G1's own
    body: str = "own"  # own: all joints are ours; stock: the firmware balances and walks, arms and waist are ours
    release: bool = False  # own: end the firmware's motion service; the robot goes limp
    ramp_s: float = 2.0  # from START to the standing posture
    battery_min_percent: int = BATTERY_MIN_PERCENT  # 0: not looked at
    patience_s: float = 10.0  # for the first state

    def __post_init__(self) -> None:
        if self.body not in BODIES:
            raise ValueError(f"body {self.body!r}; allowed: {', '.join(BODIES)}")
        if not 0.5 <= self.ramp_s <= 20.0 or not 1.0 <= self.patience_s <= 600.0:
            raise ValueError(f"ramp_s {self.ramp_s} must be 0.5 to 20, patience_s {self.patience_s} 1 to 600")
        if not 0 <= self.battery_min_percent <= 100:
            raise ValueError(f"battery_min_percent {self.battery_min_percent}; allowed: 0 to 100")


class G1Driver(Node):
    """A border around Link: converts messages, publishes, reports."""

    def __init__(self, **node_options: Any) -> None:
        super().__init__("g1_driver", **node_options)
        settings = declare(self, Parameters)
        self._codec, self._imu_codec = JointStateCodec(g1.JOINT_NAMES), ImuCodec(g1.IMU_LINK)
        self._applied_codec, self._damp_codec = JointStateCodec(g1.JOINT_NAMES), JointStateCodec(g1.JOINT_NAMES, DAMP)
        still = np.zeros(g1.NUM_JOINTS)
        self._damp_size = len(self._damp_codec.encode(0, still, still, still))
        self._joint_states = self.create_publisher(JointState, "joint_states", qos.SEND)
        self._imu = self.create_publisher(Imu, "imu", qos.SEND)
        self._applied = self.create_publisher(JointState, "applied_joint_command", qos.SEND)
        self._diagnostics = Diagnostics(self)
        self._gate = Gate(settings.ramp_s)
        self._walk: Walk | None = None
        self._body = OwnBody(settings.release) if settings.body == "own" else StockBody()
        bus = Bus(settings.dds_domain, settings.interface)
        self._link = Link(bus, self._body, self._gate, settings.battery_min_percent, self._on_state, self._on_applied)
        try:
            self._warm_up()
            self._link.open(settings.patience_s)
        except BaseException:
            self._link.close()
            raise
        commands = self.create_subscription(JointState, "joint_command", self._on_command, qos.NEWEST, raw=True)
        self._diagnostics.guard(commands, "joint_command")
        if isinstance(self._body, StockBody):
            self._walk = self._made_walk(self._body)
        self.create_timer(NEWS_S, self._tell, clock=STEADY)
        self.get_logger().info(f"started: {settings}")

    def _warm_up(self) -> None:
        """Compile, or load what is compiled, before a robot depends on the next millisecond; moves nothing."""
        found = self._codec.rows_of(self._codec.encode_rows(0, np.zeros((3, g1.NUM_JOINTS))))
        assert found is not None
        gate, joints, imu = Gate(1.0), np.zeros((3, g1.NUM_JOINTS)), np.zeros(10)
        read_state(state_encoder().encode(), joints, imu)
        gate.on_command(*found, False)
        for gate.phase in Phase:
            gate.update(joints[0], 0.0)
        command_encoder().encode_setpoints(gate.setpoints)

    def close(self) -> None:
        """Brake the robot."""
        self._link.close()

    # From the link's thread

    def _on_state(self, stamp: int, joints: np.ndarray, imu: np.ndarray) -> None:
        self._publish(self._imu, self._imu_codec.encode_row(stamp, imu))
        self._publish(self._joint_states, self._codec.encode_rows(stamp, joints))

    def _on_applied(self, stamp: int, rows: np.ndarray, q: np.ndarray) -> None:
        """What our joints were given; of those that are the firmware's, the posture they have."""
        if self._walk is not None:
            ours, given = self._body.moved, rows
            rows = np.zeros_like(given)
            rows[0], rows[:, ours] = q, given[:, ours]
        self._publish(self._applied, self._applied_codec.encode_rows(stamp, rows[:3]))

    def _publish(self, publisher: Publisher, data: bytes) -> None:
        """Publish, unless ROS has ended before the link has. The handle's method is what Publisher.publish comes to."""
        try:
            publisher.handle.publish_raw(data)
        except RuntimeError:
            if self.context.ok():
                raise

    # From the executor's thread

    def _on_command(self, data: bytes) -> None:
        damp = len(data) == self._damp_size
        try:
            if (found := (self._damp_codec if damp else self._codec).rows_of(data)) is not None:
                self._link.command(*found, damp)
            else:
                stamp, q_des, dq_des, tau_ff, gains = self._codec.decode(data)  # another layout
                if gains not in ("", DAMP):
                    raise ValueError(f"unknown gains {gains!r}, allowed are '' and {DAMP!r}")
                self._link.command(stamp, np.array([q_des, dq_des, tau_ff]), gains == DAMP)
        except ValueError as error:
            return self._diagnostics.refuse("joint_command", str(error))
        self._diagnostics.count("joint_command")

    def _made_walk(self, body: StockBody) -> Walk:
        """The firmware's walking, driven by `reference`."""
        caller = self._link.checks.callers[rpc.LOCOMOTION]
        walk = Walk(lambda api, parameter: (caller.ask(api, parameter, reply=False), None)[1], body.has_height)
        if not body.has_height:
            self.get_logger().warning("the firmware's stand height is no height in metres: base.height is not sent")
        self.create_subscription(JointTrajectory, "reference", self._on_reference, qos.NEWEST)
        return walk

    def _on_reference(self, message: JointTrajectory) -> None:
        values = message.points[0].positions if len(message.points) == 1 else []
        if len(values) != len(message.joint_names) or not all(math.isfinite(value) for value in values):
            return self._diagnostics.refuse("reference", "allowed is one point with a finite number for each name")
        if self._walk is not None:
            self._walk.on_reference(dict(zip(message.joint_names, values, strict=True)), time.monotonic())

    def _tell(self) -> None:
        """What the link has to say, and the walk's calls."""
        if self._link.is_broken:
            raise UserError("g1_driver: its link to the robot has failed; see the lines above, then start it again")
        while self._link.news:
            kind, name, text = self._link.news.popleft()
            if kind == "refuse":
                self._diagnostics.refuse(name, str(text))
            else:
                self._diagnostics.trouble(name, text)
        if self._walk is not None:
            self._walk.step(time.monotonic(), self._gate.phase is Phase.ACTIVE)
        self._report()

    def _report(self) -> None:
        link = self._link
        self._diagnostics.set("motors", self._gate.phase.value)
        self._diagnostics.set("battery_percent", link.checks.battery_percent)
        if (record := link.checks.record) is not None:
            self._diagnostics.set("hottest", hottest_joint(record))
        if link.ages_ms:
            self._diagnostics.set("state_to_command_p99_ms", f"{np.percentile(list(link.ages_ms), 99):.2f}")


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until interrupted; however it ends, the robot is braked."""
    drivers: list[G1Driver] = []

    def make() -> G1Driver:
        drivers.append(G1Driver())
        return drivers[0]

    try:
        return run(make, args, priority=ROBOT)
    finally:
        for driver in drivers:
            driver.close()


if __name__ == "__main__":
    raise SystemExit(main())
