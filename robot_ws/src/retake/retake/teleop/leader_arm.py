"""A YAM with a handle as a teleoperation device: what a person does with it, the robot's hand does.

Out: teleop_action (50 Hz) while teleop has authority and the dead man's button of a handle is held, and nothing
otherwise: authority's lease then holds the robot. In: authority, measured_action. The leader carries itself; it has no
position of its own to go to. Each press of the button begins where the robot's hand was left; the gripper stays as it
is until the trigger has passed it. A handle's second button takes over; while teleop has authority it rewinds as long
as it is held (rewind_action -1), and the dead man's button then goes on from there. diagnostics 1 Hz. A motor, the
handle or the bus that fails: the stream ends.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rclpy.node import Node
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from controllers import arm, rotations
from controllers.arm_model import ArmModel
from controllers.rigs import Rig, rig_of
from retake.arms.dm_bus import BusError, MotorBus
from retake.arms.link import ArmLink
from retake.errors import UserError
from retake.ros import conversions, qos
from retake.ros.diagnostics import Diagnostics
from retake.ros.parameters import declare
from retake.ros.rising_stamp import RisingStamp
from retake.ros.service_calls import Calls
from retake.ros.spin import STEADY, run

PERIOD_S = 0.02
FRESH_S = 0.1  # older readings of the leader are not sent
HANDLE_S = 0.002  # of a 4 ms cycle
DEVICE = "leader_arm"
TAKE_OVER = f"{DEVICE}/take_over"
TRIGGER_STEP = 0.05  # of the opening: the encoder's noise must not count as a person's wish


@dataclass(frozen=True)
class Parameters:
    """Parameters of the leader arm."""

    robot: str = field(default="yam", metadata={"description": "the rig that follows; one leader for each of its arms"})
    interface: str = field(default="socketcan", metadata={"description": "python-can's name for the kind of bus"})
    can: str = field(default="can1", metadata={"description": "one bus per leader, comma-separated, left first"})


@dataclass(frozen=True)
class Reading:
    """One leader: joints (6,) rad, opening that its trigger asks for, whether the dead man's button is held."""

    q: np.ndarray
    opening: float
    is_held: bool
    is_second_held: bool
    at_s: float


class Leaders(threading.Thread):
    """Talks to the leaders 250 times a second; writes `readings` and `refusal`, which others read."""

    def __init__(self, rig: Rig, links: list[ArmLink]) -> None:
        super().__init__(name="leaders", daemon=True)
        assert rig.arms is not None
        self._links, self._model = links, ArmModel(rig.arms)
        self.readings: list[Reading | None] = [None] * len(links)
        self.refusal: UserError | None = None
        self.stop = threading.Event()

    def run(self) -> None:
        """Check and enable, then let the leaders float until `stop` or until something fails."""
        try:
            for link in self._links:
                link.check()
                if link.bus.handle() is None:
                    raise BusError(f"the handle on {link.bus.channel} does not answer; plug it in: without its button "
                                   "nobody can let go")
                link.enable(clear_errors=False)
            while not self.stop.is_set():
                started = time.monotonic()
                self._cycle()
                time.sleep(max(0.0, arm.CONTROL_DT - (time.monotonic() - started)))
        except UserError as error:
            self.refusal = error
        finally:
            for link in self._links:
                link.bus.close()

    def _cycle(self) -> None:
        q = np.concatenate([link.q for link in self._links])
        zero = np.zeros(len(q))
        gravity = self._model.inverse_dynamics(q, zero, zero)
        for k, link in enumerate(self._links):
            link.exchange(link.q, np.zeros(6), gravity[self._model.joints[k]], np.zeros(6), arm.LEADER_KD)
            if problem := link.problem():
                raise BusError(problem.replace(", then call clear_errors", ", then start again"))
            handle = link.bus.handle(HANDLE_S)
            if handle is not None and link.is_fresh:
                trigger, buttons = handle
                opening = 1.0 - round(abs(trigger) / arm.HANDLE_TURN / TRIGGER_STEP) * TRIGGER_STEP
                now = time.monotonic()
                self.readings[k] = Reading(link.q.copy(), min(max(opening, 0.0), 1.0), *buttons, now)


class Grasp:
    """One hand: its pose follows the leader while the button is held, relative to where both were at the press."""

    def __init__(self, pose: np.ndarray, gripper: float) -> None:
        """Starts at the robot's own pose (7,) and opening."""
        self.pose, self.gripper = pose, gripper
        self._from: tuple[np.ndarray, np.ndarray] | None = None  # leader's pose and ours at the press
        self._above: bool | None = None  # the trigger asked for more than the gripper had; None: it follows

    def follow(self, leader: np.ndarray, opening: float, is_held: bool) -> None:
        """`leader` (7,): the leader's hand."""
        if not is_held:
            self._from = None
            return
        if self._from is None:
            self._from, self._above = (leader, self.pose), opening > self.gripper
        before, ours = self._from
        turn = rotations.multiply(leader[3:], rotations.conjugate(before[3:]))
        self.pose = np.concatenate([ours[:3] + leader[:3] - before[:3], rotations.multiply(turn, ours[3:])])
        has_passed = self._above is None or (opening > self.gripper) is not self._above
        if has_passed or abs(opening - self.gripper) < TRIGGER_STEP:
            self._above, self.gripper = None, opening


class LeaderArm(Node):
    """Reads the leaders, publishes what the dead man's buttons allow."""

    def __init__(self, **node_options: Any) -> None:
        super().__init__("leader_arm", **node_options)
        given = declare(self, Parameters)
        self._rig = rig = rig_of(given.robot)
        buses = [name.strip() for name in given.can.split(",") if name.strip()]
        if rig.arms is None or rig.arms.description is not arm.YAM or len(buses) != len(rig.arms.mounts):
            raise ValueError(f"robot {rig.name} with can:={given.can}: allowed are rigs of YAM arms, one bus per arm")
        self._model = ArmModel(rig.arms)
        names = tuple(f"leader {joint}" for joint in arm.YAM.joints)
        self._leaders = Leaders(rig, [ArmLink(MotorBus(given.interface, bus), names) for bus in buses])
        self._grasps: list[Grasp] = []  # while teleop has authority
        self._authority, self._clock_stamp = "", RisingStamp(self)
        self._measured: np.ndarray | None = None  # the pose the robot has, (dim,)
        self._buttons = (False, False)  # of the tick before: dead man's, second
        self._calls = Calls(self, (TAKE_OVER, "rewind"))
        self._teleop_action = self.create_publisher(JointTrajectory, "teleop_action", qos.SEND)
        self._rewind_action = self.create_publisher(JointTrajectory, "rewind_action", qos.SEND)
        self._diagnostics = Diagnostics(self)
        self.create_subscription(String, "authority", self._on_authority, qos.LATCHED)
        self.create_subscription(JointTrajectory, "measured_action", self._on_measured, qos.NEWEST)
        self.create_timer(PERIOD_S, self._tick, clock=STEADY)
        self._leaders.start()
        self.get_logger().info(f"started: {given}")

    def _on_authority(self, message: String) -> None:
        self._authority = message.data
        self._grasps = []

    def _on_measured(self, message: JointTrajectory) -> None:
        try:
            self._measured = conversions.action_from(message, self._rig)
        except ValueError as error:
            self._diagnostics.refuse("measured_action", str(error))

    def _tick(self) -> None:
        if self._leaders.refusal is not None:
            raise self._leaders.refusal
        readings = [r for r in self._leaders.readings if r is not None and time.monotonic() - r.at_s < FRESH_S]
        is_complete = len(readings) == len(self._leaders.readings)
        self._diagnostics.trouble("leader", None if is_complete else "the leader does not answer: the stream has ended")
        self._calls.poll(time.monotonic())
        if not is_complete:
            return
        self._press(any(r.is_held for r in readings), any(r.is_second_held for r in readings))
        if self._authority != "teleop" or self._measured is None:
            return
        self._grasps = self._grasps or self._begin(self._measured)
        R, p = self._model.forward(np.concatenate([reading.q for reading in readings]))
        for k, (grasp, reading) in enumerate(zip(self._grasps, readings, strict=True)):
            grasp.follow(np.concatenate([p[k], rotations.from_matrix(R[k])]), reading.opening, reading.is_held)
        if self._buttons[0] and (stamp := self._clock_stamp.take()) is not None:
            action = np.concatenate([np.append(grasp.pose, grasp.gripper) for grasp in self._grasps])
            action = self._rig.layout.validated(action)
            self._teleop_action.publish(conversions.action_message(action, stamp, self._rig, DEVICE))
            self._diagnostics.count("teleop_action")

    def _press(self, dead_man: bool, second: bool) -> None:
        """What the buttons ask for besides moving the hand."""
        begins = dead_man and not self._buttons[0], second and not self._buttons[1]
        self._buttons = dead_man, second
        if begins[1] and self._authority == "teleop":
            self._ask("rewind")
        elif (begins[1] and self._authority != "rewind") or (begins[0] and self._authority == "rewind"):
            self._ask(TAKE_OVER)
        if second and self._authority == "rewind" and (stamp := self._clock_stamp.take()) is not None:
            self._rewind_action.publish(conversions.path_speed_message(-1.0, stamp, DEVICE))

    def _ask(self, service: str) -> None:
        def answered(success: bool, text: str, _now: float) -> None:
            self.get_logger().info(f"{service}: {text}" if success else f"{service} refused: {text}")

        self._calls.call(service, time.monotonic(), answered)

    def _begin(self, measured: np.ndarray) -> list[Grasp]:
        hands = measured.reshape(len(self._leaders.readings), 8)
        return [Grasp(hand[:7].copy(), float(hand[7])) for hand in hands]

    def destroy_node(self) -> None:
        """End the thread; the leaders' motors then damp by their own timeout."""
        self._leaders.stop.set()
        self._leaders.join(timeout=1.0)
        super().destroy_node()


def main(args: list[str] | None = None) -> int:
    """Run the node until interrupted."""
    return run(LeaderArm, args)


if __name__ == "__main__":
    raise SystemExit(main())
