"""What g1_sim publishes at one stamp: what the hardware would measure, and what the simulated graph needs besides."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import Float64MultiArray, MultiArrayDimension, String

from controllers import g1
from controllers.g1_controller import Sensors
from retake.ros import qos
from retake.ros.conversions import time_message
from retake.ros.wire import ImuCodec, JointStateCodec
from sim.g1_world import G1World
from sim.task_env import Task

MS = 1_000_000  # ns
CLOCK_NS, JUDGE_NS, TASK_NS = 10 * MS, 20 * MS, 100 * MS


class Scene:
    """What no hardware can measure: for the drawing process, the evaluator and the recorder."""

    def __init__(self, node: Node, world: Any, task: Task) -> None:
        self._world, self._task = world, task
        self._camera_ns = round(task.rig.camera_dt * 1e9)
        self._render_state = node.create_publisher(Float64MultiArray, "render_state", qos.STREAM)
        self._ground_truth = node.create_publisher(String, "ground_truth/task", qos.SEND)

    def publish(self, now: int, elapsed: int) -> None:
        """What is due at stamp `now`, `elapsed` ns after the run began."""
        if elapsed % self._camera_ns == 0:
            self._render_state.publish(_render_message(now, self._world.render_state()))
        if elapsed % JUDGE_NS == 0:
            self._task.update()
        if elapsed % TASK_NS == 0:
            truth = self._task.ground_truth() | {"stamp_ns": now}
            self._ground_truth.publish(String(data=json.dumps(truth)))


class Outputs:
    """The publishers of one world and task."""

    def __init__(self, node: Node, world: G1World, task: Task) -> None:
        self._world = world
        self._codec, self._imu_codec = JointStateCodec(g1.JOINT_NAMES), ImuCodec(g1.IMU_LINK)
        self._scene = Scene(node, world, task)
        self._joint_states = node.create_publisher(JointState, "joint_states", qos.SEND)
        self._imu = node.create_publisher(Imu, "imu", qos.SEND)
        self._applied = node.create_publisher(JointState, "applied_joint_command", qos.SEND)
        self._clock = node.create_publisher(Clock, "/clock", qos.STREAM)

    def publish_state(self, now: int, elapsed: int, sensors: Sensors) -> None:
        """The state at stamp `now`, `elapsed` ns after the run began; the controller's part goes out first."""
        self._imu.publish(self._imu_codec.encode(now, sensors.quat_xyzw, sensors.gyro, sensors.accel))
        self._joint_states.publish(self._codec.encode(now, sensors.q, sensors.dq, sensors.tau_est))
        if now % CLOCK_NS == 0:
            self._clock.publish(Clock(clock=time_message(now)))
        self._scene.publish(now, elapsed)

    def publish_applied(self, answered: int) -> None:
        """What the motors were given in the step after the state at stamp `answered`, after clamping."""
        applied = self._world.applied
        self._applied.publish(self._codec.encode(answered, applied.q_des, applied.dq_des, applied.tau_ff))


def _render_message(stamp: int, state: np.ndarray) -> Float64MultiArray:
    """A render state (n,) with its stamp in the label of its only dimension."""
    message = Float64MultiArray(data=state.tolist())
    message.layout.dim = [MultiArrayDimension(label=str(stamp), size=len(state), stride=len(state))]
    return message
