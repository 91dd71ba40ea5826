"""How every simulated robot runs: states out, commands in, in real time or in lockstep. The nodes g1_sim and arm_sim
are this with their own world and outputs.

In lockstep a step waits for the command to its state and for the cameras; the first one after a reset waits for sim/run
too. In real time the world steps with the wall's clock and slips when it is late.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from builtin_interfaces.msg import Time
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from controllers.joint_command import JointCommand
from retake.ros import qos
from retake.ros.conversions import NS_PER_S, stamp_ns
from retake.ros.diagnostics import Diagnostics
from retake.ros.lockstep import Awaited
from retake.ros.parameters import declare
from retake.ros.spin import STEADY
from retake.ros.wire import DAMP, JointStateCodec
from sim.task_env import Task

MS = 1_000_000  # ns
LATE_STEPS_MAX = 10  # real time: more than so many steps late, and the clock of the world slips instead
ASK_AGAIN_S = 0.5  # lockstep: a state that nobody has answered yet is published again


@dataclass(frozen=True)
class Parameters:
    """Parameters of the simulated robot."""

    seed: int = 0  # of the first run; each reset takes the next
    lockstep: bool = False  # step only when controller and cameras have answered
    cameras: bool = True  # lockstep: camera_sim is part of the graph
    noise: bool = False  # sensor noise
    command_delay: int = 0  # control steps

    def __post_init__(self) -> None:
        if self.seed < 0 or not 0 <= self.command_delay <= 10:
            raise ValueError(f"seed {self.seed} must be 0 or more, command_delay {self.command_delay} in 0..10")


class Outputs(Protocol):
    """The publishers of one world and task."""

    def publish_state(self, now: int, elapsed: int, measured: Any) -> None: ...
    def publish_applied(self, answered: int) -> None: ...


@dataclass(frozen=True)
class Lease:
    """Without a joint_command for so many periods the motors do what `then` says."""

    periods: int
    then: str
    gains: tuple[str, ...]  # names that a command may ask for


class RobotSim(Node):
    """Steps the world; `_now` is the stamp of the state that was published last."""

    def __init__(
        self, name: str, kind: type[Parameters], lease: Lease, make_task: Callable[[Any], Task],
        make_outputs: Callable[[Node, Any, Task], Outputs], **node_options: Any,
    ) -> None:  # fmt: skip
        super().__init__(name, **node_options)
        self._settings = declare(self, kind)
        self._task = make_task(self._settings)
        self._world, self._rig, self._lease = self._task.world, self._task.rig, lease
        self._dt = self._rig.control_dt
        self._step_ns, self._camera_ns = round(self._dt * 1e9), round(self._rig.camera_dt * 1e9)
        self._lease_ns, self._grid_ns = lease.periods * self._step_ns, round(self._world.start_time_s * 1e9)
        self._codec = JointStateCodec(self._rig.joint_names)
        self._seed = self._settings.seed - 1
        self._outputs = make_outputs(self, self._world, self._task)
        self._diagnostics = Diagnostics(self)
        lockstep, awaits_cameras = self._settings.lockstep, self._settings.lockstep and self._settings.cameras
        self._controller = Awaited(self, self._rig.controller, lockstep, self._diagnostics, self._go_on)
        self._cameras = Awaited(self, "camera_sim", awaits_cameras, self._diagnostics, self._go_on)
        commands = self.create_subscription(JointState, "joint_command", self._on_command, qos.NEWEST, raw=True)
        self._diagnostics.guard(commands, "joint_command")
        self.create_subscription(Time, "rendered", self._on_rendered, qos.STREAM)
        self.create_service(Trigger, "sim/reset", self._on_reset)
        self.create_service(Trigger, "sim/run", self._on_run)
        self._is_reset_asked = False
        self._is_held = False
        self._begin(self._grid_ns, self._settings.seed)
        period = ASK_AGAIN_S if lockstep else self._dt
        self.create_timer(period, self._ask_again if lockstep else self._keep_time, clock=STEADY)
        self.get_logger().info(f"started: {self._settings}")

    def _begin(self, start_ns: int, seed: int) -> None:
        """A new run of the world: the robot is held until the first command."""
        self._seed = seed
        self._controller.restart()
        self._cameras.restart()
        self._task.randomise(seed)
        self._now = self._start = start_ns
        self._rendered_ns = start_ns - self._camera_ns
        self._command: JointCommand | None = None
        self._command_ns = -1  # state that the newest command answers
        self._anchor = time.monotonic() - start_ns / NS_PER_S
        self._publish_state()

    # Inputs

    def _on_command(self, data: bytes) -> None:
        """Take a command that answers one of the states of the last 100 ms, each only once."""
        try:
            stamp, q_des, dq_des, tau_ff, gains = self._codec.decode(data)
        except ValueError as error:
            return self._diagnostics.refuse("joint_command", str(error))
        is_answer = max(self._start, self._now - self._lease_ns) <= stamp <= self._now
        if not is_answer or (stamp - self._start) % self._step_ns:
            return self._diagnostics.refuse(
                "joint_command", f"{stamp} ns answers no state of the last {self._lease_ns / MS:.0f} ms"
            )
        if stamp <= self._command_ns:
            return self._diagnostics.refuse("joint_command", f"{stamp} ns is not newer than {self._command_ns} ns")
        if gains not in self._lease.gains:
            allowed = " and ".join(repr(name) for name in self._lease.gains)
            return self._diagnostics.refuse("joint_command", f"unknown gains {gains!r}, allowed are {allowed}")
        self._command, self._command_ns = JointCommand(q_des, dq_des, tau_ff, damp=gains == DAMP), stamp
        if stamp == self._now:
            self._controller.answered()
            if self._settings.lockstep:
                self._go_on()

    def _on_rendered(self, message: Time) -> None:
        self._rendered_ns = max(self._rendered_ns, stamp_ns(message))
        self._cameras.answered()
        if self._settings.lockstep:
            self._go_on()

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Next seed, at the next multiple of the world's start time that is at least 1 s ahead."""
        start = -(-(self._now + NS_PER_S) // self._grid_ns) * self._grid_ns
        seed = self._seed + 1 if self._is_reset_asked else self._settings.seed
        self._is_reset_asked = True
        self._begin(start, seed)
        self._is_held = self._settings.lockstep
        response.success, response.message = True, json.dumps({"seed": seed, "stamp_ns": start})
        self.get_logger().info(f"reset: {response.message}")
        return response

    def _on_run(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Lockstep: let the world go on after a reset; what was set up meanwhile applies from its first step."""
        self._is_held, response.success = False, True
        self._go_on()
        return response

    # Time

    def _go_on(self) -> None:
        """Lockstep: step when everybody has answered this state; the steps that follow come with the answers."""
        if self._is_held or self._command_ns < 0 or (self._command_ns != self._now and self._controller.should_wait()):
            return
        is_camera_tick = (self._now - self._start) % self._camera_ns == 0
        if is_camera_tick and self._rendered_ns < self._now - self._camera_ns and self._cameras.should_wait():
            return
        self._step()

    def _ask_again(self) -> None:
        """Lockstep: before the first command the state is repeated; without the controller the world goes on alone."""
        if self._command_ns < 0:
            self._outputs.publish_state(self._now, self._now - self._start, self._measured)
        elif self._command_ns != self._now and not self._controller.should_wait():
            for _ in range(round(ASK_AGAIN_S / self._dt)):
                self._step()

    def _keep_time(self) -> None:
        """Real time: step until the world's clock has caught up with the wall's, or slips."""
        late = time.monotonic() - self._anchor - self._now / NS_PER_S
        if late > LATE_STEPS_MAX * self._dt:
            self._anchor += late - self._dt
            self._diagnostics.count("slip")
            late = self._dt
        for _ in range(int(late / self._dt)):
            self._step()

    def _step(self) -> None:
        """One control period with the newest command, none once its lease has ended."""
        answered = self._now
        self._now += self._step_ns
        if self._command_ns >= 0:
            self._world.step(self._leased_command(answered))
        self._publish_state()
        self._outputs.publish_applied(answered)
        self._diagnostics.count("step")

    def _publish_state(self) -> None:
        """Measure once for each stamp: a state that is repeated has the noise it had, so runs stay equal bit by bit."""
        self._measured = self._world.sensors()
        self._outputs.publish_state(self._now, self._now - self._start, self._measured)

    def _leased_command(self, now: int) -> JointCommand | None:
        is_over = now - self._command_ns > self._lease_ns
        text = f"no joint_command for {self._lease_ns / MS:.0f} ms: {self._lease.then}"
        self._diagnostics.trouble("lease", text if is_over else None)
        return None if is_over else self._command
