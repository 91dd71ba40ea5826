"""Real-time priority for the processes of the control loop and the cameras, where this machine permits it.

On 2 cores with three other busy programs beside the graph, the simulated robot lost 5-9 % of its time to pauses of up
to 350 ms without it and 0.5 % with it, and a take-over at twice the cores' load failed or took 28-47 ms. The kernel
leaves 5 % of each core to everybody else whatever happens (sched_rt_runtime_us).
"""

from __future__ import annotations

import os
from pathlib import Path

from rclpy.node import Node

ROBOT = 30  # the robot side: a state that is late delays everything
CONTROLLER = 20
AUTHORITY = 10
WORLD = 8  # physics in a driver's place: a world that is late slows down, a controller that is late lets it fall
CAMERA = 5  # pictures for the policy may wait for control, not for anything else
TELEOP = 4  # some percent of a core; without it a busy machine delays a person's stop, and opens their dead man
RECORDER = 3  # a tenth of a core; at a load of 20 it lost a quarter of the messages without it


def prefer(node: Node, priority: int) -> None:
    """Run all threads that this process has, and those they will start, before ordinary ones; says so when refused."""
    try:
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setscheduler(int(thread.name), os.SCHED_FIFO, os.sched_param(priority))
    except PermissionError:
        node.get_logger().info("no real-time priority: other programs may delay this node; `retake doctor` says more")
