"""The g1_box task as a Gymnasium environment; see sim/task_env.py."""

from __future__ import annotations

from sim.cameras import G1_VIEW
from sim.g1_box import G1BoxTask
from sim.g1_world import G1World
from sim.task_env import TaskEnv


class G1BoxEnv(TaskEnv):
    """Lift the box from the stand and set it on the shelf. Observation and action as in TaskEnv, poses in odom.

    Ends at success, at a fall, when the box is dropped; truncated after MAX_EPISODE_S.
    """

    def __init__(self, cameras: bool = False, render_mode: str | None = None, noise: bool = False,
                 command_delay: int = 0, width: int = 320, height: int = 240) -> None:
        """`noise` and `command_delay` (control steps) as in G1World; `width` x `height` of the pictures."""
        task = G1BoxTask(G1World(noise=noise, command_delay=command_delay))
        super().__init__(task, G1_VIEW, cameras, render_mode, width, height)
