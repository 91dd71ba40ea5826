"""Draws docs/g1_box.jpg: the trained policy at work, seen by a spectator and by the cameras on the robot."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from controllers import g1
from policies.checkpoint import load_checkpoint
from policies.inference import answer
from policies.observation import Observation
from retake.cameras.codec import to_jpeg
from sim.cameras import SPECTATOR, CameraRig
from sim.g1_box import HELD_OUT_SEED
from sim.g1_box_env import G1BoxEnv

OUT = Path("docs/g1_box.jpg")
REPLAN = 6  # camera frames between chunks, as in the graph
COLUMNS = 6


def main() -> int:
    """Play one held-out episode and write COLUMNS moments of it."""
    policy = load_checkpoint(Path("policies/checkpoints/g1_box"), "g1", g1.ACTION_CHANNELS).policy
    env, rig = G1BoxEnv(cameras=True), CameraRig(320, 240)
    observation, info = env.reset(seed=HELD_OUT_SEED)
    moments, done, k = [], False, 0
    chunk = np.zeros((0, g1.ACTION_DIM))
    while not done:
        if k % REPLAN == 0:
            jpegs = tuple(to_jpeg(observation[camera]) for camera in policy.config.cameras)
            seen = answer(policy, Observation(k, jpegs, observation["state"], k)).chunk
            chunk = chunk if seen is None else seen
        moments.append((rig.draw(env.task.world.render_state(), (SPECTATOR,))[SPECTATOR], observation))
        observation, _, terminated, truncated, info = env.step(chunk[k % REPLAN])
        done, k = terminated or truncated, k + 1
    rows = []
    for row in range(3):
        chosen = [moments[i] for i in np.linspace(0, len(moments) - 1, COLUMNS).astype(int)]
        rows.append(np.hstack([(m[0], m[1].get("head"), m[1].get("chest"))[row] for m in chosen]))
    OUT.parent.mkdir(exist_ok=True)
    sheet = cv2.resize(np.vstack(rows), None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(OUT), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    print(f"{OUT}: success {info['success']}, {k * 0.066:.1f} s")
    return 0 if info["success"] else 1


if __name__ == "__main__":
    sys.exit(main())
