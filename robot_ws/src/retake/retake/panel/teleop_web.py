"""Web panel: shows the robot, its cameras and who commands it, and lets a person take over with draggable hands.

Subscribes joint_states, odometry, measured_action, reference, action_chunk, camera/*/color/image_raw/compressed (newest
only, while a browser is connected), authority and episode/event (latched). Publishes teleop_action at 50 Hz while a
person drives, and nothing otherwise: authority's lease holds the robot when the browser, the network or this node dies.
Also rewind_action while Rewind or Forward is held. Calls panel/take_over, hand_back, rewind, correct, stop,
release_stop, episode/success, episode/failure. Missing nodes show as "no data".
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import numpy as np
from rclpy.node import Node
from std_msgs.msg import Bool, Float64, String
from trajectory_msgs.msg import JointTrajectory

from controllers.arm_model import drawing_model
from controllers.model import G1Model
from controllers.rigs import Rig, rig_of
from retake.panel.desk import Desk
from retake.panel.gate import address, check_address
from retake.panel.inputs import Inputs
from retake.panel.page import BUTTONS, SWITCHES, UserEvent
from retake.panel.robot import DrawnRobot
from retake.panel.scene import PanelScene
from retake.panel.status import AgeLimit, Status, age_s, tilt_deg
from retake.ros import conversions, qos
from retake.ros.diagnostics import Diagnostics
from retake.ros.parameters import declare
from retake.ros.rising_stamp import RisingStamp
from retake.ros.service_calls import Calls
from retake.ros.spin import STEADY, run

PERIOD_S = 0.02  # teleop_action; everything slower is every n-th tick
DRAW_EVERY, IMAGES_EVERY, STATUS_EVERY = 3, 6, 12
FRESH_POSE_S = 0.2
FRESH_DISTANCE_S = 1.0
DEVICE = "panel"
SERVICES = {"take_over": f"{DEVICE}/take_over"}  # of a command, where it is not the command's own name
BASE = ("x", "y", "z", "qx", "qy", "qz", "qw")
AGES = {  # topic: what it is called, until when it is good, from when it is lost
    "joint_states": AgeLimit("Robot state", 0.1, 0.5),
    "action_chunk": AgeLimit("Policy chunk", 1.6, 3.2),
    "reference": AgeLimit("Reference", 0.2, 0.5),
}


@dataclass(frozen=True)
class Parameters:
    """Parameters of the panel."""

    robot: str = "g1"  # whose hands, sliders, cameras
    host: str = "127.0.0.1"  # address to listen on; beyond loopback a token is required
    port: int = 8080
    token: str = ""  # at least 16 characters, part of the address people open
    residual: bool = False  # a learnt residual is part of the graph
    visuals: str = ""  # folder with visuals.json and the meshes it names; empty draws a stick figure
    silence_s: float = 2.0  # a driver's browser that answers nothing for so long no longer drives


class TeleopWeb(Node):
    """Serves the panel; one timer drains the browsers' events, streams, draws."""

    def __init__(self) -> None:
        super().__init__("teleop_web")
        self.parameters = declare(self, Parameters)
        given = self.parameters
        check_address(given.host, given.port, given.token)
        self._rig = rig = rig_of(given.robot)
        robot = _drawn(rig, Path(given.visuals) if given.visuals else None)
        events: SimpleQueue[UserEvent] = SimpleQueue()
        self._scene = PanelScene(given.host, given.port, given.token, robot, rig.cameras, events,
                                 is_bolted=rig.arms is not None)
        self._diagnostics = Diagnostics(self)
        self._inputs = Inputs(self, rig.cameras)
        pictures = {_picture(name): AgeLimit(f"Camera {name}", 0.25, 1.0) for name in rig.cameras}
        self._ages = AGES | pictures
        self._calls = Calls(self, tuple(SERVICES.get(command, command) for command in (*BUTTONS, *SWITCHES)))
        self._desk = Desk(events, given.silence_s, lambda command, answered: self._calls.call(
            SERVICES.get(command, command), time.monotonic(), answered), rig, given.residual)
        self._authority: str | None = None
        self._episode = ""
        self._residual = {"weights": "", "switch": ""}  # as the topics said it
        self._home: tuple[float, float] | None = None  # distance from the training data, and when it was said, s
        self._pelvis: tuple[float, float] | None = None
        self._drawn = [rig.joint_names.index(name) for name in robot.joint_names]
        self._tick = 0
        self._clock_stamp = RisingStamp(self)
        self._teleop_action = self.create_publisher(JointTrajectory, "teleop_action", qos.SEND)
        self._rewind_action = self.create_publisher(JointTrajectory, "rewind_action", qos.SEND)
        self.create_subscription(String, "authority", self._on_authority, qos.LATCHED)
        self.create_subscription(String, "episode/event", self._on_episode, qos.LATCHED)
        self.create_subscription(String, "residual", self._on_residual, qos.LATCHED)
        self.create_subscription(Bool, "residual/enabled", self._on_switch, qos.LATCHED)
        self.create_subscription(Float64, "training_distance", self._on_distance, qos.NEWEST)
        # Steady, not ROS time: the panel must go on showing that /clock has stopped.
        self.create_timer(PERIOD_S, self._on_timer, clock=STEADY)
        self.get_logger().info(f"panel: {address(given.host, given.port, given.token)}")

    def _on_authority(self, message: String) -> None:
        self._authority = message.data

    def _on_episode(self, message: String) -> None:
        try:
            event = json.loads(message.data)
            self._episode = f"{event['episode']}: {event['event']}"
        except (ValueError, KeyError, TypeError) as error:
            self._diagnostics.refuse("episode/event", f"{message.data[:80]!r}: {error!r}")

    def _on_residual(self, message: String) -> None:
        try:
            told = json.loads(message.data)
            asks = ", asks its critics" if told["asks"] else ""
            self._residual["weights"] = f"{told['sha256'][:8]}, {told['version']} updates{asks}"
        except (ValueError, KeyError, TypeError) as error:
            self._diagnostics.refuse("residual", f"{message.data[:80]!r}: {error!r}")

    def _on_switch(self, message: Bool) -> None:
        self._residual["switch"] = "on" if message.data else "off"

    def _on_distance(self, message: Float64) -> None:
        self._home = message.data, time.monotonic()

    def _on_timer(self) -> None:
        now = time.monotonic()
        self._calls.poll(now)
        self._desk.drain(now)
        self._inputs.watch(bool(self._desk.pages))
        if not self._desk.pages:
            return
        self._tick += 1
        self._desk.update(self._authority or "gone", self._fresh_pose(now), now)
        self._stream(now)
        if self._tick % DRAW_EVERY == 0:
            self._draw(now)
        if self._tick % IMAGES_EVERY == 0:
            self._show_images(now)
        if self._tick % STATUS_EVERY == 0:
            self._show_status(now)

    def _fresh_pose(self, now: float) -> np.ndarray | None:
        """The robot's pose (dim,) while a granted session waits for it, None when it is too old to start from."""
        if not self._desk.session.is_waiting:
            return None
        age = self._age("measured_action", now)
        message = self._inputs.take("measured_action", now)
        if message is None or age is None or age > FRESH_POSE_S:
            return None
        try:
            return conversions.action_from(message, self._rig)
        except ValueError as error:
            self._diagnostics.refuse("measured_action", str(error))
            return None

    def _stream(self, now: float) -> None:
        """Publish the driver's targets, or the way along the path, with the time they are decided at; no new time, no
        new command."""
        action, speed = self._desk.action, self._desk.path_speed(now)
        if action is None and speed is None:
            self._clock_stamp.restart()
            return
        if (stamp_ns := self._clock_stamp.take()) is None:
            return
        if action is not None:
            self._teleop_action.publish(conversions.action_message(action, stamp_ns, self._rig, DEVICE))
            self._diagnostics.count("teleop_action")
        elif speed is not None:
            self._rewind_action.publish(conversions.path_speed_message(speed, stamp_ns, DEVICE))

    def _draw(self, now: float) -> None:
        state, odometry = self._inputs.take("joint_states", now), self._inputs.take("odometry", now)
        q = base = None
        try:
            if state is not None:
                q = conversions.by_name(state.name, state.position, self._rig.joint_names)[self._drawn]
            if odometry is not None:
                p, o = odometry.pose.pose.position, odometry.pose.pose.orientation
                base = conversions.by_name(BASE, [p.x, p.y, p.z, o.x, o.y, o.z, o.w], BASE)
                self._pelvis = p.z, tilt_deg(base[3:])
        except ValueError as error:
            self._diagnostics.refuse("joint_states or odometry", str(error))
        self._scene.pose_robot(q, base)

    def _show_images(self, now: float) -> None:
        for name in self._rig.cameras:
            message = self._inputs.take(_picture(name), now)
            if message is not None:
                self._scene.show_image(name, message.data.tobytes())

    def _show_status(self, now: float) -> None:
        if self.count_publishers("authority") == 0:
            self._authority = None  # what it said last no longer holds
        ages = tuple((limit, self._age(topic, now)) for topic, limit in self._ages.items())
        driver, home = self._desk.driver_name, self._home
        distance = home[0] if home is not None and now - home[1] < FRESH_DISTANCE_S else None
        residual = ", ".join(filter(None, self._residual.values())) if self._residual["weights"] else ""
        self._desk.show(lambda you: Status(self._authority, driver, you, ages, self._pelvis, self._episode, distance,
                                           residual))

    def _age(self, topic: str, now: float) -> float | None:
        arrival = self._inputs.newest(topic, now)
        if arrival is None:
            return None
        return age_s(arrival.stamp_ns, self.get_clock().now().nanoseconds, now - arrival.seen)


def _picture(camera: str) -> str:
    return f"camera/{camera}/color/image_raw/compressed"


def _drawn(rig: Rig, visuals: Path | None) -> DrawnRobot:
    """The robot as the browser draws it."""
    if rig.arms is None:
        return DrawnRobot(G1Model().model, visuals)
    model, prefixes = drawing_model(rig.arms)
    return DrawnRobot(model, visuals, prefixes)


def main(args: list[str] | None = None) -> int:
    """Run the node until interrupted; the exit code is 1 when it could not start."""
    return run(TeleopWeb, args)


if __name__ == "__main__":
    raise SystemExit(main())
