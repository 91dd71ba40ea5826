"""Small real recordings: short toy episodes through the project's own episode writer."""

from __future__ import annotations

from pathlib import Path

import box_toy
import cv2
import numpy as np
import pytest
import torch

from policies.episode_file import EpisodeWriter

START_NS = 3_960_000_000
FRAME_NS, REFERENCE_NS = 66_000_000, 20_000_000


def write_episode(folder: Path, seed: int, n_frames: int, outcome: str = "success", disturbance: float = 0.0) -> None:
    """The first `n_frames` camera periods of the toy's expert, with references at 50 Hz between its actions.
    With a disturbance those are off by it, and the clean ones are recorded as expert_action."""
    scene, state = box_toy.Scene.random(seed), box_toy.HOME.copy()
    actions = np.concatenate([box_toy.HOME[None], box_toy.expert(scene)])[: n_frames + 1]
    meta = {"robot": "g1", "task": "g1_box", "seed": seed, "action_channels": list(box_toy.CHANNELS)}
    writer = EpisodeWriter(folder, meta)
    for i in range(n_frames):
        stamp = START_NS + i * FRAME_NS
        writer.write_vector("/g1/measured_action", box_toy.CHANNELS, state, stamp)
        for camera, picture in box_toy.draw(scene, state).items():
            jpeg = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
            writer.write_jpeg(f"/g1/camera/{camera}/color/image_raw/compressed", jpeg, stamp)
        state = box_toy.step(scene, state, actions[i + 1])
    ticks = np.arange(0, (n_frames - 1) * FRAME_NS + 1, REFERENCE_NS)
    for tick in ticks:
        i, w = divmod(tick / FRAME_NS, 1.0)
        reference = actions[int(i)] + w * (actions[min(int(i) + 1, n_frames)] - actions[int(i)])
        writer.write_vector("/g1/reference", box_toy.CHANNELS, reference + disturbance, START_NS + int(tick))
        if disturbance:
            writer.write_vector("/g1/expert_action", box_toy.CHANNELS, reference, START_NS + int(tick))
    writer.close(outcome, "expert")


@pytest.fixture(scope="session")
def recordings(tmp_path_factory) -> Path:
    """Four successes of 12 frames and a failure."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("recordings")
    for seed in range(4):
        write_episode(root / f"20260101-00000{seed}-{seed}", seed, 12)
    write_episode(root / "20260101-000009-9", 9, 12, outcome="failure")
    return root
