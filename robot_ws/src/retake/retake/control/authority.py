"""Decides who commands the robot and publishes the one reference; the only writer of `reference`.

In: measured_action (50 Hz, each is a tick), action_chunk, teleop_action, rewind_action (QoS STREAM; frame_id is the
device's name), episode/event. Out, one per tick with its stamp: reference, provenance, and policy_action while a chunk
covers the tick; on change: authority, segment (LATCHED); diagnostics 1 Hz. Services: take_over, DEVICE/take_over,
hand_back, rewind, correct, stop, release_stop. Inputs that stop coming: the reference rests, authority stays. No tick,
no reference: the controller then balances at the last one. Lockstep: each tick waits for the chunk that is due by it,
and for a residual's action (retake/control/residual_input.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from controllers.authority_core import FUTURE_NS, MS, AuthorityCore, Provenance
from controllers.operators import DEVICES
from controllers.rigs import rig_of
from retake.control.residual_input import ResidualInput
from retake.ros import conversions, qos
from retake.ros.diagnostics import Diagnostics
from retake.ros.lockstep import Awaited
from retake.ros.one_writer import refuse_second_writer
from retake.ros.parameters import declare
from retake.ros.realtime import AUTHORITY
from retake.ros.spin import run

INFERENCE_FRAMES = 6  # in lockstep the policy answers every sixth camera frame
CHUNK_DELAY_NS = 100 * MS  # in lockstep a chunk is used so long after its observation, whenever it came


@dataclass(frozen=True)
class Parameters:
    """Parameters of authority."""

    robot: str = field(default="g1", metadata={"description": "whose action channels and limits"})
    lockstep: bool = False  # answer a tick only after the chunk that is due by it
    policy: bool = True  # in lockstep: a policy server is part of the graph
    residual: bool = False  # the same of a residual
    rac: bool = False  # an episode ends after the intervention: no hand-back within it (RaC's second rule)


class AuthorityNode(Node):
    """A border around AuthorityCore."""

    def __init__(self, **node_options: Any) -> None:
        super().__init__("authority", **node_options)
        parameters = declare(self, Parameters)
        refuse_second_writer(self, JointTrajectory, "reference")
        self._rig = rig_of(parameters.robot)
        self._inference_ns = INFERENCE_FRAMES * round(self._rig.camera_dt * 1e9)
        delay_ns = CHUNK_DELAY_NS if parameters.lockstep else 0
        self._core = AuthorityCore(self._rig, delay_ns, ends_after_intervention=parameters.rac)
        self._pending: JointTrajectory | None = None  # the tick that waits for its chunk
        self._first_tick_ns = 0  # of this run of the world
        self._tick_ns = -1  # the newest that was answered
        self._is_lockstep = parameters.lockstep
        self._early: JointTrajectory | None = None  # a chunk that came before its world's first tick
        self._said: tuple[object, ...] = ()
        self._reference = self.create_publisher(JointTrajectory, "reference", qos.SEND)
        self._provenance = self.create_publisher(DiagnosticStatus, "provenance", qos.SEND)
        self._policy_action = self.create_publisher(JointTrajectory, "policy_action", qos.SEND)
        self._authority = self.create_publisher(String, "authority", qos.CHANGES)
        self._segment = self.create_publisher(String, "segment", qos.CHANGES)
        self._said_segment = ""
        self._diagnostics = Diagnostics(self)
        awaits_policy = parameters.lockstep and parameters.policy
        self._policy = Awaited(self, "policy_server", awaits_policy, self._diagnostics, self._advance)
        self._residual = ResidualInput(self, self._core, self._rig, self._diagnostics,
                                      parameters.lockstep and parameters.residual, self._advance)
        self.create_subscription(JointTrajectory, "measured_action", self._on_measured_action, qos.NEWEST)
        self.create_subscription(JointTrajectory, "action_chunk", self._on_chunk, qos.STREAM)
        self._policy_hash = ""  # of the policy that answers, for the provenance
        self.create_subscription(String, "policy", self._on_policy, qos.LATCHED)
        self.create_subscription(JointTrajectory, "teleop_action", self._on_teleop_action, qos.STREAM)
        self.create_subscription(JointTrajectory, "rewind_action", self._on_rewind_action, qos.STREAM)
        self.create_subscription(String, "episode/event", self._on_episode, qos.LATCHED)
        for name in ("take_over", "hand_back", "rewind", "correct", "stop", "release_stop"):
            self.create_service(Trigger, name, self._service(getattr(self._core, name), name))
        for device in DEVICES:
            name = f"{device}/take_over"
            self.create_service(Trigger, name, self._service(partial(self._core.take_over, device), name))
        self._say_authority()
        self.get_logger().info(f"started: {parameters}")

    def _on_measured_action(self, message: JointTrajectory) -> None:
        self._pending = message
        self._advance()

    def _on_chunk(self, message: JointTrajectory) -> None:
        stamp = conversions.stamp_ns(message.header.stamp)
        if self._is_lockstep and stamp > self._tick_ns + FUTURE_NS:  # a new world's, overtaking its first tick
            self._early = message
            return
        try:
            self._core.offer_chunk(stamp, *conversions.chunk_from(message, self._rig), policy=self._policy_hash)
        except ValueError as error:
            return self._diagnostics.refuse("action_chunk", str(error))
        self._diagnostics.count("action_chunk")
        self._policy.answered()
        self._advance()

    def _on_policy(self, message: String) -> None:
        self._policy_hash = message.data

    def _on_teleop_action(self, message: JointTrajectory) -> None:
        stamp = conversions.stamp_ns(message.header.stamp)
        try:
            self._core.offer_teleop(stamp, conversions.action_from(message, self._rig), self._device_of(message))
        except ValueError as error:
            return self._diagnostics.refuse("teleop_action", str(error))
        self._diagnostics.count("teleop_action")

    def _on_rewind_action(self, message: JointTrajectory) -> None:
        stamp = conversions.stamp_ns(message.header.stamp)
        try:
            self._core.offer_rewind(stamp, conversions.path_speed_from(message), self._device_of(message))
        except ValueError as error:
            return self._diagnostics.refuse("rewind_action", str(error))
        self._diagnostics.count("rewind_action")

    def _device_of(self, message: JointTrajectory) -> str:
        """Name of the device that sent an action; empty where it names a frame, or nothing."""
        name = message.header.frame_id
        return "" if name == self._rig.frame else name

    def _on_episode(self, message: String) -> None:
        try:
            event = json.loads(message.data)["event"]
        except (ValueError, TypeError, KeyError):
            return self._diagnostics.refuse("episode/event", f"{message.data[:80]!r} is no event of an episode")
        if event == "started":
            self._core.begin_episode()

    def _advance(self) -> None:
        """Answer the tick that is pending, when all that belongs to it is here."""
        if self._pending is None:
            return
        stamp = conversions.stamp_ns(self._pending.header.stamp)
        if self._lacks_chunk(stamp) or self._residual.lacks(stamp, self._first_tick_ns):
            return
        message, self._pending = self._pending, None
        try:
            reference, provenance = self._core.tick(stamp, conversions.action_from(message, self._rig))
        except ValueError as error:
            return self._diagnostics.refuse("measured_action", str(error))
        self._reference.publish(conversions.action_message(reference, stamp, self._rig))
        self._provenance.publish(_provenance_message(provenance))
        if (wanted := self._core.policy_action()) is not None:
            self._policy_action.publish(conversions.action_message(wanted, stamp, self._rig))
        if provenance.segment != self._said_segment:
            self._said_segment = provenance.segment
            self._segment.publish(String(data=provenance.segment))
        self._diagnostics.count("tick")
        self._say_authority()
        self._say_source(provenance)
        self._tick_ns = stamp
        early, self._early = self._early, None
        if early is not None:
            self._on_chunk(early)

    def _lacks_chunk(self, stamp: int) -> bool:
        """True in lockstep while the chunk that is due by the tick at `stamp` may still come."""
        if self._core.is_restart(stamp):
            self._first_tick_ns = stamp
            self._policy.restart()
        due = (stamp - CHUNK_DELAY_NS) // self._inference_ns * self._inference_ns
        if due < self._first_tick_ns or self._core.newest_chunk_ns >= due:
            return False
        return self._policy.should_wait()

    def _service(self, request: Callable[[], tuple[bool, str]], name: str) -> Callable:
        def answer(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            response.success, response.message = request()
            self.get_logger().info(f"{name}: {response.message}")
            self._say_authority()
            return response

        return answer

    def _say_authority(self) -> None:
        """Publish who has authority, when that or the epoch changed."""
        now = self._core.authority.value, self._core.epoch
        if now != self._said[:2]:
            self._said = now
            self._authority.publish(String(data=now[0]))
            self._diagnostics.set("authority", now[0])

    def _say_source(self, provenance: Provenance) -> None:
        """Log once why the reference rests although somebody has authority."""
        now = *self._said[:2], provenance.reason
        if now != self._said:
            self._said = now
            self.get_logger().info(f"authority {now[0]}: {provenance.source} {provenance.reason}")


def _provenance_message(provenance: Provenance) -> DiagnosticStatus:
    """Where one reference comes from, as DESIGN's `provenance`."""
    values = [KeyValue(key=key, value=value) for key, value in provenance.pairs().items()]
    return DiagnosticStatus(name="reference", message=provenance.reason, values=values)


def main(args: list[str] | None = None) -> int:
    """Run the node until interrupted."""
    return run(AuthorityNode, args, priority=AUTHORITY)


if __name__ == "__main__":
    raise SystemExit(main())
