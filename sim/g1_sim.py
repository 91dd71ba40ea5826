"""Stands in for the G1's driver: physics, motors and sensors of one MuJoCo world with the g1_box task.

In: joint_command (500 Hz, each answers one state's stamp). Out, as the driver: joint_states, imu,
applied_joint_command (500 Hz, QoS STREAM), diagnostics 1 Hz. For the simulated graph: /clock (100 Hz), render_state
(15 Hz, to camera_sim, which answers `rendered`), ground_truth/task (10 Hz); services sim/reset, sim/run. No command for
100 ms: the motors damp. Until the first command of a run the robot hangs in its gantry. Time and lockstep:
sim/robot_sim.py.
"""

from __future__ import annotations

from typing import Any

from controllers import g1
from retake.ros.realtime import WORLD
from retake.ros.spin import run
from retake.ros.wire import DAMP
from sim.g1_box import G1BoxTask
from sim.g1_sim_outputs import Outputs
from sim.g1_world import START_TIME_S, G1World
from sim.robot_sim import Lease, Parameters, RobotSim

STEP_NS = round(g1.CONTROL_DT * 1e9)
START_NS = round(START_TIME_S * 1e9)  # a multiple of every period; runs begin at multiples of it
LEASE_NS = g1.JOINT_COMMAND_LEASE_PERIODS * STEP_NS


def _make_task(given: Parameters) -> G1BoxTask:
    return G1BoxTask(G1World(noise=given.noise, command_delay=given.command_delay))


class G1Sim(RobotSim):
    """The G1 with g1_box. Until the first command of a run the robot hangs in its gantry."""

    def __init__(self, **node_options: Any) -> None:
        lease = Lease(g1.JOINT_COMMAND_LEASE_PERIODS, "damping", ("", DAMP))
        super().__init__("g1_sim", Parameters, lease, _make_task, Outputs, **node_options)


def main(args: list[str] | None = None) -> int:
    """Run the node until interrupted."""
    return run(G1Sim, args, priority=WORLD)


if __name__ == "__main__":
    raise SystemExit(main())
