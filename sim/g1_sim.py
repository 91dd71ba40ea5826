"""Stands in for the G1's driver: physics, motors and sensors of one MuJoCo world with the g1_box task.

In: joint_command (500 Hz, each answers one state's stamp). Out, as the driver: joint_states, imu,
applied_joint_command (500 Hz, QoS STREAM), diagnostics 1 Hz. For the simulated graph: /clock (100 Hz), render_state
(15 Hz, to camera_sim, which answers `rendered`), ground_truth/task (10 Hz); services sim/reset, sim/run. No command for
100 ms: the motors damp. Until the first command of a run the robot hangs in its gantry. Lockstep: a step waits for the
command to its state and for the cameras; the first one after a reset waits for sim/run too.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from controllers import g1
from controllers.g1_controller import JointCommand
from retake import qos
from retake.conversions import NS_PER_S, stamp_ns
from retake.diagnostics import Diagnostics
from retake.lockstep import Awaited
from retake.parameters import declare
from retake.realtime import ROBOT
from retake.spin import STEADY, run
from retake.wire import DAMP, JointStateCodec
from sim.g1_box import G1BoxTask
from sim.g1_sim_outputs import CAMERA_NS, MS, Outputs
from sim.g1_world import START_TIME_S, G1World

STEP_NS = round(g1.CONTROL_DT * 1e9)
START_NS = round(START_TIME_S * 1e9)  # a multiple of every period; runs begin at multiples of it
LEASE_NS = g1.JOINT_COMMAND_LEASE_PERIODS * STEP_NS
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


class G1Sim(Node):
    """Steps the world; `_now` is the stamp of the state that was published last."""

    def __init__(self, **node_options: Any) -> None:
        super().__init__("g1_sim", **node_options)
        self._settings = declare(self, Parameters)
        self._world = G1World(noise=self._settings.noise, command_delay=self._settings.command_delay)
        self._task = G1BoxTask(self._world)
        self._codec = JointStateCodec(g1.JOINT_NAMES)
        self._seed = self._settings.seed - 1
        self._outputs = Outputs(self, self._world, self._task)
        self._diagnostics = Diagnostics(self)
        lockstep, awaits_cameras = self._settings.lockstep, self._settings.lockstep and self._settings.cameras
        self._controller = Awaited(self, "whole_body_controller", lockstep, self._diagnostics, self._go_on)
        self._cameras = Awaited(self, "camera_sim", awaits_cameras, self._diagnostics, self._go_on)
        commands = self.create_subscription(JointState, "joint_command", self._on_command, qos.NEWEST, raw=True)
        self._diagnostics.guard(commands, "joint_command")
        self.create_subscription(Time, "rendered", self._on_rendered, qos.STREAM)
        self.create_service(Trigger, "sim/reset", self._on_reset)
        self.create_service(Trigger, "sim/run", self._on_run)
        self._is_reset_asked = False
        self._is_held = False
        self._begin(START_NS, self._settings.seed)
        period = ASK_AGAIN_S if self._settings.lockstep else g1.CONTROL_DT
        self.create_timer(period, self._ask_again if self._settings.lockstep else self._keep_time, clock=STEADY)
        self.get_logger().info(f"started: {self._settings}")

    def _begin(self, start_ns: int, seed: int) -> None:
        """A new run of the world: the robot hangs in its gantry until the first command."""
        self._seed = seed
        self._task.randomise(seed)
        self._now = self._start = start_ns
        self._rendered_ns = start_ns - CAMERA_NS
        self._command: JointCommand | None = None
        self._command_ns = -1  # state that the newest command answers
        self._anchor = time.monotonic() - start_ns / NS_PER_S
        self._outputs.publish_state(self._now, self._now - self._start)

    # Inputs

    def _on_command(self, data: bytes) -> None:
        """Take a command that answers one of the states of the last 100 ms, each only once."""
        try:
            stamp, q_des, dq_des, tau_ff, gains = self._codec.decode(data)
        except ValueError as error:
            return self._diagnostics.refuse("joint_command", str(error))
        if not max(self._start, self._now - LEASE_NS) <= stamp <= self._now or (stamp - self._start) % STEP_NS:
            return self._diagnostics.refuse(
                "joint_command", f"{stamp} ns answers no state of the last {LEASE_NS / MS:.0f} ms"
            )
        if stamp <= self._command_ns:
            return self._diagnostics.refuse("joint_command", f"{stamp} ns is not newer than {self._command_ns} ns")
        if gains not in ("", DAMP):
            return self._diagnostics.refuse("joint_command", f"unknown gains {gains!r}, allowed are '' and {DAMP!r}")
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
        """Next seed, at the next multiple of 1.98 s that is at least 1 s ahead."""
        start = -(-(self._now + NS_PER_S) // START_NS) * START_NS
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
        is_camera_tick = (self._now - self._start) % CAMERA_NS == 0
        if is_camera_tick and self._rendered_ns < self._now - CAMERA_NS and self._cameras.should_wait():
            return
        self._step()

    def _ask_again(self) -> None:
        """Lockstep: before the first command the state is repeated; without the controller the world goes on alone."""
        if self._command_ns < 0:
            self._outputs.publish_state(self._now, self._now - self._start)
        elif self._command_ns != self._now and not self._controller.should_wait():
            for _ in range(round(ASK_AGAIN_S / g1.CONTROL_DT)):
                self._step()

    def _keep_time(self) -> None:
        """Real time: step until the world's clock has caught up with the wall's, or slips."""
        late = time.monotonic() - self._anchor - self._now / NS_PER_S
        if late > LATE_STEPS_MAX * g1.CONTROL_DT:
            self._anchor += late - g1.CONTROL_DT
            self._diagnostics.count("slip")
            late = g1.CONTROL_DT
        for _ in range(int(late / g1.CONTROL_DT)):
            self._step()

    def _step(self) -> None:
        """One control period with the newest command, damping once its lease has ended."""
        answered = self._now
        self._now += STEP_NS
        if self._command_ns >= 0:
            self._world.step(self._leased_command(answered))
        self._outputs.publish_state(self._now, self._now - self._start)
        self._outputs.publish_applied(answered)
        self._diagnostics.count("step")

    def _leased_command(self, now: int) -> JointCommand | None:
        is_over = now - self._command_ns > LEASE_NS
        self._diagnostics.trouble("lease", f"no joint_command for {LEASE_NS / MS:.0f} ms: damping" if is_over else None)
        return None if is_over else self._command


def main(args: list[str] | None = None) -> int:
    """Run the node until interrupted."""
    return run(G1Sim, args, priority=ROBOT)


if __name__ == "__main__":
    raise SystemExit(main())
