"""The one-process environment's speed, and the scripted expert on held-out seeds."""

from __future__ import annotations

import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from policies.statistics import wilson_interval
from sim.control_loop import ControlLoop
from sim.expert import BoxExpert
from sim.g1_box import HELD_OUT_SEED, MAX_EPISODE_S, G1BoxTask
from sim.g1_box_env import G1BoxEnv
from sim.g1_world import G1World

SEEDS = 100
SPEED_STEPS = 180  # of 66 ms: one whole episode, with contacts, carrying and placing


def speed() -> dict[str, dict[str, Any]]:
    """Simulated seconds per wall second of G1BoxEnv over whole expert episodes; mj_step alone beside it."""
    import mujoco

    env = G1BoxEnv()
    rates = []
    for seed in (HELD_OUT_SEED, HELD_OUT_SEED + 1, HELD_OUT_SEED + 2):
        observation, _ = env.reset(seed=seed)
        expert = BoxExpert(env.unwrapped.task.scene, seed)
        start = observation["state"].copy()
        begin = time.perf_counter()
        simulated = 0.0
        for k in range(SPEED_STEPS):
            _, _, terminated, truncated, _ = env.step(expert.act(k * 0.066, start))
            simulated += 0.066
            if terminated or truncated:
                break
        rates.append(simulated / (time.perf_counter() - begin))
    world = G1World()
    world.reset(0)
    begin = time.perf_counter()
    mujoco.mj_step(world.model, world.data, nstep=2000)
    raw = 2000 * world.model.opt.timestep / (time.perf_counter() - begin)
    value = sorted(rates)[1]
    return {"env_rtf": {"value": value, "peer": f"mj_step alone {raw:.1f} x", "runs": [round(r, 2) for r in rates]}}


def expert() -> dict[str, dict[str, Any]]:
    """Success of the scripted expert on SEEDS held-out seeds, in as many processes as there are cores."""
    seeds = range(HELD_OUT_SEED, HELD_OUT_SEED + SEEDS)
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        ends = list(pool.map(_play, seeds))
    wins, falls = ends.count("success"), ends.count("fallen")
    low, high = wilson_interval(wins, SEEDS)
    failed = {seed: end for seed, end in zip(seeds, ends, strict=True) if end != "success"}
    result = {"value": wins / SEEDS, "peer": None, "interval": [low, high], "trials": SEEDS, "failed": failed}
    return {"g1_box_expert_success": result, "falls": {"value": falls}}


def _play(seed: int) -> str:
    """How one episode of the expert ends: success, fallen, dropped or timeout."""
    world = G1World()
    task, loop = G1BoxTask(world), ControlLoop(world)
    scene = task.randomise(seed)
    loop.reset()
    plan, start = BoxExpert(scene, seed), loop.reference
    while world.time < MAX_EPISODE_S:
        if loop.reference_due:
            task.update()
            for end, came in (("success", task.success()), ("fallen", task.fallen()), ("dropped", task.dropped())):
                if came:
                    return end
        loop.advance(plan.act(world.time, start))
    return "timeout"
