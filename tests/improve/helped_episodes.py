"""Small recordings of arm_pick: two cameras of 32x24, a hand that moves, whoever had it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from controllers.rigs import YAM
from policies.episode_file import EpisodeWriter, episode_folder

START_NS, FRAME_NS, TICK_NS = 3_600_000_000, 60_000_000, 20_000_000
HELPED = (("policy", 20), ("rewind", 12), ("correction", 20))  # frames of each
DEMONSTRATED = (("teleop", 20),)


def write(
    root: Path, seed: int, parts=HELPED, outcome: str = "failure", task: str = "arm_pick", cut: bool = True
) -> dict:
    """An episode of these segments; its episode.json."""
    channels, rng = YAM.layout.channels, np.random.default_rng(seed)
    starts = np.cumsum([0, *(n for _, n in parts)])
    changes = [[START_NS + int(at) * FRAME_NS, name] for (name, _), at in zip(parts, starts[:-1], strict=True)]
    meta = {"robot": "yam", "task": task, "seed": seed, "action_channels": list(channels), "authority": changes,
            "segments": changes}  # fmt: skip
    writer = EpisodeWriter(episode_folder(root, seed), meta)
    pose = YAM.home_action.copy()
    for tick in range(int(starts[-1]) * FRAME_NS // TICK_NS + 1):
        stamp = START_NS + tick * TICK_NS
        pose[:3] += rng.normal(0.0, 0.003, 3)
        writer.write_vector("/yam/measured_action", channels, pose, stamp)
        writer.write_vector("/yam/reference", channels, pose, stamp)
        if tick % (FRAME_NS // TICK_NS) == 0:
            for camera in YAM.cameras:
                jpeg = cv2.imencode(".jpg", rng.integers(0, 255, (24, 32, 3), np.uint8))[1].tobytes()
                writer.write_jpeg(f"/yam/camera/{camera}/color/image_raw/compressed", jpeg, stamp)
    writer.close(outcome, "operator", out_of_time=cut)
    return writer.meta
