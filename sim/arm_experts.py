"""Scripted demonstrators of the arm tasks: they see ground truth, and answer with task-space actions only.

They decide anew at every call from where things are, so that they can also go on from wherever a policy has brought the
arm, as a teleoperator does. What they command moves at a person's pace.
"""

from __future__ import annotations

import numpy as np

from controllers import rotations
from controllers.action_layout import ActionLayout
from controllers.reference_limiter import ReferenceLimiter
from controllers.rigs import YAM
from sim.arm_insert import PEG_HALF, SOCKET_HEIGHT, ArmInsertTask
from sim.arm_pick import BIN_HALF, ArmPickTask

PACE = 0.5  # of the rig's speed limits
OPEN, CLOSED = 1.0, 0.0
_DOWN = YAM.home_action[3:7]


def fingers_down(yaw: float) -> np.ndarray:
    """Orientation (4,) x y z w of a hand whose fingers look down, turned by yaw, rad."""
    return rotations.multiply(rotations.from_yaw(yaw), _DOWN)


class Hand:
    """What the demonstrator's own hand does: moves from where it is, at its pace, to where it wants to be."""

    def __init__(self, measured: np.ndarray, pace: float) -> None:
        """From the pose `measured` (8,) that the arm has; `pace` scales the speeds."""
        layout = YAM.layout
        speed = layout.speed * pace
        speed[-1] = layout.speed[-1]
        slow = ActionLayout(layout.channels, layout.lower, layout.upper, speed, layout.acceleration * pace**2)
        self._limiter = ReferenceLimiter(measured, slow)
        self.action = self._limiter.reference

    def move(self, position: np.ndarray, quat_xyzw: np.ndarray, gripper: float, dt: float) -> np.ndarray:
        """The action (8,) after `dt` s more."""
        self._limiter.follow(np.concatenate([position, quat_xyzw, [gripper]]), dt, source_changed=True)
        self.action = self._limiter.reference
        return self.action

    def away(self, position: np.ndarray) -> float:
        """m from the commanded position to `position` (3,)."""
        return float(np.linalg.norm(self.action[:3] - position))


class PickExpert:
    """Above the cube, down, close, up, over the bin, open."""

    HOVER, CARRY_Z = 0.06, 0.125  # m above the cube; of a carried cube's hand
    GRIPPED_S, LIFTED = 0.35, 0.01  # s; m above where it lay

    def __init__(self, task: ArmPickTask, measured: np.ndarray, seed: int = 0) -> None:
        """`seed` varies the pace, so that demonstrations differ."""
        rng = np.random.default_rng([seed, 0xE1])
        self._task, self._hand = task, Hand(measured, PACE * float(rng.uniform(0.85, 1.15)))
        is_lifted = task.cube.position[2] > task.scene.half + self.LIFTED
        self._closing_s = 2 * self.GRIPPED_S if is_lifted else 0.0  # whoever begins with the cube in the hand goes on
        self.phase, self.is_clear = "hover", is_lifted

    def act(self, measured: np.ndarray, dt: float) -> np.ndarray:
        """The action (8,) for the next `dt` s; `measured` (8,) is the pose the arm has."""
        cube, half = self._task.cube.position, self._task.scene.half
        self.is_clear = self.is_clear or self.phase != "hover"  # over the cube, open
        quat = fingers_down(_nearest_face(rotations.yaw_of(self._task.cube.quat_xyzw), measured))
        above = np.array([*cube[:2], half + self.HOVER])
        grasp = np.array([*cube[:2], max(half, 0.018)])
        bin_xy = self._task.scene.bin_position
        is_held = measured[7] > 0.15 and np.linalg.norm(cube - measured[:3]) < 0.03 and self._closing_s > self.GRIPPED_S
        over = float(np.linalg.norm(measured[:2] - bin_xy))
        if self.phase == "release" or (self._is_binned(cube) and not is_held):
            self.phase = "release"
            return self._hand.move(np.array([*bin_xy, self.CARRY_Z]), self._hand.action[3:7], OPEN, dt)
        if is_held:
            return self._carry(cube, bin_xy, over, dt)
        aside = float(np.linalg.norm(measured[:2] - cube[:2]))
        if self.phase in ("hover", "carry") or aside > 0.012:
            self._closing_s = 0.0
            near = aside < 0.006 and abs(self._hand.away(above)) < 0.004
            self.phase = "down" if near else "hover"
            lift = above if measured[2] > above[2] - 0.02 or aside < 0.02 else np.array([*measured[:2], above[2]])
            return self._hand.move(lift, quat, OPEN, dt)
        if self.phase == "down" and (self._hand.away(grasp) > 0.002 or abs(measured[2] - grasp[2]) > 0.005):
            return self._hand.move(grasp, quat, OPEN, dt)
        self.phase, self._closing_s = "close", self._closing_s + dt
        if self._closing_s > 3 * self.GRIPPED_S:
            self.phase = "hover"
        return self._hand.move(grasp, self._hand.action[3:7], CLOSED, dt)

    def _carry(self, cube: np.ndarray, bin_xy: np.ndarray, over: float, dt: float) -> np.ndarray:
        self.phase = "carry"
        at = self._hand.action[:2] if cube[2] < 0.08 and over > 0.1 else bin_xy
        if over < 0.01 and cube[2] > 2 * BIN_HALF[2]:
            self.phase = "release"
        return self._hand.move(np.array([*at, self.CARRY_Z]), self._hand.action[3:7], CLOSED, dt)

    def _is_binned(self, cube: np.ndarray) -> bool:
        return float(np.abs(cube[:2] - self._task.scene.bin_position).max()) < BIN_HALF[0] and cube[2] < 0.06


def _nearest_face(yaw: float, measured: np.ndarray) -> float:
    """The cube's yaw, of the four that look alike the one nearest to the hand's."""
    hand = rotations.matrix(measured[3:7])[:, 1]  # the way the fingers open
    now = float(np.arctan2(-hand[0], hand[1]))
    return yaw + float(np.round((now - yaw) / (np.pi / 2))) * np.pi / 2


class InsertExpert:
    """Brings the peg's tip over the hole, upright and turned with it, and down; up again where it is caught. In place,
    a peg that stands on the socket slides over it into the hole instead."""

    HOVER, CLEAR = 0.012, 0.008  # m, the tip above the socket while it is aligned; clear of it
    SINK = 0.035  # m, how deep the tip is wanted
    ALIGNED_M, ALIGNED_RAD = 0.0006, 0.02
    CAUGHT_S = 1.2
    STANDS, PRESS = 0.003, 0.002  # m above the socket's top, and under it as the hand asks for while it slides

    def __init__(self, task: ArmInsertTask, measured: np.ndarray, seed: int = 0, in_place: bool = False) -> None:
        """`seed` varies the pace, so that demonstrations differ."""
        rng = np.random.default_rng([seed, 0xE2])
        self._rng, self._in_place = rng, in_place
        self._task, self._hand = task, Hand(measured, 0.7 * PACE * float(rng.uniform(0.85, 1.15)))
        self._push = np.zeros(3)  # m, what the hand must be asked for beyond where it shall be
        self._caught_s = 0.0
        self.phase, self.is_clear = "align", False

    def act(self, measured: np.ndarray, dt: float) -> np.ndarray:
        """The action (8,) for the next `dt` s; `measured` (8,) is the pose the arm has."""
        task, scene = self._task, self._task.scene
        peg_R, hand_R = rotations.matrix(task.peg.quat_xyzw), rotations.matrix(measured[3:7])
        goal_R = rotations.matrix(fingers_down(scene.yaw))
        tip = task.peg.position + peg_R[:, 0] * PEG_HALF[0]
        hole = np.array([*scene.hole, SOCKET_HEIGHT])
        wanted_hand_R = goal_R @ peg_R.T @ hand_R  # turns the peg upright, with the hole
        lever = hand_R.T @ (tip - measured[:3])  # from the hand to the tip, hand frame
        turn = rotations.to_rotvec(rotations.from_matrix(goal_R @ peg_R.T))
        aside, depth = float(np.linalg.norm((tip - hole)[:2])), hole[2] - tip[2]
        is_aligned = aside < self.ALIGNED_M and float(np.linalg.norm(turn)) < self.ALIGNED_RAD
        self._decide(is_aligned, depth, dt)
        self.is_clear = self.is_clear or self.phase == "down" or bool(depth < -self.CLEAR)
        height = self.HOVER if self.phase == "align" else -self.SINK
        if self._in_place and self.phase == "align" and depth > -self.STANDS:
            height = -self.PRESS
        goal_tip = hole + np.array([0.0, 0.0, height])
        if depth > 0.004:
            self._push[:2] = 0.0  # the hole leads now
        elif (aside < 0.004 or self._in_place) and self.phase == "align":
            self._push[:2] -= np.clip(2.0 * dt * (tip - hole)[:2], -0.0005, 0.0005)
        position = goal_tip - wanted_hand_R @ lever + self._push
        return self._hand.move(position, rotations.from_matrix(wanted_hand_R), CLOSED, dt)

    def _decide(self, is_aligned: bool, depth: float, dt: float) -> None:
        if self.phase == "align":
            self.phase = "down" if is_aligned else "align"
            self._caught_s = 0.0
        elif depth < 0.006:  # not in yet
            self._caught_s += dt
            if self._caught_s > self.CAUGHT_S:
                self.phase = "align"
                self._push[:2] = self._rng.normal(0.0, 0.0005, 2)
