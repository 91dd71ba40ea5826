"""A robot and an authority as far as the panel can tell: real messages on the real topics, no physics, no policy.

The measured pose walks to the newest teleop_action; services switch the authority as the real node does. Run as a
program it is a load for measuring the panel: `python stub_graph.py 500`.
"""

from __future__ import annotations

import sys
import threading
import time

import cv2
import numpy as np
import rclpy
from nav_msgs.msg import Odometry
from rclpy.experimental import EventsExecutor
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, JointState
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from controllers import g1
from controllers.rigs import G1
from retake.ros import conversions, qos
from retake.ros.spin import STEADY

AFTER = {"panel/take_over": "teleop", "rewind": "rewind", "hand_back": "policy", "stop": "stopped",
         "release_stop": "none"}
EPISODE = ("episode/success", "episode/failure")


class StubGraph(Node):
    """Publishes what a robot would, remembers what it was asked."""

    def __init__(self, state_hz: int = 100, services: tuple[str, ...] = (*AFTER, *EPISODE)) -> None:
        super().__init__("stub_graph", namespace="g1")
        self.called: list[str] = []
        self.actions: list[np.ndarray] = []
        self._ticks = 0
        self._hz = state_hz
        self._states = self.create_publisher(JointState, "joint_states", qos.STREAM)
        self._odometry = self.create_publisher(Odometry, "odometry", qos.STREAM)
        self._measured = self.create_publisher(JointTrajectory, "measured_action", qos.STREAM)
        self._reference = self.create_publisher(JointTrajectory, "reference", qos.STREAM)
        self._authority = self.create_publisher(String, "authority", qos.LATCHED)
        self._residual = self.create_publisher(String, "residual", qos.LATCHED)
        self._switch = self.create_publisher(Bool, "residual/enabled", qos.LATCHED)
        self._cameras = [self.create_publisher(CompressedImage, f"camera/{name}/color/image_raw/compressed", qos.CAMERA)
                         for name in ("head", "chest")]
        for service in services:
            self.create_service(Trigger, service, lambda _, response, name=service: self._serve(name, response))
        self.create_subscription(JointTrajectory, "teleop_action", self._on_action, qos.STREAM)
        self.create_subscription(JointTrajectory, "rewind_action", self._on_rewind, qos.STREAM)
        self.begin()
        self.create_timer(1.0 / state_hz, self._tick, clock=STEADY)

    def begin(self) -> None:
        """As if started anew: the policy acts, nobody called."""
        self.called, self.actions, self.pose, self.refuse = [], [], g1.HOME_ACTION.copy(), ""
        self.path_speeds: list[float] = []
        self._authority.publish(String(data="policy"))

    def tell_residual(self, text: str, is_on: bool) -> None:
        """As the residual does of its weights and its switch."""
        self._residual.publish(String(data=text))
        self._switch.publish(Bool(data=is_on))

    def _on_action(self, message: JointTrajectory) -> None:
        self.actions.append(conversions.action_from(message, G1))

    def _on_rewind(self, message: JointTrajectory) -> None:
        self.path_speeds.append(conversions.path_speed_from(message))

    def _serve(self, name: str, response: Trigger.Response) -> Trigger.Response:
        self.called.append(name)
        response.success, response.message = not self.refuse, self.refuse
        if response.success and name in AFTER:
            self._authority.publish(String(data=AFTER[name]))
        return response

    def _tick(self) -> None:
        self._ticks += 1
        now = self.get_clock().now()
        q = g1.Q_HOME + 0.05 * np.sin(time.monotonic())
        state = JointState(name=g1.JOINT_NAMES, position=q.tolist(), velocity=np.zeros(29).tolist(),
                           effort=np.zeros(29).tolist())
        state.header.stamp = now.to_msg()
        self._states.publish(state)
        odometry = Odometry()
        odometry.header.stamp = now.to_msg()
        odometry.pose.pose.position.z = self.pose[g1.BASE_HEIGHT]
        odometry.pose.pose.orientation.w = 1.0
        self._odometry.publish(odometry)
        if self._ticks % (self._hz // 50) == 0:
            if self.actions:
                self.pose = self.pose + 0.2 * (self.actions[-1] - self.pose)
            self._measured.publish(conversions.action_message(self.pose, now.nanoseconds, G1))
            self._reference.publish(conversions.action_message(self.pose, now.nanoseconds, G1))
        if self._ticks % (self._hz // 15) == 0:
            for index, camera in enumerate(self._cameras):
                picture = np.full((240, 320, 3), 40, np.uint8)
                cv2.putText(picture, f"{('head', 'chest')[index]} {self._ticks}", (20, 130), 0, 1, (255, 255, 255), 2)
                image = CompressedImage(format="jpeg", data=cv2.imencode(".jpg", picture)[1].tobytes())
                image.header.stamp = now.to_msg()
                camera.publish(image)


class RunningStub:
    """A StubGraph in its own thread and ROS context, until `close`."""

    def __init__(self, state_hz: int = 100, **arguments) -> None:
        rclpy.init()
        self.node = StubGraph(state_hz, **arguments)
        self._executor = EventsExecutor()
        self._executor.add_node(self.node)
        self._going = True
        self._thread = threading.Thread(target=self._spin, name="stub_graph")
        self._thread.start()

    def _spin(self) -> None:
        while self._going:
            self._executor.spin_once(timeout_sec=0.2)

    def close(self) -> None:
        """Stop the thread, then ROS."""
        self._going = False
        self._thread.join()
        self.node.destroy_node()  # or its latched topic would live on in this process
        rclpy.try_shutdown()


if __name__ == "__main__":
    stub = RunningStub(int(sys.argv[1]))
    try:
        while rclpy.ok():  # until SIGINT or SIGTERM
            time.sleep(0.2)
    finally:
        stub.close()
