"""A stream of hand poses as a teleoperation device: whatever VR bridge publishes geometry_msgs/PoseStamped.

In: teleop/left_pose, teleop/right_pose (30 Hz or more; any frame with x ahead, z up, turned by `yaw_deg` to the rig's),
the dead man as teleop/enable (std_msgs/Bool, repeated at least every 0.15 s) or as a button of /joy, and if wanted
teleop/left_gripper, teleop/right_gripper (std_msgs/Float32, 0 closed, 1 open; on the G1 they squeeze). Motion is
relative: it starts anew each time the dead man closes. Poses that come late, jump or are none are not followed.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import Joy
from std_msgs.msg import Bool, Float32

from controllers.rigs import Rig
from retake.ros import conversions
from retake.ros.realtime import TELEOP
from retake.ros.spin import run
from retake.teleop.device import FROM_OUTSIDE, DeviceParameters, TeleopDevice
from retake.teleop.hands import DeadMan, Device, Hands, Lateness, Reading, Shown
from retake.teleop.poses import Sample, checked_pose, has_jumped, turned

NAME = "pose_stream"
SIDES = ("left", "right")
SILENCE_S = 0.15
LATE_S = 0.25  # a pose that was under way for so much longer than the fastest one


@dataclass(frozen=True)
class Parameters(DeviceParameters):
    """Parameters of the pose stream."""

    yaw_deg: float = field(default=0.0, metadata={"description": "turns the poses' frame into the rig's, about z"})
    enable_button: int = field(default=-1, metadata={"description": "dead man: this button of /joy; -1: teleop/enable"})


class PoseStream(Device):
    """Fed with messages, read 80 times a second."""

    def __init__(self, yaw: float) -> None:
        """`yaw`: rad, from the poses' frame to the rig's."""
        self._yaw = yaw
        self._samples: dict[str, Sample] = {}
        self._frames: dict[str, str] = {}
        self._late = {side: Lateness() for side in SIDES}
        self._late_ms = 0.0
        self._opening: dict[str, float] = {}
        self._enable, self._enabled_at = False, -math.inf
        self._dead_man = DeadMan()
        self._fault = ""

    def feed_pose(self, side: str, values: list[float], frame: str, sent: float, now: float) -> None:
        """One pose; `sent`: its stamp in s.

        Raises:
            ValueError: no pose, no stamp, or late.
        """
        if sent <= 0.0:
            raise ValueError("without a stamp nobody can tell how old it is; stamp it when it is measured")
        pose = turned(checked_pose(values), self._yaw)
        late = self._late[side].of(sent, now, LATE_S)
        self._late_ms = 1e3 * late
        if late > LATE_S:
            raise ValueError(f"{1e3 * late:.0f} ms later than the fastest, allowed are {1e3 * LATE_S:.0f} ms")
        before = self._samples.get(side)
        if before is not None and now - before.at < SILENCE_S and (
            has_jumped(before.pose, pose) or frame != self._frames[side]
        ):
            self._break(f"the {side} hand jumped")
        self._samples[side], self._frames[side] = Sample(pose, now), frame

    def feed_enable(self, is_pressed: bool, now: float) -> None:
        """The dead man's control."""
        self._enable, self._enabled_at = is_pressed, now
        if not is_pressed:
            self._fault = ""

    def feed_opening(self, side: str, opening: float) -> None:
        """The grasp, 0 closed .. 1 open.

        Raises:
            ValueError: none.
        """
        if not 0.0 <= opening <= 1.0:
            raise ValueError(f"{opening} is not within 0 (closed) and 1 (open)")
        self._opening[side] = opening

    def read(self, now: float) -> Reading:
        """The hands that are heard and held at `now`."""
        fresh = {side: s.pose for side, s in self._samples.items() if now - s.at <= SILENCE_S}
        is_enabled = self._enable and now - self._enabled_at <= SILENCE_S
        was_enabled = self._enable and not is_enabled
        if was_enabled:
            self._break("teleop/enable went silent while it was held")
        if is_enabled and not fresh:
            self._break("no hand poses come")
        is_held = self._dead_man.update(is_enabled, bool(fresh) and not self._fault)
        ages = {"pose_late": self._late_ms} if fresh else {}
        fault = self._fault and f"{self._fault}: the robot holds; let the dead man go and hold it again"
        if not is_held:
            return Reading(fault=fault, ages_ms=ages)
        grasps = {side: 1.0 - opening for side, opening in self._opening.items() if side in fresh}
        return Reading(Hands(poses=fresh, grasps=grasps), fault=fault, ages_ms=ages)

    def show(self, shown: Shown) -> None:
        """What the person wears has its own screen."""

    def close(self) -> None:
        """The hardware is the bridge's."""

    def _break(self, why: str) -> None:
        """The dead man must be let go before anything moves again."""
        if self._enable:
            self._fault = why
            self._dead_man.update(False, False)


def make(node: TeleopDevice, rig: Rig, given: Parameters) -> PoseStream:
    """The poses behind the topics."""
    stream, refuse = PoseStream(math.radians(given.yaw_deg)), node.diagnostics.refuse

    def on_pose(side: str, message: PoseStamped) -> None:
        p, o, header = message.pose.position, message.pose.orientation, message.header
        try:
            stream.feed_pose(side, [p.x, p.y, p.z, o.x, o.y, o.z, o.w], header.frame_id,
                             conversions.stamp_ns(header.stamp) * 1e-9, time.monotonic())
        except ValueError as error:
            refuse(f"teleop/{side}_pose", str(error))

    def on_gripper(side: str, message: Float32) -> None:
        try:
            stream.feed_opening(side, message.data)
        except ValueError as error:
            refuse(f"teleop/{side}_gripper", str(error))

    def on_joy(message: Joy) -> None:
        if given.enable_button >= len(message.buttons):
            refuse("joy", f"{len(message.buttons)} buttons, enable_button is {given.enable_button}")
        else:
            stream.feed_enable(bool(message.buttons[given.enable_button]), time.monotonic())

    def on_enable(message: Bool) -> None:
        stream.feed_enable(message.data, time.monotonic())

    for side in SIDES:
        node.create_subscription(PoseStamped, f"teleop/{side}_pose", partial(on_pose, side), FROM_OUTSIDE)
        node.create_subscription(Float32, f"teleop/{side}_gripper", partial(on_gripper, side), FROM_OUTSIDE)
    if given.enable_button >= 0:
        node.create_subscription(Joy, "/joy", on_joy, FROM_OUTSIDE)
    else:
        node.create_subscription(Bool, "teleop/enable", on_enable, FROM_OUTSIDE)
    return stream


class TeleopPose(TeleopDevice):
    """The pose stream's node."""

    def __init__(self, **node_options: Any) -> None:
        super().__init__("teleop_pose", NAME, Parameters, make, **node_options)


def main(args: list[str] | None = None) -> int:
    """Run the node until interrupted."""
    return run(TeleopPose, args, priority=TELEOP)


if __name__ == "__main__":
    raise SystemExit(main())
