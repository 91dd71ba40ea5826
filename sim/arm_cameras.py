"""Where the cameras of the arm rigs sit.

wrist  a RealSense D405 on the hand, as in the YAM's MJCF, which has its place and lens: it sees both fingertips and
       what is under them. `left_wrist`, `right_wrist` on a rig of two arms.
front  a D435 at the far edge of the table, ours: looks back at the arms over everything that lies there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import mujoco
import numpy as np

from controllers.rigs import Rig
from sim.arm_world import build_spec, robot_roots
from sim.cameras import Mount, View

D405_FOVY_DEG = 58.0  # MJCF: 2 atan(1.07 / 1.93)
FRONT = Mount("world", (0.68, 0.0, 0.36), 0.76, 42.5, yaw=np.pi)
SPECTATOR = ((0.75, -0.65, 0.5), (0.25, 0.0, 0.08))


def arm_view(rig: Rig, scene: Callable[[mujoco.MjSpec], None]) -> View:
    """The cameras of a rig in the world that ArmWorld(rig, scene) steps."""
    assert rig.arms is not None
    several = len(rig.arms.mounts) > 1
    mounts = {
        (f"{mount.side}_wrist" if several else "wrist"): Mount(
            f"{mount.side}_camera_d405", (0.009, 0.0, 0.0), 0.0, D405_FOVY_DEG, quat_wxyz=(0.0, 0.0, 1.0, 0.0))
        for mount in rig.arms.mounts
    }  # fmt: skip
    return View(partial(build_spec, rig, scene, visuals=True), {**mounts, "front": FRONT}, robot_roots(rig), SPECTATOR)
