"""A G1 at the end of its own cable: MuJoCo behind rt/lowstate, rt/lowcmd, rt/arm_sdk and the robot's services.

On DDS: what sim.g1_wire_robot says and hears, 500 Hz in real time, for g1_driver or any program written against
Unitree's SDK. On ROS, for the graph around it and never for the driver: render_state (15 Hz), ground_truth/task
(10 Hz), diagnostics; services sim/reset, sim/run, sim/gantry/hang, sim/gantry/lower, sim/gantry/remove; in: sim/remote
(sensor_msgs/Joy: 4 axes lx ly rx ry, 16 buttons in the order of retake.unitree.remote.BUTTONS; let go 0.5 s after the
last message). With `crew` somebody stands by: holds the robot after a reset, presses START and A, lets go when its
motors hold it. A reset is a robot that was switched off: silence, then a state from the new world.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import Joy
from std_srvs.srv import Trigger

from controllers import g1
from retake.ros import qos
from retake.ros.conversions import NS_PER_S
from retake.ros.diagnostics import Diagnostics
from retake.ros.parameters import declare
from retake.ros.realtime import WORLD
from retake.ros.spin import STEADY, run
from retake.unitree.dds import LOOPBACK, Bus
from retake.unitree.remote import BUTTONS, Remote
from sim.g1_box import G1BoxTask
from sim.g1_sim_outputs import Scene
from sim.g1_wire_robot import Build, WireRobot
from sim.g1_wire_walk import WALK
from sim.g1_wire_world import WireWorld
from sim.g1_world import START_TIME_S

STEP_NS = round(g1.CONTROL_DT * 1e9)
GRID_NS = round(START_TIME_S * 1e9)  # runs begin at multiples of it, so that cameras and inference fall on their grids
CREW_NS = 2 * GRID_NS  # the crew lets go so long after a reset, or later
PRESS_EVERY_NS, PRESS_NS = NS_PER_S, NS_PER_S // 10  # the crew presses START, then A, for a tenth of a second each
HELD_S = 0.2
STAND_UP_STEPS = 250
SILENCE_NS = 6 * NS_PER_S // 10  # at least, so that everybody notices that the robot was away
LATE_STEPS_MAX = 10  # more than so many steps late: the world loses the time
REMOTE_S = 0.5


@dataclass(frozen=True)
class Parameters:
    """Parameters of the robot and of the people around it."""

    seed: int = 0  # of the first run; each reset takes the next
    noise: bool = False  # sensor noise
    interface: str = LOOPBACK
    dds_domain: int = 1
    crew: bool = False  # false: the robot hangs in its gantry, and the remote and the gantry are yours
    motion_service: str = "ai"  # empty: debug mode
    mode_machine: int = 5
    battery_percent: int = 80
    temperature_c: float = 35.0  # of the motors at a reset

    def __post_init__(self) -> None:
        if self.motion_service not in ("ai", "") or not 0 <= self.battery_percent <= 100:
            raise ValueError(f"motion_service {self.motion_service!r} must be 'ai' or empty, battery_percent "
                             f"{self.battery_percent} in 0..100")


class G1Wire(Node):
    """Keeps time; `_now` is the stamp of the newest state, on the wall clock and a multiple of 2 ms."""

    def __init__(self, **node_options: Any) -> None:
        super().__init__("g1_wire", **node_options)
        self._settings = settings = declare(self, Parameters)
        self._world = WireWorld(settings.noise, settings.temperature_c)
        self._task = G1BoxTask(self._world)
        build = Build(settings.mode_machine, settings.battery_percent, settings.motion_service)
        self._robot = WireRobot(Bus(settings.dds_domain, settings.interface), self._world, build)
        self._scene = Scene(self, self._world, self._task)
        self._diagnostics = Diagnostics(self)
        self.create_subscription(Joy, "sim/remote", self._on_remote, qos.NEWEST)
        for name, answer in (("sim/reset", self._on_reset), ("sim/run", self._on_run)):
            self.create_service(Trigger, name, answer)
        for name in ("hang", "lower", "remove"):
            self.create_service(Trigger, f"sim/gantry/{name}", self._gantry(name))
        self._is_reset_asked = False
        self._remote_s = 0.0
        self._behind = time.time_ns() - time.monotonic_ns()  # the wall clock must not jump under the world
        self._begin(settings.seed)
        self.create_timer(g1.CONTROL_DT, self._keep_time, clock=STEADY)
        self.get_logger().info(f"started: {settings}")

    def _begin(self, seed: int) -> None:
        """Another run: from the next multiple of 1.98 s that is SILENCE_NS ahead; silence until then."""
        self._seed = seed
        self._task.randomise(seed)
        self._robot.reset()
        self._now, self._is_held = self._wall(), self._settings.crew
        if self._settings.crew:
            self._stand_up()
        else:
            self._world.hang_up()
        self._start = -(-(self._wall() + SILENCE_NS) // GRID_NS) * GRID_NS
        self._now = self._start - STEP_NS

    def _stand_up(self) -> None:
        """The crew puts the robot on its feet, so that its legs carry it when the run begins."""
        walk = self._robot.walk
        walk.enter(WALK)
        for _ in range(STAND_UP_STEPS):
            self._world.step_motors(walk.motors(self._world.sensors(), self._now))

    def _wall(self) -> int:
        return time.monotonic_ns() + self._behind

    # Inputs

    def _on_remote(self, message: Joy) -> None:
        if len(message.axes) != 4 or len(message.buttons) != len(BUTTONS):
            why = f"allowed are 4 axes (lx ly rx ry) and {len(BUTTONS)} buttons ({' '.join(BUTTONS)})"
            return self._diagnostics.refuse("sim/remote", why)
        held = frozenset(name for name, value in zip(BUTTONS, message.buttons, strict=True) if value)
        lx, ly, rx, ry = (min(max(float(value), -1.0), 1.0) for value in message.axes)
        self._robot.remote, self._remote_s = Remote(held, lx=lx, ly=ly, rx=rx, ry=ry), time.monotonic()

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Next seed. The answer's stamp is when the robot is on its own feet; with a crew, not before."""
        self._begin(self._seed + 1 if self._is_reset_asked else self._settings.seed)
        self._is_reset_asked = True
        stamp = self._start + (CREW_NS if self._settings.crew else 0)
        response.success, response.message = True, json.dumps({"seed": self._seed, "stamp_ns": stamp})
        self.get_logger().info(f"reset: {response.message}")
        return response

    def _on_run(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """True once the robot is on its own feet."""
        response.success = not self._is_held
        response.message = "" if response.success else "the crew still holds the robot: its motors do not"
        return response

    def _gantry(self, name: str) -> Any:
        gantry = self._world.gantry
        does = {"hang": self._world.hang_up, "lower": gantry.lower, "remove": gantry.remove}[name]

        def answer(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            self._is_held = False
            does()
            response.success, response.message = True, gantry.state
            return response

        return answer

    # Time

    def _keep_time(self) -> None:
        """Step until the world has caught up with the wall clock; time that it cannot catch up is lost to it."""
        late = (self._wall() - self._now) // STEP_NS
        while late > LATE_STEPS_MAX:
            self._now += STEP_NS
            self._scene.publish(self._now, self._now - self._start)
            self._diagnostics.count("slip")
            late -= 1
        for _ in range(late):
            self._step()

    def _step(self) -> None:
        """One control period: people, motors, physics, state."""
        self._now += STEP_NS
        self._people()
        motors = self._robot.update(self._world.sensors(), self._now)
        if not self._is_held:
            self._world.step_motors(motors)
        self._robot.publish(self._world.sensors(), self._now)
        self._scene.publish(self._now, self._now - self._start)
        self._diagnostics.count("step")
        while self._robot.refused:
            self._diagnostics.refuse("command", self._robot.refused.pop())

    def _people(self) -> None:
        """The remote is let go when nobody says it is held; the crew does its work."""
        elapsed, robot = self._now - self._start, self._robot
        if time.monotonic() - self._remote_s > REMOTE_S:
            pressed = self._crew_presses(elapsed) if self._is_held else ()
            robot.remote = Remote(frozenset(pressed))
        if self._is_held and elapsed >= CREW_NS and robot.held_s(self._now) >= HELD_S:
            self._is_held = False
            self.get_logger().info("the crew lets go")

    @staticmethod
    def _crew_presses(elapsed: int) -> tuple[str, ...]:
        """START at every full second, A half a second later, until they have had their effect."""
        if elapsed < PRESS_EVERY_NS or elapsed % PRESS_EVERY_NS >= PRESS_EVERY_NS // 2 + PRESS_NS:
            return ()
        if elapsed % PRESS_EVERY_NS < PRESS_NS:
            return ("start",)
        return ("A",) if elapsed % PRESS_EVERY_NS >= PRESS_EVERY_NS // 2 else ()


def main(args: list[str] | None = None) -> int:
    """Run the node until interrupted."""
    return run(G1Wire, args, priority=WORLD)


if __name__ == "__main__":
    raise SystemExit(main())
