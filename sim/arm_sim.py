"""Stands in for arm_driver: physics, motors and sensors of one MuJoCo world with arms and one of their tasks.

In: joint_command (250 Hz, each answers one state's stamp). Out, as the driver: joint_states, applied_joint_command
(250 Hz, QoS STREAM), diagnostics 1 Hz. For the simulated graph: /clock (50 Hz), render_state (16.7 Hz, to camera_sim,
which answers `rendered`), ground_truth/task (10 Hz); services sim/reset, sim/run. No command for 100 ms: the arms hold
where they are and grip as they did; so they do until the first command of a run. Time and lockstep: sim/robot_sim.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState

from controllers import arm
from controllers.arm_controller import ArmSensors
from controllers.rigs import rig_of
from retake.ros import qos
from retake.ros.conversions import time_message
from retake.ros.realtime import WORLD
from retake.ros.spin import run
from retake.ros.wire import JointStateCodec
from sim.arm_world import ArmWorld
from sim.g1_sim_outputs import CLOCK_NS, Scene
from sim.robot_sim import Lease, Parameters, RobotSim
from sim.task_env import Task
from sim.tasks import task_spec


@dataclass(frozen=True)
class ArmParameters(Parameters):
    """Parameters of the simulated arms."""

    robot: str = "yam"
    task: str = "arm_pick"

    def __post_init__(self) -> None:
        super().__post_init__()
        rig, spec = rig_of(self.robot), task_spec(self.task)
        if spec.rig is not rig:
            raise ValueError(f"task {self.task} is for robot {spec.rig.name}, not {rig.name}; choose another of both")
        if rig.arms is None:
            raise ValueError(f"{rig.name} is no rig of arms; arm_sim moves only those")


class ArmOutputs:
    """The publishers of one world and task."""

    def __init__(self, node: Node, world: ArmWorld, task: Task) -> None:
        self._world = world
        self._codec = JointStateCodec(world.rig.joint_names)
        self._scene = Scene(node, world, task)
        self._joint_states = node.create_publisher(JointState, "joint_states", qos.SEND)
        self._applied = node.create_publisher(JointState, "applied_joint_command", qos.SEND)
        self._clock = node.create_publisher(Clock, "/clock", qos.STREAM)

    def publish_state(self, now: int, elapsed: int, sensors: ArmSensors) -> None:
        """The state at stamp `now`, `elapsed` ns after the run began; the controller's part goes out first."""
        self._joint_states.publish(self._codec.encode(now, sensors.q, sensors.dq, sensors.tau_est))
        if now % CLOCK_NS == 0:
            self._clock.publish(Clock(clock=time_message(now)))
        self._scene.publish(now, elapsed)

    def publish_applied(self, answered: int) -> None:
        """What the motors were given in the step after the state at stamp `answered`, after clamping."""
        applied = self._world.applied
        self._applied.publish(self._codec.encode(answered, applied.q_des, applied.dq_des, applied.tau_ff))


def _make_task(given: ArmParameters) -> Task:
    return task_spec(given.task).make(given.noise, given.command_delay)


class ArmSim(RobotSim):
    """Arms on a table."""

    def __init__(self, **node_options: Any) -> None:
        lease = Lease(arm.JOINT_COMMAND_LEASE_PERIODS, "holding", ("",))
        super().__init__("arm_sim", ArmParameters, lease, _make_task, ArmOutputs, **node_options)


def main(args: list[str] | None = None) -> int:
    """Run the node until interrupted."""
    return run(ArmSim, args, priority=WORLD)


if __name__ == "__main__":
    raise SystemExit(main())
