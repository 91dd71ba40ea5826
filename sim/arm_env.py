"""The arm tasks as Gymnasium environments; see sim/task_env.py. Without cameras some 15 times real time on one core."""

from __future__ import annotations

from sim import arm_insert, arm_pick
from sim.arm_cameras import arm_view
from sim.arm_insert import ArmInsertTask
from sim.arm_pick import ArmPickTask
from sim.task_env import TaskEnv


class ArmPickEnv(TaskEnv):
    """Take the cube from the table and drop it into the bin. Poses in base_link; ends also when the cube is lost."""

    def __init__(self, cameras: bool = False, render_mode: str | None = None, noise: bool = False,
                 command_delay: int = 0, width: int = 320, height: int = 240) -> None:
        """`noise` and `command_delay` (control steps) as in ArmWorld; `width` x `height` of the pictures."""
        task = ArmPickTask(noise, command_delay)
        super().__init__(task, arm_view(task.rig, arm_pick.add_scene), cameras, render_mode, width, height)


class ArmInsertEnv(TaskEnv):
    """Put the held peg into the hole. Poses in base_link; ends also when the peg is lost."""

    def __init__(self, cameras: bool = False, render_mode: str | None = None, noise: bool = False,
                 command_delay: int = 0, width: int = 320, height: int = 240) -> None:
        """`noise` and `command_delay` (control steps) as in ArmWorld; `width` x `height` of the pictures."""
        task = ArmInsertTask(noise, command_delay)
        super().__init__(task, arm_view(task.rig, arm_insert.add_scene), cameras, render_mode, width, height)
