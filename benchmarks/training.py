"""Training speed: our trainer beside LeRobot's around one and the same network, and what the frame cache saves.

`train_speed_vs_lerobot` needs RETAKE_LEROBOT_PYTHON: a Python with `lerobot[training]` and rosbags, mcap, lz4, rich.
Both sides train LeRobot's ACT (ResNet-18, its defaults, random weights) from one LeRobot v3 dataset of 128x96 video on
the same threads. LeRobot's side is `lerobot-train` as its users run it, which decodes video in every epoch. Ours reads
the frame cache, and also augments pictures and averages weights, which `lerobot-train` does not.
"""

from __future__ import annotations

import json
import os
import statistics
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

from policies.dataset import find_episodes, load_samples
from policies.episode_file import EpisodeWriter, read_episode
from policies.frames import decode_frame, random_shifts, shrink
from policies.lerobot_export import LeRobotExport
from policies.lerobot_rows import content_sha256, episode_rows
from policies.sampling import Shuffle
from policies.sources import Recording
from sim.demonstration import Demonstrator, Variation

SEEDS = range(4)
WIDTH, HEIGHT, BATCH_SIZE = 128, 96, 8
STEPS, ROUNDS, THREADS = 12, 2, 2
WORKERS = (0, 2)  # of LeRobot's loader: the faster one counts
LEROBOT = "RETAKE_LEROBOT_PYTHON"
ROOT, PEER = Path(__file__).parents[1], "benchmarks.training_peer"


@cache
def cache_speedup() -> dict[str, dict[str, Any]]:
    """Time of an epoch of pictures decoded from video (each file once, front to back: no shuffled loader can do less)
    over that of a shuffled, shifted epoch from the frame cache."""
    with _folder() as folder:
        _record(folder)
        episodes = find_episodes(_exported(sorted((folder / "expert").iterdir()), folder / "dataset"))
        cameras = tuple(sorted(episodes[0].read().pictures))
        load_samples(episodes, folder / "cache", cameras, WIDTH, HEIGHT)
        decoding, cached = [], []
        for _ in range(3):
            begin = time.perf_counter()
            n = sum(_decoded(episode.read().pictures) for episode in episodes)
            decoding.append(time.perf_counter() - begin)
            begin = time.perf_counter()
            samples = load_samples(episodes, folder / "cache", cameras, WIDTH, HEIGHT)
            _shuffled_epoch(samples)
            cached.append(time.perf_counter() - begin)
    slow, fast = statistics.median(decoding), statistics.median(cached)
    peer = f"decoding: {n / slow:.0f} pictures/s; cache, opened anew: {n / fast:.0f} pictures/s"
    return {"train_cache_speedup": {"value": slow / fast, "peer": peer, "pictures": n}}


@cache
def speed_vs_lerobot() -> dict[str, dict[str, Any]]:
    """Steps per second of our trainer over those of LeRobot's; medians of single steps, the two sides in turn."""
    python = os.environ.get(LEROBOT)
    if not python:
        print(f"{LEROBOT} names no Python with lerobot[training], rosbags, mcap, lz4 and rich: not measured")
        return {}
    with _folder() as folder:
        _record(folder)
        small = [_shrunk(path, folder / "small") for path in sorted((folder / "expert").iterdir())]
        root = _exported(small, folder / "dataset")
        runs: dict[str, list[dict]] = {"retake": [], **{f"lerobot {n}": [] for n in WORKERS}}
        for turn in range(ROUNDS):
            for name, done in runs.items():
                side, _, workers = name.partition(" ")
                done.append(_peer(python, side, root, folder / f"{side}{workers}-{turn}", int(workers or 0)))
    step_s = {name: statistics.median(sum((r["seconds"] for r in done), [])) for name, done in runs.items()}
    cpu_s = {name: statistics.median(r["cpu_s"] for r in done) for name, done in runs.items()}
    best = min((name for name in runs if name != "retake"), key=lambda name: step_s[name])
    weights = {r["weights"] for done in runs.values() for r in done}
    if len(weights) != 1:
        raise RuntimeError(f"the networks differ: {weights} weights; allowed: equal ones; install lerobot 0.6.1")
    said = {name: f"{1 / step_s[name]:.2f} steps/s of {cpu_s[name]:.2f} CPU s" for name in (best, "retake")}
    peer = f"{best} workers ({runs[best][0]['version']}): {said[best]}; ours: {said['retake']}"
    return {"train_speed_vs_lerobot": {
        "value": step_s[best] / step_s["retake"], "peer": peer, "batch_size": BATCH_SIZE, "threads": THREADS,
        "weights": weights.pop(), "step_s": step_s, "cpu_s": cpu_s,
    }}  # fmt: skip


def _peer(python: str, side: str, root: Path, out: Path, workers: int) -> dict:
    out.mkdir()
    numbers = map(str, (BATCH_SIZE, STEPS, THREADS, workers))
    environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS),
                   "HF_HUB_OFFLINE": "1", "HF_HOME": str(out)}  # fmt: skip
    command = [python, "-m", PEER, side, str(root), str(out), *numbers]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.stderr.write(done.stderr[-3000:])
        raise RuntimeError(f"{side} did not train (exit code {done.returncode}); what it said is above")
    return json.loads(done.stdout.strip().splitlines()[-1])


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="retake-training-") as name:
        yield Path(name)


def _record(folder: Path) -> None:
    demonstrator = Demonstrator(Variation(noise=0.6), "arm_pick")
    for seed in SEEDS:
        demonstrator.record(seed, folder / "expert")


def _shrunk(recorded: Path, root: Path) -> Path:
    """The episode with pictures of WIDTH x HEIGHT."""
    episode, meta = read_episode(recorded), Recording(recorded).meta
    kept = {key: meta[key] for key in ("robot", "task", "seed", "action_channels", "authority", "segments")}
    with EpisodeWriter(root / recorded.name, kept) as writer:
        for i, stamp in enumerate(episode.frame_stamps_ns.tolist()):
            at = int(np.searchsorted(episode.reference_stamps_ns, stamp, side="right")) - 1
            for name, vector in (("measured_action", episode.state[i]), ("reference", episode.reference[max(0, at)])):
                writer.write_vector(f"/{meta['robot']}/{name}", episode.channels, vector, stamp)
            for camera, jpegs in episode.images.items():
                picture = np.ascontiguousarray(decode_frame(jpegs[i], WIDTH, HEIGHT)[..., ::-1])
                jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
                writer.write_jpeg(f"/{meta['robot']}/camera/{camera}/color/image_raw/compressed", jpeg, stamp)
        writer.close("success", "expert")
    return root / recorded.name


def _exported(folders: list[Path], root: Path) -> Path:
    with LeRobotExport(root, "nominal") as export:
        for folder in folders:
            export.append(folder.name, content_sha256(folder, Recording(folder).meta), episode_rows(folder))
    return root


def _decoded(pictures: Any) -> int:
    return sum(shrink(picture, WIDTH, HEIGHT) is not None for frames in pictures.values() for picture in frames)


def _shuffled_epoch(samples: Any) -> None:
    shuffle, rng = Shuffle(samples.weight, 0), np.random.default_rng(0)
    for step in range(-(-len(samples.where) // BATCH_SIZE)):
        index = shuffle.batch(step, BATCH_SIZE)
        samples.images(index, random_shifts(rng, len(index), samples.episodes[0].images.shape[1]))
