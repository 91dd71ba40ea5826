"""Task arm_table: arms of any rig in front of an empty table; for driving them by hand. Nobody can succeed or fail."""

from __future__ import annotations

from typing import Any

import mujoco

from controllers.rigs import BIMANUAL_YAM, Rig
from sim.arm_world import ArmWorld

MAX_EPISODE_S = 600.0


def add_scene(spec: mujoco.MjSpec) -> None:
    """Nothing lies there."""


class ArmTableTask:
    """A world without things."""

    name, max_episode_s, held_out_seed = "arm_table", MAX_EPISODE_S, 100_000

    def __init__(self, noise: bool = False, command_delay: int = 0, rig: Rig = BIMANUAL_YAM) -> None:
        """`noise` and `command_delay` (control steps) as in ArmWorld."""
        self.rig = rig
        self.world = ArmWorld(rig, add_scene, noise, command_delay)
        self.seed = 0

    def randomise(self, seed: int) -> None:
        """Arms at home."""
        self.seed = seed
        self.world.reset(seed)

    def update(self) -> None:
        """Nothing to judge."""

    def success(self) -> bool:
        return False

    def failure(self) -> str:
        return ""

    def ground_truth(self) -> dict[str, Any]:
        """For the evaluator and the recorder, JSON-ready."""
        return {"seed": self.seed, "time": round(self.world.time, 6), "success": False, "failure": ""}
