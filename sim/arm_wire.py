"""Arms at the end of their own CAN cables: emulated motors whose joints MuJoCo moves, for arm_driver in real time.

On CAN (python-can; by default multicast that stays on this machine): DM motors as sim/dm_emulator.py has them. On ROS,
for the graph around it and never for the driver: render_state (16.7 Hz), ground_truth/task (10 Hz), diagnostics;
services sim/reset, sim/run. A reset is an arm that was switched off: silence, then motors that are off, and a person
who calls the driver's clear_errors.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from std_srvs.srv import Trigger

from controllers.rigs import rig_of
from retake.ros.conversions import NS_PER_S
from retake.ros.diagnostics import Diagnostics
from retake.ros.parameters import declare
from retake.ros.realtime import WORLD
from retake.ros.spin import STEADY, run
from sim.dm_emulator import EmulatedArms
from sim.g1_sim_outputs import Scene
from sim.tasks import task_spec

GRID_NS = 20_000_000  # ground truth and pictures fall on it
SILENCE_S = 0.8  # longer than the gap that tells everybody of another world
TASKS = ("arm_pick", "arm_table")
MULTICAST = "239.74.163.2,239.74.163.3"


@dataclass(frozen=True)
class Parameters:
    """Parameters of the emulated arms."""

    robot: str = "yam"
    task: str = "arm_pick"
    seed: int = 0  # of the first run; each reset takes the next
    interface: str = "udp_multicast"
    can: str = MULTICAST  # one bus per arm, comma-separated; more than needed do no harm

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ValueError(f"task {self.task} cannot begin on the wire, where grippers open first to find their "
                             f"zero; allowed: {', '.join(TASKS)}")
        if task_spec(self.task).rig is not rig_of(self.robot):
            raise ValueError(f"task {self.task} is for robot {task_spec(self.task).rig.name}, not {self.robot}")


class ArmWire(Node):
    """Publishes what goes on in the world that EmulatedArms runs in its own thread."""

    def __init__(self, **node_options: Any) -> None:
        super().__init__("arm_wire", **node_options)
        given = declare(self, Parameters)
        self._task = task_spec(given.task).make(False, 0)
        self._task.randomise(given.seed)
        arms = self._task.rig.arms
        buses = [bus.strip() for bus in given.can.split(",")][: len(arms.mounts) if arms else 0]
        self._arms = EmulatedArms(self._task.world, given.interface, buses)
        self._scene = Scene(self, self._task.world, self._task)
        self._diagnostics = Diagnostics(self)
        self._seed, self._start = given.seed, self._now()
        self._is_reset_asked = False
        self._on_again_s: float | None = None  # when power comes back, steady
        self._clear = self.create_client(Trigger, "clear_errors")
        self.create_service(Trigger, "sim/reset", self._on_reset)
        self.create_service(Trigger, "sim/run", self._on_run)
        self._arms.start()
        self._last = 0
        self.create_timer(GRID_NS / 4e9, self._tick, clock=STEADY)
        self.get_logger().info(f"started: {given}")

    def _now(self) -> int:
        """The wall clock, ns, on the grid."""
        return int(self.get_clock().now().nanoseconds // GRID_NS * GRID_NS)

    def _tick(self) -> None:
        now = self._now()
        if self._on_again_s is not None and time.monotonic() > self._on_again_s:
            self._on_again_s = None
            with self._arms.lock:
                for chain in self._arms.chains:
                    chain.switch_on()
            self._clear.call_async(Trigger.Request())
        if now <= self._last or self._on_again_s is not None:
            return
        self._last = now
        with self._arms.lock:
            self._scene.publish(now, now - self._start)
        self._diagnostics.count("tick")

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Next seed: power off, things in their new places, power on."""
        self._seed = self._seed + 1 if self._is_reset_asked else self._seed
        self._is_reset_asked = True
        with self._arms.lock:
            for chain in self._arms.chains:
                chain.switch_off()
            self._task.randomise(self._seed)
        self._on_again_s = time.monotonic() + SILENCE_S
        self._start = self._now() + round(SILENCE_S * NS_PER_S) // GRID_NS * GRID_NS
        response.success, response.message = True, json.dumps({"seed": self._seed, "stamp_ns": self._start})
        self.get_logger().info(f"reset: {response.message}")
        return response

    def _on_run(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """The world always runs."""
        response.success = True
        return response


def main(args: list[str] | None = None) -> int:
    """Run the node until interrupted."""
    return run(ArmWire, args, priority=WORLD)


if __name__ == "__main__":
    raise SystemExit(main())
