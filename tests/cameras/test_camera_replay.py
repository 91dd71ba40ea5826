"""camera_replay: the recorded bytes, at the recorded distances, stamped now."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, CompressedImage

from policies.episode_file import EpisodeWriter, typestore
from retake.cameras.codec import optical_frame, to_jpeg
from retake.cameras.replay import CameraReplay
from retake.errors import UserError
from retake.ros import qos
from retake.ros.conversions import stamp_ns
from tests.nodes.conftest import Probe, options

FRAME_NS = 33_000_000
TOPIC = "camera/head/color"
JPEGS = [to_jpeg(np.full((24, 32, 3), 40 * n, np.uint8)) for n in range(5)]


def write(folder: Path, cameras: bool = True) -> Path:
    with EpisodeWriter(folder, {"task": "g1_box"}) as writer:
        types = typestore().types
        for n, jpeg in enumerate(JPEGS):
            stamp = 1_980_000_000 + n * FRAME_NS
            text = types["std_msgs/msg/String"]("{}")
            writer.write("/g1/ground_truth/task", "std_msgs/msg/String", text, stamp)
            if cameras:
                writer.write_jpeg(f"/g1/{TOPIC}/image_raw/compressed", jpeg, stamp, optical_frame("head"))
        writer.close("success", "operator")
    return folder


def test_the_same_bytes_at_the_same_distances_stamped_now_and_again(probe: Probe, tmp_path: Path) -> None:
    pictures = probe.listen(CompressedImage, f"{TOPIC}/image_raw/compressed", qos.CAMERA)
    probe.listen(CameraInfo, f"{TOPIC}/camera_info", qos.CAMERA)
    before = time.time_ns()
    probe.add(CameraReplay(**options(probe, episode=str(write(tmp_path / "e")))))
    probe.until(lambda: len(pictures) > 2 * len(JPEGS))
    heard = [picture.data.tobytes() for picture in pictures]
    first = JPEGS.index(heard[0])  # those before went out while the subscription was being found
    expected = [JPEGS[(first + n) % len(JPEGS)] for n in range(len(heard))]
    assert heard == expected and pictures[0].header.frame_id == optical_frame("head")
    stamps = [stamp_ns(picture.header.stamp) for picture in pictures]
    assert before <= stamps[0] and abs(stamps[-1] - time.time_ns()) < 1e9
    steps = np.diff(stamps)[: len(JPEGS) - first - 1]
    assert np.all(steps == FRAME_NS) and np.all(np.diff(stamps) > 0)


def test_without_loop_it_ends(probe: Probe, tmp_path: Path) -> None:
    node = probe.add(CameraReplay(**options(probe, episode=str(write(tmp_path / "e")), loop=False)))
    probe.until(lambda: node._next is None)


def test_what_cannot_be_played_is_refused(probe: Probe, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no episode"):
        CameraReplay(**options(probe, episode=str(tmp_path)))
    with pytest.raises(UserError, match="holds no camera; it holds: /g1/ground_truth/task; choose an episode"):
        CameraReplay(**options(probe, episode=str(write(tmp_path / "blind", cameras=False))))
