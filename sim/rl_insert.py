"""arm_insert for comparison with the literature: a state observation from ground truth, and a scripted base policy that
aims beside the hole by an error that depends on where the hole is (recipe A1's probe).

Nothing here is for a robot: it has neither.
"""

from __future__ import annotations

import numpy as np

from controllers import rotations
from sim.arm_experts import CLOSED, PACE, Hand, InsertExpert, fingers_down
from sim.arm_insert import PEG_HALF, SOCKET_HEIGHT, ArmInsertTask
from sim.control_loop import ControlLoop
from sim.rl_env import behind

CHUNK = 10  # points of the scripted base
OVER_M = 0.008  # so near it goes down. With 1 mm a residual that aimed better than the base kept it from going down
RATES = tuple(range(6))  # the hand's position and turn; the gripper stays closed


class InsertState:
    """Tip of the peg in the socket's frame, coarse and fine, its tilt, and how far the hand is behind its reference."""

    name = "state"
    dim = 3 + 3 + 3 + 6

    def __init__(self, task: ArmInsertTask) -> None:
        self._task = task

    def __call__(self, loop: ControlLoop) -> np.ndarray:
        task = self._task
        tip = task.tip - np.array([0.0, 0.0, SOCKET_HEIGHT])
        wanted = rotations.matrix(fingers_down(task.scene.yaw))
        turn = rotations.to_rotvec(rotations.from_matrix(wanted.T @ rotations.matrix(task.peg.quat_xyzw)))
        scaled = tip / 0.05, np.clip(tip / 0.005, -2.0, 2.0), turn / 0.1, behind(loop)[: len(RATES)]
        return np.clip(np.concatenate(scaled), -5.0, 5.0).astype(np.float32)


def aim_error(hole: np.ndarray, size: float) -> np.ndarray:
    """(2,) m: of length `size`, in a direction that turns with the hole's place (2,)."""
    angle = 40.0 * hole[0] + 25.0 * hole[1]
    return size * np.array([np.cos(angle), np.sin(angle)])


class NoBase:
    """Nothing drives but the learner: the base's action is to stay."""

    name = "none"

    def begin(self, seed: int) -> None:
        """It keeps nothing."""

    def chunk(self, reference: np.ndarray) -> np.ndarray:
        return reference[None]


class BiasedInsertBase:
    """Ten points at a time: over where it takes the hole to be, then down there, whatever happens."""

    def __init__(self, task: ArmInsertTask, error_m: float, pace: float = 1.0) -> None:
        """`pace`: of the demonstrator's. A slow one makes more of the steps, with the reward farther from what earns
        it."""
        self._task, self._error, self._pace = task, error_m, pace
        self.name = f"scripted insert, {1000 * error_m:g} mm off" + (f", pace {pace:g}" if pace != 1.0 else "")

    def begin(self, seed: int) -> None:
        """It keeps nothing between chunks."""

    def chunk(self, reference: np.ndarray) -> np.ndarray:
        task, scene = self._task, self._task.scene
        peg_R, hand_R = rotations.matrix(task.peg.quat_xyzw), rotations.matrix(reference[3:7])
        hole = np.array([*(scene.hole + aim_error(scene.hole, self._error)), SOCKET_HEIGHT])
        tip = task.peg.position + peg_R[:, 0] * PEG_HALF[0]
        goal_R = rotations.matrix(fingers_down(scene.yaw))
        wanted_R = goal_R @ peg_R.T @ hand_R
        is_over = np.linalg.norm((tip - hole)[:2]) < OVER_M or tip[2] < SOCKET_HEIGHT + 0.003
        height = -InsertExpert.SINK if is_over else InsertExpert.HOVER
        lever = hand_R.T @ (tip - reference[:3])
        position = hole + np.array([0.0, 0.0, height]) - wanted_R @ lever
        quat = rotations.from_matrix(wanted_R)
        hand, rig = Hand(reference, 0.7 * PACE * self._pace), task.rig
        ticks = round(rig.camera_dt / rig.reference_dt)
        return np.array([[hand.move(position, quat, CLOSED, rig.reference_dt) for _ in range(ticks)][-1]
                         for _ in range(CHUNK)])  # fmt: skip
