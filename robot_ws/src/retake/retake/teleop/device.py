"""The node around a teleoperation device: what its hands ask for becomes teleop_action, its buttons become calls.

Out: teleop_action (80 Hz) while this device has the robot and its dead man is held, rewind_action while it holds the
way back, and nothing otherwise: authority's lease then holds the robot. frame_id is the device's name. In: authority,
measured_action, provenance. Calls <name>/take_over, hand_back, rewind, correct, stop, release_stop, episode/*. A device
that is silent or unplugged is said once; its dead man must be let go and closed again. diagnostics 1 Hz.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from controllers.rigs import Rig, rig_of
from retake.ros import conversions, qos
from retake.ros.diagnostics import Diagnostics
from retake.ros.parameters import declare
from retake.ros.rising_stamp import RisingStamp
from retake.ros.service_calls import Calls
from retake.ros.spin import STEADY
from retake.ros.twin import refuse_twin
from retake.teleop.drive import Drive
from retake.teleop.hands import Device, Hands, Reading, Shown

PERIOD_S = 0.0125
SHOW_S = 0.1
FRESH_S = 0.5  # the robot's pose and who has it; a robot of lockstep may be slower than the clock on the wall
# without a processor for so long: what waits is read first, or a device that speaks would seem silent
HELD_UP_S, CATCH_UP_S, AGAIN_S = 0.06, 0.05, 0.5
CALLS = ("hand_back", "stop", "release_stop", "rewind", "correct", "episode/success", "episode/failure")
DRIVERS_ONLY = ("hand_back", "rewind", "correct")  # while somebody has the robot
FROM_OUTSIDE = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)  # hears reliable publishers, and others
# of authority: a change that is missed would hide that somebody else has had the robot meanwhile
EVERY_CHANGE = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@dataclass(frozen=True)
class DeviceParameters:
    """Parameters of every device."""

    robot: str = field(default="g1", metadata={"description": "the rig that it moves"})
    speed: float = field(default=0.5, metadata={"description": "of the rig's speeds, for sticks and keys; 0 to 1"})

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if not 0.0 < self.speed <= 1.0:
            raise ValueError(f"speed is {self.speed}; allowed: above 0, up to 1")


P = TypeVar("P", bound=DeviceParameters)


class Grant:
    """Whether this device has the robot: that is what authority says, at every tick; a stop of ours ends it at once."""

    def __init__(self, name: str) -> None:
        self.authority = self.operator = ""
        self._name, self._heard, self._is_revoked = name, -math.inf, False

    def hear(self, operator: str, now: float) -> None:
        """The device that has the robot, by authority's provenance."""
        self.operator, self._heard = operator, now

    def give(self) -> None:
        """Its take-over was accepted."""
        self._is_revoked = False

    def revoke(self) -> None:
        """It has given the robot away, whatever authority answers."""
        self._is_revoked = True

    @property
    def is_driven(self) -> bool:
        """True while a person has the robot, with whatever device."""
        return self.authority in ("teleop", "rewind")

    def has(self, now: float) -> bool:
        """True while this device has it."""
        is_ours = self.operator == self._name and now - self._heard < FRESH_S
        return is_ours and self.is_driven and not self._is_revoked


class TeleopDevice(Node):
    """One device; one timer reads it."""

    def __init__(
        self, node_name: str, name: str, kind: type[P], make: Callable[[TeleopDevice, Rig, P], Device],
        **node_options: Any,
    ) -> None:  # fmt: skip
        """`name`: of the device, as authority knows it. `make` builds it and may subscribe with the node."""
        super().__init__(node_name, **node_options)
        given = declare(self, kind)
        refuse_twin(self)
        self.name, self._rig = name, rig_of(given.robot)
        self.diagnostics = Diagnostics(self)  # before the device, which refuses its inputs with it
        self._device = make(self, self._rig, given)
        self._drive, self._grant = Drive(self._rig, given.speed), Grant(name)
        self._calls = Calls(self, (f"{name}/take_over", *CALLS))
        self._measured: tuple[np.ndarray, float] | None = None  # the pose (dim,) the robot has, when it came
        self._authority_ms, self._text = math.nan, ""
        self._clock_stamp = RisingStamp(self)
        self._ticked_at, self._shown_at, self._held_up_at = time.monotonic(), 0.0, -math.inf
        self._has_asked_back = self._awaits_back = False
        self._teleop_action = self.create_publisher(JointTrajectory, "teleop_action", qos.SEND)
        self._rewind_action = self.create_publisher(JointTrajectory, "rewind_action", qos.SEND)
        self.create_subscription(String, "authority", self._on_authority, EVERY_CHANGE)
        self.create_subscription(JointTrajectory, "measured_action", self._on_measured, qos.NEWEST)
        self.create_subscription(DiagnosticStatus, "provenance", self._on_provenance, qos.NEWEST)
        self.create_timer(PERIOD_S, self._tick, clock=STEADY)
        self.get_logger().info(f"started: {given}")

    def _on_authority(self, message: String) -> None:
        self._grant.authority = message.data
        if not self._grant.is_driven:
            self._drive.forget()

    def _on_measured(self, message: JointTrajectory) -> None:
        try:
            self._measured = conversions.action_from(message, self._rig), time.monotonic()
        except ValueError as error:
            self.diagnostics.refuse("measured_action", str(error))

    def _on_provenance(self, message: DiagnosticStatus) -> None:
        pairs = {pair.key: pair.value for pair in message.values}
        self._grant.hear(pairs.get("operator", ""), time.monotonic())
        is_ours = pairs.get("source") == "teleop" and self._grant.operator == self.name
        self._authority_ms = float(pairs.get("observation_age_ms", math.nan)) if is_ours else math.nan

    def _tick(self) -> None:
        now = time.monotonic()
        if now - self._ticked_at > HELD_UP_S and now - self._held_up_at > AGAIN_S:
            self._held_up_at = now
        self._ticked_at = now
        if now - self._held_up_at < CATCH_UP_S:
            return
        self._calls.poll(now)
        reading = self._device.read(now)
        self.diagnostics.trouble(self.name, reading.fault or None)
        for stage, age in reading.ages_ms.items():
            self.diagnostics.set(f"{stage}_ms", f"{age:.1f}")
        for service in reading.calls:
            self._ask(service, now)
        self._advance(reading, now)
        if now - self._shown_at >= SHOW_S:
            self._shown_at = now
            known = None if math.isnan(self._authority_ms) else self._authority_ms
            self._device.show(Shown(self._grant.authority or "not heard", self._grant.has(now), self._grant.operator,
                                    reading.fault or self._text, known))

    def _advance(self, reading: Reading, now: float) -> None:
        """Stream what is held, or nothing."""
        has_robot = self._grant.has(now)
        if reading.rewind is None:
            self._has_asked_back = False
        elif has_robot:
            self._go_back(reading.rewind, now)
        is_driving = has_robot and self._grant.authority == "teleop"
        if reading.hands is not None and reading.rewind is None and is_driving:
            self._stream(reading.hands, now)
            return
        self._drive.release()
        is_held = reading.hands is not None or reading.rewind is not None
        if not has_robot:
            self._clock_stamp.restart()
            if is_held:
                self._say(f"{self._whose()}; take over first")
        elif is_held and reading.rewind is None:
            self._say("on the way back; take over again to go on from here")

    def _stream(self, hands: Hands, now: float) -> None:
        """Publish the action with the time it is decided at; no new time, no new command."""
        if self._measured is None or now - self._measured[1] > FRESH_S:
            self._say("the robot does not say where it is (measured_action): nothing moves")
            return
        stamp = self._clock_stamp.take()
        if stamp is None:
            return
        action = self._drive.move(hands, self._measured[0], stamp)
        self._teleop_action.publish(conversions.action_message(action, stamp, self._rig, self.name))
        self.diagnostics.count("teleop_action")

    def _go_back(self, speed: float, now: float) -> None:
        """Ask for the way back once each time it is held, then say how fast."""
        if self._grant.authority == "teleop" and not self._has_asked_back and not self._awaits_back:
            self._has_asked_back = self._awaits_back = True
            self._ask("rewind", now)
        if self._grant.authority != "rewind" or (stamp := self._clock_stamp.take()) is None:
            return
        self._has_asked_back = True
        self._rewind_action.publish(conversions.path_speed_message(speed, stamp, self.name))
        self.diagnostics.count("rewind_action")

    def _ask(self, service: str, now: float) -> None:
        """Call a service; a stop ends the stream here and now, whatever authority answers."""
        if service in DRIVERS_ONLY and self._grant.is_driven and not self._grant.has(now):
            self._say(f"{service}: {self._whose()}; only who drives can ask for it")
            return
        if service == "stop":
            self._grant.revoke()
        elif service == "correct" and self._grant.authority == "rewind":
            service = "rewind"  # nothing is corrected on the way back: the button opens the hand that was closed here

        def answered(success: bool, text: str, _: float) -> None:
            if service == "take_over" and success:
                self._grant.give()
            elif service == "rewind":
                self._awaits_back = False
            self._say(f"{service}: {text}")

        self._calls.call(f"{self.name}/take_over" if service == "take_over" else service, now, answered)

    def _whose(self) -> str:
        if self._grant.operator not in ("", self.name):
            return f"{self._grant.operator} has the robot"
        return f"authority is {self._grant.authority or 'not heard'}"

    def _say(self, text: str) -> None:
        """Tell the person, on the edge."""
        if text != self._text:
            self._text = text
            self.get_logger().info(text)

    def destroy_node(self) -> None:
        """Let go of the device too."""
        self._device.close()
        super().destroy_node()
