"""A kinematic toy of the box task, drawn with filled polygons: fast demonstrations with a known right answer.

Actions are followed with a first-order lag, the box is held when both hands press it, and the two pictures are real
perspective views, so a policy must find the box and the shelf in the images to a centimetre.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

CHANNELS = tuple(f"{side}_ee.{axis}" for side in ("left", "right") for axis in ("x", "y", "z", "qx", "qy", "qz", "qw"))
CHANNELS += ("base.height", "torso.pitch", "hands.squeeze")
HOME = np.array([0.25, 0.2, 0.85, 0, 0, 0, 1, 0.25, -0.2, 0.85, 0, 0, 0, 1, 0.75, 0.0, 0.0])
FRAME_S, SIZE = 0.066, (320, 240)
FACES = ((0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5))


@dataclass
class Scene:
    """One randomised task: box centre (3,), yaw and half size (3,), shelf height; odom frame, metres."""

    box: np.ndarray
    yaw: float
    half: np.ndarray
    shelf: float
    colours: np.ndarray
    held: bool = False

    @classmethod
    def random(cls, seed: int) -> Scene:
        rng = np.random.default_rng(seed)
        box = np.array([rng.uniform(0.34, 0.46), rng.uniform(-0.06, 0.06), rng.uniform(0.3, 0.7)])
        half = rng.uniform([0.08, 0.10, 0.08], [0.12, 0.15, 0.12])
        return cls(box, rng.uniform(-0.15, 0.15), half, rng.uniform(0.75, 1.0), rng.integers(40, 220, (4, 3)))


def _corners(centre, half, yaw=0.0):
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float) * half
    c, s = np.cos(yaw), np.sin(yaw)
    return centre + signs @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])


def draw(scene: Scene, state: np.ndarray) -> dict[str, np.ndarray]:
    """Pictures (240, 320, 3) uint8 RGB from the head and the chest at the robot's state (17,)."""
    low = scene.box[2] - scene.half[2] if not scene.held else 0.2
    solids = [
        (_corners([0.45, 0.0, low / 2], [0.2, 0.3, low / 2]), scene.colours[0]),
        (_corners([0.62, 0.0, scene.shelf - 0.02], [0.12, 0.4, 0.02]), scene.colours[1]),
        (_corners(scene.box, scene.half, scene.yaw), scene.colours[2]),
        (_corners(state[0:3], [0.05, 0.02, 0.04]), [60, 60, 60]),
        (_corners(state[7:10], [0.05, 0.02, 0.04]), [60, 60, 60]),
    ]
    pictures = {}
    for name, height, tilt, focal in (("head", 0.45, 0.75, 210.0), ("chest", 0.25, 0.35, 190.0)):
        eye = np.array([0.05 + 0.4 * np.sin(state[15]), 0.0, state[14] + height])
        pictures[name] = _project(solids, eye, tilt + state[15], focal, scene.colours[3])
    return pictures


def _project(solids, eye, tilt, focal, background) -> np.ndarray:
    picture = np.full((SIZE[1], SIZE[0], 3), background, np.uint8)
    c, s = np.cos(tilt), np.sin(tilt)
    to_camera = np.array([[0, -1, 0], [-s, 0, -c], [c, 0, -s]])  # right, down, forward
    faces = []
    for corners, colour in solids:
        points = (corners - eye) @ to_camera.T
        for k, face in enumerate(FACES):
            corner = points[list(face)]
            if corner[:, 2].min() > 0.05:
                pixels = corner[:, :2] / corner[:, 2:] * focal + np.array(SIZE) / 2
                faces.append((corner[:, 2].mean(), pixels, np.asarray(colour) * (0.7 + 0.06 * k)))
    for _, pixels, colour in sorted(faces, key=lambda face: -face[0]):
        cv2.fillPoly(picture, [np.round(pixels * 16).astype(np.int32)], colour.tolist(), cv2.LINE_AA, shift=4)
    return picture


def expert(scene: Scene) -> np.ndarray:
    """Reference actions (n, 17) at FRAME_S: reach, squeeze, lift, reach the shelf, release."""

    def hands(centre, gap, squeeze, base):
        action = HOME.copy()
        side = np.array([-np.sin(scene.yaw), np.cos(scene.yaw), 0.0]) * (scene.half[1] + 0.02 + gap)
        action[0:3], action[7:10] = centre + side, centre - side
        action[5], action[6] = action[12], action[13] = np.sin(scene.yaw / 2), np.cos(scene.yaw / 2)
        action[14], action[15], action[16] = base, 0.3 * (0.75 - base) / 0.25, squeeze
        return action

    low = np.clip(scene.box[2] + 0.15, 0.5, 0.75)
    up = np.array([scene.box[0], scene.box[1], scene.shelf + scene.half[2] + 0.06])
    goal = np.array([0.55, scene.box[1], scene.shelf + scene.half[2]])
    ways = [(HOME, 0.3), (hands(scene.box, 0.08, 0, low), 1.5), (hands(scene.box, 0.0, 0, low), 0.8),
            (hands(scene.box, 0.0, 25, low), 0.5), (hands(up, 0.0, 25, 0.75), 1.5), (hands(goal, 0.0, 25, 0.75), 1.2),
            (hands(goal, 0.0, 0, 0.75), 0.4), (hands(goal, 0.08, 0, 0.75), 0.8), (HOME, 1.0)]  # fmt: skip
    actions, last = [], HOME
    for way, seconds in ways:
        w = np.linspace(0, 1, round(seconds / FRAME_S) + 1)[1:, None]
        actions.append(last + (way - last) * w**2 * (3 - 2 * w))
        last = way
    return np.concatenate(actions)


def step(scene: Scene, state: np.ndarray, action: np.ndarray) -> np.ndarray:
    """State (17,) one frame later; the box follows the hands while both press it within 2.5 cm of its sides."""
    new = state + 0.6 * (action - state)
    side = np.array([-np.sin(scene.yaw), np.cos(scene.yaw), 0.0]) * (scene.half[1] + 0.02)
    misses = [np.linalg.norm(new[0:3] - scene.box - side), np.linalg.norm(new[7:10] - scene.box + side)]
    touching = max(misses) < 0.025 or scene.held
    new[16] = new[16] if touching else 0.0
    scene.held = touching and action[16] > 10.0
    if scene.held:
        scene.box = scene.box + (new[0:3] + new[7:10] - state[0:3] - state[7:10]) / 2
    return new


def placed(scene: Scene) -> bool:
    """The box stands over the shelf, within 3 cm of its surface, released."""
    return not scene.held and abs(scene.box[2] - scene.half[2] - scene.shelf) < 0.03 and scene.box[0] > 0.5
