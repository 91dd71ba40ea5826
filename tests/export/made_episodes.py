"""Small real episodes for the tests here, and what is compared after a round trip."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np

from policies.episode_file import EpisodeWriter, typestore
from policies.lerobot_rows import Rows

ROBOT = "arm"  # of no rig that we know: its channels are what the recording names
CHANNELS = ("left_ee.x", "left_ee.y", "left_ee.z", "left_gripper")
START_NS, TICK_NS, FRAME_NS = 1_790_000_000_123_456_789, 20_000_000, 66_000_000
CAMERAS = ("chest", "head")  # the first one gives the rows
WIDTH, HEIGHT = 64, 48


def picture(seed: int, frame: int, camera: int) -> np.ndarray:
    """(h, w, 3) uint8 BGR: a bright square that moves one pixel per frame over a gradient that the camera colours."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    image = np.stack([60 + x, 40 + 2 * y, np.full_like(x, 50 * camera + 10 * seed)], axis=-1).astype(np.uint8)
    image[10:22, frame % 40:frame % 40 + 12] = 230
    return image


def jpeg(image: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def write_episode(
    folder: Path, seed: int, frames: int, outcome: str = "success", jitter_ns: int = 0, lost: tuple[int, ...] = (),
    channels: tuple[str, ...] = CHANNELS, cameras: tuple[str, ...] = CAMERAS, frame_ns: int = FRAME_NS,
    expert: bool = False, wanted: bool = True,
) -> Path:  # fmt: skip
    """Write an episode: policy, then a takeover with recovery and correction, then teleop. `lost` frames lack."""
    rng = np.random.default_rng(seed)
    n_ticks = (frames - 1) * frame_ns // TICK_NS + 3
    at = [START_NS + int(n_ticks * share) * TICK_NS for share in (0, 0.4, 0.6, 0.8)]
    who = ["policy", "teleop", "teleop", "teleop"]
    segments = ["policy", "recovery", "correction", "teleop"]
    meta = {"robot": ROBOT, "task": "stack", "seed": seed, "action_channels": list(channels),
            "authority": [list(pair) for pair in zip(at[:2], who[:2], strict=True)],
            "segments": [list(pair) for pair in zip(at, segments, strict=True)]}  # fmt: skip
    writer = EpisodeWriter(folder, meta)
    for tick in range(n_ticks):
        stamp = START_NS + tick * TICK_NS
        for name in ("measured_action", "reference", *(("expert_action",) if expert else ())):
            writer.write_vector(f"/{ROBOT}/{name}", channels, rng.normal(size=len(channels)), stamp)
        if wanted and tick % 7:  # now and then its newest chunk does not cover the tick
            writer.write_vector(f"/{ROBOT}/policy_action", channels, rng.normal(size=len(channels)), stamp)
    for frame in range(frames):
        if frame in lost:
            continue
        stamp = START_NS + frame * frame_ns + (int(rng.integers(-jitter_ns, jitter_ns + 1)) if frame else 0)
        for k, camera in enumerate(cameras):
            writer.write_jpeg(f"/{ROBOT}/camera/{camera}/color/image_raw/compressed", jpeg(picture(seed, frame, k)),
                              max(stamp, START_NS) - k * 1_000_000 * (frame > 0))
    status = typestore().types["std_msgs/msg/String"]("policy")
    writer.write(f"/{ROBOT}/authority", "std_msgs/msg/String", status, START_NS)
    writer.close(outcome, "operator")
    return folder


def command(module: ModuleType, *words: object) -> int:
    """Run a `retake` command as its command line does."""
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    return module.run(parser.parse_args([str(word) for word in words]))


def differences(a: Rows, b: Rows) -> list[str]:
    """Columns in which two episodes differ in any bit."""
    odd = [key for key in sorted(set(a.columns) | set(b.columns))
           if not np.array_equal(np.asarray(a.columns[key]), np.asarray(b.columns[key]))]
    return odd + [name for name in ("channels", "has_expert_action") if getattr(a, name) != getattr(b, name)]


def worst_psnr_db(a: Rows, b: Rows) -> float:
    """Of all pictures of two episodes."""
    worst = np.inf
    for camera in a.images:
        for one, other in zip(a.images[camera], b.images[camera], strict=True):
            first, second = (cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) for data in (one, other))
            worst = min(worst, cv2.PSNR(first, second))
    return float(worst)
