"""Inference that takes longer than it does here: success with 50, 150 and 300 ms more, and how chunks meet.

The one-process rollout, with the graph's own controller and authority; the same held-out seeds for every way. Beside
the graph's own execution two that are common: `synchronous` (act, stop, infer, act) and `from_arrival` (asynchronous,
each chunk played from the moment it comes, as if it had been seen then).
"""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from controllers.action_layout import ActionLayout
from policies.chunk import chunk_times_ns
from policies.executed import Executed
from policies.execution import ChunkExecution, interpolated
from policies.inference import Answer, answer
from policies.observation import Observation
from policies.paired import Paired
from policies.policy_choice import choose
from policies.predictor import Predictor
from policies.statistics import format_rate
from sim.rollout import LATENCY_S, Rollout
from sim.tasks import HELD_OUT_SEED

TRAINED, SHIPPED = Path("build/policies/arm_pick"), Path("policies/checkpoints/g1_box")
ADDED_S = (0.05, 0.15, 0.3)
N_SEEDS = int(os.environ.get("RETAKE_BENCH_SEEDS", "50"))
N_ACTION_STEPS = 6  # of a chunk, that the synchronous robot takes before it stops
NEAR_NS = 100_000_000  # around a switch from chunk to chunk
START_NS = 400_000_000  # of the first chunk: the robot sets off from rest, which is no boundary
PERCENTILE = 99.0


class Synchronous:
    """Acts, stops, infers while it rests, acts."""

    def __init__(self, policy: Predictor) -> None:
        self.policy = policy
        self.begin()

    def begin(self) -> None:
        self._until_ns = 0

    def answer(self, observation: Observation, executed: Executed, latency_s: float) -> Answer:
        """Its first actions from the moment they come, the last of them to the end of the chunk."""
        if observation.stamp_ns < self._until_ns:
            return Answer(observation, None, 0.0, "it acts")
        done = played_from_arrival(self.policy, answer(self.policy, observation), latency_s, N_ACTION_STEPS)
        act_ns = N_ACTION_STEPS * self.policy.config.chunk_dt_ns
        self._until_ns = observation.stamp_ns + round(latency_s * 1e9) + act_ns
        return done


class FromArrival:
    """Never stops, and takes each chunk for one of the moment in which it comes."""

    def __init__(self, policy: Predictor) -> None:
        self.policy = policy

    def begin(self) -> None:
        """Nothing is kept."""

    def answer(self, observation: Observation, executed: Executed, latency_s: float) -> Answer:
        """The whole chunk, late."""
        return played_from_arrival(self.policy, answer(self.policy, observation), latency_s)


def played_from_arrival(policy: Predictor, done: Answer, latency_s: float, n_steps: int = 10**6) -> Answer:
    """The answer moved in time by the latency; after `n_steps` actions it rests."""
    if done.chunk is None:
        return done
    config = policy.config
    times_ns = chunk_times_ns(config.chunk_size, config.chunk_dt_ns)
    seen_ns = np.minimum(times_ns - round(latency_s * 1e9), n_steps * config.chunk_dt_ns)
    chunk = interpolated(seen_ns, times_ns, done.chunk, config.action_channels)
    return Answer(done.observation, chunk, done.inference_s)


WAYS = {"own": ChunkExecution, "synchronous": Synchronous, "from_arrival": FromArrival}


@dataclass(frozen=True)
class Case:
    """One policy with so much added latency, executed in one of WAYS."""

    folder: str
    way: str
    added_s: float


@dataclass(frozen=True)
class Episode:
    """`near` and `mid`: accelerations of the references by part, m/s² or rad/s², (n,) each."""

    seed: int
    success: bool
    held_ticks: int
    near: dict[str, np.ndarray]
    mid: dict[str, np.ndarray]


def figures() -> dict[str, dict[str, Any]]:
    """All three, the worst of the policies each."""
    results = _measured()
    folders = sorted({case.folder for case in results})
    held = {f"{Path(c.folder).name} +{1000 * c.added_s:.0f} ms": sum(e.held_ticks for e in episodes)
            for c, episodes in results.items() if c.way == "own"}  # fmt: skip
    said = {f"{Path(c.folder).name} {c.way} +{1000 * c.added_s:.0f} ms": _rate(episodes)
            for c, episodes in results.items()}  # fmt: skip
    drops = {folder: _paired(results, folder, Case(folder, "own", 0.15)) for folder in folders}
    worst = min(folders, key=lambda folder: drops[folder].difference)
    naive = {way: _rate(results[Case(worst, way, 0.15)]) for way in WAYS if way != "own"}
    meets = {Path(folder).name: meeting(results[Case(folder, "own", 0.0)]) for folder in folders}
    shared = {"policies": {folder: choose(folder).sha256 for folder in folders},
              "first_seed": HELD_OUT_SEED, "success": said}
    low, high = drops[worst].interval()
    return {
        "latency_ticks_without_reference": {"value": sum(held.values()), "peer": None, "ticks": held, **shared},
        "latency_150ms_success_drop": {
            "value": -100 * drops[worst].difference, "interval": [-100 * high, -100 * low],
            "peer": ", ".join(f"{way} {rate}" for way, rate in naive.items()), **shared},
        "chunk_boundary_acceleration_ratio": {
            "value": max(m["ratio"] for m in meets.values()), "peer": None, "policies_apart": meets, **shared},
    }  # fmt: skip


def meeting(episodes: list[Episode]) -> dict[str, Any]:
    """The 99th percentile of the acceleration near switches / elsewhere, of the part of the hands where it is worst."""
    parts = {}
    for part in episodes[0].near:
        near, mid = (np.concatenate([getattr(e, kind)[part] for e in episodes]) for kind in ("near", "mid"))
        if part.endswith(("position", "orientation")):
            p99 = [float(np.percentile(values, PERCENTILE)) for values in (near, mid)]
            parts[part] = {"near": p99[0], "mid": p99[1], "ratio": p99[0] / p99[1],
                           "peak_ratio": float(near.max() / mid.max())}
    worst = max(parts, key=lambda part: parts[part]["ratio"])
    return {"ratio": parts[worst]["ratio"], "part": worst, "parts": parts}


def accelerations(executed: Executed, layout: ActionLayout) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Of the references, by part: near switches from chunk to chunk, and elsewhere."""
    stamps, chunks = executed.stamps_ns, executed.chunk_stamps_ns
    dt_s = np.diff(stamps)[:, None] * 1e-9
    pairs = zip(executed.references, executed.references[1:], strict=False)
    rates = np.array([layout.difference(before, after) for before, after in pairs]) / dt_s
    changes = np.diff(rates, axis=0) / dt_s[1:]
    at_ns = stamps[1:-1]
    switches = stamps[1:][(chunks[1:] != chunks[:-1]) & (chunks[:-1] > 0)]
    distance = np.abs(at_ns[:, None] - switches[None]).min(axis=1, initial=10 * NEAR_NS)
    is_under_way = at_ns >= stamps[chunks > 0][0] + START_NS
    near: dict[str, np.ndarray] = {}
    mid: dict[str, np.ndarray] = {}
    for part in layout.parts:
        size = np.linalg.norm(changes[:, part.rates], axis=1)
        near[part.name] = size[is_under_way & (distance <= NEAR_NS)]
        mid[part.name] = size[is_under_way & (distance > NEAR_NS)]
    return near, mid


@cache
def _measured() -> dict[Case, list[Episode]]:
    """Every case on every seed, in as many processes as there are cores."""
    folders = sorted(str(path.parent) for path in TRAINED.glob("*/policy.json")) or [str(SHIPPED)]
    cases = [Case(folder, "own", added_s) for folder in folders for added_s in (0.0, *ADDED_S)]
    cases += [Case(folder, way, 0.15) for folder in folders for way in WAYS if way != "own"]
    workers, context = os.cpu_count() or 1, multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context) as pool:
        parts = {case: [pool.submit(run, case, seeds_of(case)[k::workers]) for k in range(workers)] for case in cases}
        return {case: sorted((e for part in futures for e in part.result()), key=lambda e: e.seed)
                for case, futures in parts.items()}  # fmt: skip


def seeds_of(case: Case) -> list[int]:
    """Twice as many where the figure is a difference: of 50 pairs one or two differ by chance."""
    n = 2 * N_SEEDS if case.way == "own" and case.added_s in (0.0, 0.15) else N_SEEDS
    return list(range(HELD_OUT_SEED, HELD_OUT_SEED + n))


def run(case: Case, seeds: list[int]) -> list[Episode]:
    """These seeds, one after the other."""
    torch.set_num_threads(1)
    chosen = choose(case.folder)
    rollout = Rollout(chosen.task, chosen.policy.config.cameras, LATENCY_S + case.added_s)
    try:
        episodes = []
        for seed in seeds:
            result = rollout.run(seed, WAYS[case.way](chosen.policy))
            near, mid = accelerations(result.executed, rollout.rig.layout)
            episodes.append(Episode(seed, result.outcome == "success", result.held_ticks, near, mid))
        return episodes
    finally:
        rollout.close()


def _paired(results: dict[Case, list[Episode]], folder: str, case: Case) -> Paired:
    """Without added latency, and with."""
    pairs = [(a.success, b.success) for a, b in zip(results[Case(folder, "own", 0.0)], results[case], strict=True)]
    return Paired(*(pairs.count(kind) for kind in ((True, True), (True, False), (False, True), (False, False))))


def _rate(episodes: list[Episode]) -> str:
    return format_rate(sum(e.success for e in episodes), len(episodes))
