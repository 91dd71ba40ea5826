"""Export to LeRobot v3.0 and back: what differs, and how fast it is beside LeRobot's own writer.

The episodes are two of the scripted expert (arm_insert, drawn) with disturbed references, and the same pictures at
640x480 from two cameras at 30 Hz with jitter, lost frames, and a takeover. LeRobot is run where RETAKE_LEROBOT_PYTHON
names a Python that has it: it writes the same pictures and vectors, and it opens what we exported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from policies.episode_file import EpisodeWriter, read_episode, read_meta
from policies.lerobot_check import check_dataset
from policies.lerobot_export import LeRobotExport
from policies.lerobot_import import ImportPlan, LeRobotImport
from policies.lerobot_rows import Rows, content_sha256, episode_rows
from sim.demonstration import Demonstrator, Variation

SEEDS = (0, 1)
WIDTH, HEIGHT, FRAMES = 640, 480, 300
CODEC_DB = 30.0  # a picture below this PSNR counts as an error
LEROBOT = "RETAKE_LEROBOT_PYTHON"
PEER = Path(__file__).with_name("lerobot_peer.py")


@cache
def figures() -> dict[str, dict[str, Any]]:
    """Errors of a round trip, and camera frames per second of the export."""
    with _folder() as folder:
        for seed in SEEDS:
            Demonstrator(Variation(noise=0.6), "arm_insert").record(seed, folder / "expert")
        large = _large(folder / "large/20260101-000000-0", next((folder / "expert").iterdir()))
        errors, worst_db, frames = _round_trip(folder)
        seconds, cpu_s = _export([large], folder / "speed")
        peer = _peer(large, folder)
        pictures = 2 * len(episode_rows(large).stamp_ns)
    return {
        "export_roundtrip_errors": {"value": errors, "peer": peer["loaded"], "frames": frames,
                                    "worst_psnr_db": round(worst_db, 1)},
        "export_frames_per_s": {"value": pictures / seconds, "peer": peer["written"], "pictures": pictures,
                                "per_cpu_s": round(pictures / cpu_s), "size": f"{WIDTH}x{HEIGHT}"},
    }  # fmt: skip


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="retake-export-") as name:
        yield Path(name)


def _large(folder: Path, expert: Path) -> Path:
    """An episode of the expert's pictures, enlarged, two cameras at 30 Hz; every 97th frame is lost."""
    episode = read_episode(expert)
    rng, cameras = np.random.default_rng(0), list(episode.images)[:2]
    pictures = {camera: [_enlarged(jpeg) for jpeg in episode.images[camera]] for camera in cameras}
    start = int(episode.frame_stamps_ns[0])
    changes = [[start, "policy"], [start + 3 * 10**9, "recovery"], [start + 4 * 10**9, "correction"]]
    meta = {"robot": episode.meta["robot"], "task": "arm_insert", "action_channels": list(episode.channels),
            "segments": changes, "authority": [[start, "policy"], [start + 3 * 10**9, "teleop"]]}
    writer = EpisodeWriter(folder, meta)
    for i in range(FRAMES):
        stamp, row = start + i * 33_333_333 + int(rng.integers(0, 2_000_000)), i % len(episode.state)
        for name in ("measured_action", "reference", "policy_action"):
            vector = episode.state[row] + rng.normal(size=len(episode.channels)) * 1e-3
            writer.write_vector(f"/{meta['robot']}/{name}", episode.channels, vector, stamp)
        for camera in cameras:
            if i % 97 != 96:
                topic = f"/{meta['robot']}/camera/{camera}/color/image_raw/compressed"
                writer.write_jpeg(topic, pictures[camera][row], stamp)
    writer.close("success", "operator")
    return folder


def _enlarged(jpeg: bytes) -> bytes:
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    large = cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".jpg", large, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def _export(folders: list[Path], out: Path) -> tuple[float, float]:
    """Seconds, of the clock and of processors, that the export of the episodes takes, reading included."""
    begin, cpu_begin = time.perf_counter(), time.process_time()
    with LeRobotExport(out) as export:
        for folder in folders:
            export.append(folder.name, content_sha256(folder, read_meta(folder)), episode_rows(folder))
    return time.perf_counter() - begin, time.process_time() - cpu_begin


def _round_trip(root: Path) -> tuple[int, float, int]:
    """Errors, the worst PSNR of a picture in dB, and how many frames were compared."""
    errors, worst, frames = 0, np.inf, 0
    for kind in ("expert", "large"):
        folders, out, back = sorted((root / kind).iterdir()), root / f"{kind}-lerobot", root / f"{kind}-back"
        _export(folders, out)
        errors += len([finding for finding in check_dataset(out) if finding.is_fault])
        robot = read_meta(folders[0])["robot"]
        dataset = LeRobotImport(out, ImportPlan(robot))
        for row, folder in zip(dataset.rows, folders, strict=True):
            dataset.write(row, back)
            recorded, again = episode_rows(folder), episode_rows(back / folder.name)
            errors += _differences(recorded, again)
            low = [db for db in _psnr_db(recorded, again)]
            errors += sum(db < CODEC_DB for db in low)
            worst, frames = min(worst, *low), frames + len(recorded.stamp_ns)
    return errors, float(worst), frames


def _differences(a: Rows, b: Rows) -> int:
    """Values that differ in any bit, over all columns."""
    if len(a.stamp_ns) != len(b.stamp_ns) or a.channels != b.channels or set(a.columns) != set(b.columns):
        return max(len(a.stamp_ns), len(b.stamp_ns))
    return sum(int((np.asarray(a.columns[key]) != np.asarray(b.columns[key])).sum()) for key in a.columns)


def _psnr_db(a: Rows, b: Rows) -> list[float]:
    pairs = [pair for camera in a.images for pair in zip(a.images[camera], b.images[camera], strict=True)]
    decoded = ([cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) for jpeg in pair] for pair in pairs)
    return [cv2.PSNR(first, second) for first, second in decoded]


def _peer(episode: Path, folder: Path) -> dict[str, str]:
    """What LeRobot says: of our datasets, opened by it, and its own speed with the same pictures."""
    python = os.environ.get(LEROBOT)
    if not python:
        nothing = f"no LeRobot ({LEROBOT})"
        return {"loaded": nothing, "written": nothing}
    rows = episode_rows(episode)
    np.savez(folder / "peer.npz", state=rows.columns["recorded.state"], action=rows.columns["recorded.action"])
    for camera, jpegs in rows.images.items():
        for i, jpeg in enumerate(jpegs):
            path = folder / "peer" / camera / f"{i:06d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg)
    datasets = [str(folder / f"{kind}-lerobot") for kind in ("expert", "large")]
    done = subprocess.run([python, str(PEER), str(folder), *datasets], capture_output=True, text=True)
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
        raise RuntimeError(f"{PEER.name} left with {done.returncode}; see above")
    return json.loads(done.stdout.splitlines()[-1])
