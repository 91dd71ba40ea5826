"""Scripted demonstrator of g1_box: reads the scene, answers with task-space actions only.

It never touches joints or the controller's insides; what it commands, a policy or a person could command.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from controllers import channels, g1, rotations
from sim.g1_box import SHELF_EDGE_X, BoxScene

SQUEEZE_N = 32.0  # 2 kg at friction 0.6 needs 16 N a side; the wrist yaw motors allow 45
OPEN_GAP = 0.09  # m from the box side to an open palm
PRESS = 0.02  # m the palms are commanded into the box, more than the controller's squeeze gap
CARRY_X = 0.30  # m, box centre while it is lifted past the shelf edge
PLACE_DEPTH = 0.06  # m, box centre behind the shelf edge
CLEARANCE = 0.07  # m between the box and the shelf while it moves over it
MOVED_M, TURNED = 0.01, 0.05  # m, rad; a box that is off less stands where it stood
BESIDE_M = 0.05  # m along the box's sides, between a palm and the middle of its side
NEAR_M = 0.20  # m from there: hands that are apart go straight to the box's sides


@dataclass(frozen=True)
class Waypoint:
    """Palms `gap` from the box sides around `centre` (3,), turned by `yaw`, and the body that goes with it."""

    name: str
    duration: float  # s to get here
    centre: np.ndarray
    gap: float
    yaw: float
    height: float  # pelvis, m
    pitch: float  # torso, rad
    squeeze: float  # N
    hand_pitch: float = 0.0  # rad, fingers down positive


def body_for(palm_height: float, palm_x: float) -> tuple[float, float, float]:
    """Pelvis height, torso pitch and hand pitch that bring palms to a height and reach comfortably."""
    low = np.clip((0.85 - palm_height) / 0.55, 0.0, 1.0)  # 0 at chest height, 1 at 0.30 m
    reach = np.clip((palm_x - 0.34) / 0.18, 0.0, 1.0) * 0.4
    return 0.74 - 0.29 * low, 0.05 + 0.75 * low + reach * (1 - low), 0.45 * low


class BoxExpert:
    """Plays a list of waypoints made from the scene at reset."""

    def __init__(self, scene: BoxScene, seed: int = 0, first: str = "wide", held_at: np.ndarray | None = None) -> None:
        """`seed` varies speed and small offsets, so that demonstrations differ. `first`: the waypoint to begin with;
        `held_at` (3,) m: from the middle of a box that is held to the middle between the palms."""
        rng = np.random.default_rng([seed, 0xE0])
        self._half_width = float(scene.half_size[1])
        self._held_at = np.zeros(3) if held_at is None else held_at
        self._pace = float(rng.uniform(0.9, 1.15))
        plan = self._plan(scene, rng)
        self.waypoints = plan[[waypoint.name for waypoint in plan].index(first) :]
        self._actions = [self._action(waypoint) for waypoint in self.waypoints]
        self.duration = sum(w.duration for w in self.waypoints) * self._pace

    def _plan(self, scene: BoxScene, rng: np.random.Generator) -> list[Waypoint]:
        offset = rng.uniform(-0.008, 0.008, 3)
        pick = scene.position + offset * np.array([1.0, 0.0, 1.0])
        shelf_z = scene.shelf_height + scene.half_size[2]
        place = np.array([SHELF_EDGE_X + PLACE_DEPTH, 0.5 * scene.position[1], shelf_z])
        over, carry = place + np.array([0, 0, CLEARANCE]), np.array([CARRY_X, place[1], shelf_z + CLEARANCE])
        under_shelf = shelf_z - 2 * scene.half_size[2] - 0.03 - 0.04  # box centre 4 cm under the slab
        lift = pick + np.array([-0.02, 0.0, max(0.03, min(under_shelf, 0.55) - pick[2])])
        pull = np.array([CARRY_X, 0.7 * pick[1] + 0.3 * place[1], lift[2] + 0.01])
        back, retreat = place + np.array([-0.02, 0, 0.01]), place + np.array([-0.26, 0, 0.0])
        yaw, F = scene.yaw, SQUEEZE_N

        def at(
            name: str, duration: float, p: np.ndarray, gap: float, turn: float, force: float, ref: np.ndarray
        ) -> Waypoint:
            height, pitch, hand_pitch = body_for(ref[2], ref[0])
            return Waypoint(name, duration, p, gap, turn, height, pitch, force, hand_pitch)

        down = 1.2 + 1.6 * (0.85 - pick[2])
        up = 0.9 + 2.2 * max(0.0, carry[2] - pull[2])
        return [
            at("wide", down * 0.6, pick + np.array([-0.12, 0, 0.08]), OPEN_GAP + 0.05, yaw, 0.0, pick + [0, 0, 0.12]),
            at("beside", down * 0.5, pick, OPEN_GAP, yaw, 0.0, pick),
            at("close", 0.9, pick, -PRESS, yaw, 0.0, pick),
            at("squeeze", 0.5, pick, -PRESS, yaw, F, pick),
            at("lift", 0.7 + 1.8 * (lift[2] - pick[2]), lift, -PRESS, yaw, F, lift),
            at("pull", 0.9, pull, -PRESS, 0.5 * yaw, F, pull),
            at("carry", up, carry, -PRESS, 0.0, F, carry),
            at("over", 1.2, over, -PRESS, 0.0, F, over),
            at("lower", 0.9, place - np.array([0, 0, 0.004]), -PRESS, 0.0, F, place),
            at("release", 0.6, place, 0.01, 0.0, 0.0, place),
            at("open", 0.6, back, OPEN_GAP, 0.0, 0.0, place),
            at("retreat", 1.2, retreat, OPEN_GAP, 0.0, 0.0, retreat),
            at("wait", 1.5, retreat, OPEN_GAP, 0.0, 0.0, retreat),
        ]

    def _action(self, w: Waypoint) -> np.ndarray:
        turn, centre = rotations.from_yaw(w.yaw), w.centre + self._held_at
        across = rotations.matrix(turn) @ np.array([0.0, self._half_width + w.gap, 0.0])
        pitch = np.array([0.0, np.sin(w.hand_pitch / 2), 0.0, np.cos(w.hand_pitch / 2)])
        quat = rotations.multiply(turn, pitch)
        return channels.join(
            channels.Targets(centre + across, quat, centre - across, quat, w.height, w.pitch, w.squeeze)
        )

    def act(self, t: float, start: np.ndarray | None = None) -> np.ndarray:
        """Action (17,) at `t` seconds after the start; `start` is where the robot was then, HOME_ACTION by default."""
        before = g1.HOME_ACTION if start is None else start
        t = t / self._pace
        for waypoint, target in zip(self.waypoints, self._actions, strict=True):
            if t < waypoint.duration:
                s = t / waypoint.duration
                return channels.interpolate(before, target, s * s * (3 - 2 * s))
            t, before = t - waypoint.duration, target
        return before

    def start_of(self, name: str) -> float:
        """s, when the waypoint `name` begins to be approached."""
        names = [waypoint.name for waypoint in self.waypoints]
        return sum(waypoint.duration for waypoint in self.waypoints[: names.index(name)]) * self._pace

    def phase(self, t: float) -> str:
        """Name of the waypoint being approached at `t`."""
        t = t / self._pace
        for waypoint in self.waypoints:
            if t < waypoint.duration:
                return waypoint.name
            t -= waypoint.duration
        return "done"


def going_on(scene: BoxScene, box: np.ndarray, yaw: float, start: np.ndarray, seed: int = 0) -> BoxExpert:
    """The demonstrator who goes on from wherever somebody has brought the robot: the box is at `box` (3,), turned by
    `yaw`, the reference (17,) at `start`. From home it is the whole plan."""
    palms = np.stack([start[g1.LEFT_POSITION], start[g1.RIGHT_POSITION]])
    sides = (palms - box) @ rotations.matrix(rotations.from_yaw(yaw))  # (2, 3) in the box's axes
    gaps = sides[:, 1] * [1.0, -1.0] - scene.half_size[1]  # between palms and sides, negative where they press
    aside = float(np.hypot(sides[:, 0], sides[:, 2]).max())
    is_held = start[g1.SQUEEZE] > 0.5 * SQUEEZE_N and aside < NEAR_M and gaps.max() < MOVED_M
    first = _first_held(scene, box) if is_held else _first_free(scene, box, gaps, aside)
    if np.linalg.norm(box - scene.position) > MOVED_M or abs(yaw - scene.yaw) > TURNED:
        scene = replace(scene, position=box, yaw=yaw)
    return BoxExpert(scene, seed, first, palms.mean(axis=0) - box if is_held else None)


def _is_on_shelf(scene: BoxScene, box: np.ndarray) -> bool:
    return bool(box[0] > SHELF_EDGE_X and abs(box[2] - scene.shelf_height - scene.half_size[2]) < MOVED_M)


def _first_held(scene: BoxScene, box: np.ndarray) -> str:
    """The waypoint that a box between the palms is carried to next."""
    if _is_on_shelf(scene, box):
        return "release"
    if box[2] > scene.shelf_height + scene.half_size[2] + 0.5 * CLEARANCE:
        return "lower" if box[0] > SHELF_EDGE_X + 0.5 * PLACE_DEPTH else "over"
    if box[2] < scene.position[2] + MOVED_M:
        return "squeeze"
    return "pull" if box[0] > CARRY_X + 0.5 * CLEARANCE else "carry"


def _first_free(scene: BoxScene, box: np.ndarray, gaps: np.ndarray, aside: float) -> str:
    """The waypoint that hands go to next which hold nothing."""
    if _is_on_shelf(scene, box):
        return "open"
    if gaps.min() > -MOVED_M and gaps.max() < 2 * OPEN_GAP and aside < BESIDE_M:
        return "close"
    is_apart = gaps.min() > 0.5 * OPEN_GAP
    return "beside" if is_apart and float(np.hypot(aside, gaps.max())) < NEAR_M else "wide"
