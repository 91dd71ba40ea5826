"""Arms: the controller's step beside mink's with the same arm and tasks; the scripted experts on held-out seeds."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import mujoco
import numpy as np

from controllers import arm
from controllers.arm_controller import CLEARANCE, REACH, ArmController, ArmSensors
from controllers.arm_model import model_path
from controllers.rigs import YAM
from policies.statistics import wilson_interval

ROUNDS = 1500
SEEDS = 100


def step() -> dict[str, dict[str, Any]]:
    """Medians of both steps, called in turn while the hand goes to and fro above the table."""
    calls = [_our_step(), _mink_step()]
    times = np.zeros((len(calls), ROUNDS))
    for k in range(-100, ROUNDS):
        for i, call in enumerate(calls):
            start = time.perf_counter()
            call(k)
            if k >= 0:
                times[i, k] = (time.perf_counter() - start) * 1e6
    ours, mink_us = (float(np.median(row)) for row in times)
    return {"arm_step_vs_mink": {"value": ours / mink_us, "peer": f"mink {mink_us:.0f} µs", "step_us": round(ours, 1),
                                 "mink_us": round(mink_us, 1)}}  # fmt: skip


def _goal(k: int) -> np.ndarray:
    goal = YAM.home_action.copy()
    goal[:2] += 0.03 * np.sin(0.01 * k), 0.03 * np.cos(0.01 * k)
    return goal


def _our_step() -> Callable[[int], Any]:
    """State and action in, joint command out: filter, IK with all limits and distances, torques."""
    controller = ArmController(YAM)
    state = [ArmSensors(np.append(arm.YAM.q_home, 0.5), np.zeros(7), np.zeros(7))]

    def step(k: int) -> object:
        command = controller.step(state[0], _goal(k) if k % 5 == 0 else None)
        state[0] = ArmSensors(command.q_des, command.dq_des, state[0].tau_est)
        return command

    return step


def _mink_step() -> Callable[[int], Any]:
    """The hand's pose and the posture; position, velocity and collision limits of the same parts and distances."""
    import mink

    spec = mujoco.MjSpec.from_file(str(model_path("i2rt_yam")))
    quat = np.roll(arm.YAM.ee_quat_xyzw, 1)
    spec.body(arm.YAM.ee_link).add_site(name="ee", pos=arm.YAM.ee_position, quat=quat)
    spec.worldbody.add_geom(name="table", type=mujoco.mjtGeom.mjGEOM_PLANE, size=(0, 0, 0.1))
    model = spec.compile()
    configuration = mink.Configuration(model)
    q = configuration.data.qpos.copy()
    q[:6] = arm.YAM.q_home
    configuration.update(q)
    hand, posture = mink.FrameTask("ee", "site", 1.0, 0.22), mink.PostureTask(model, cost=1e-2)
    posture.set_target(q)
    names = [model.geom(i).name for i in range(model.ngeom)]
    moving = [name for name in names if name.startswith(("link4", "link5", "link6", "lf_", "rf_"))]
    fixed = ["base_collision", "link2_1_collision", "link2_2_collision", "link2_3_collision", "table"]
    speeds = {name: float(limit) for name, limit in zip(arm.YAM.joints, arm.YAM.dq_max, strict=True)}
    apart = mink.CollisionAvoidanceLimit(
        model, [(moving, fixed)], minimum_distance_from_collisions=CLEARANCE, collision_detection_distance=REACH)
    limits = [mink.ConfigurationLimit(model), mink.VelocityLimit(model, speeds), apart]

    def step(k: int) -> object:
        goal = _goal(k)
        hand.set_target(mink.SE3(np.concatenate([np.roll(goal[3:7], 1), goal[:3]])))
        velocity = mink.solve_ik(configuration, [hand, posture], arm.CONTROL_DT, "daqp", limits=limits)
        configuration.integrate_inplace(velocity, arm.CONTROL_DT)  # updates the kinematics, as a step of ours does
        return velocity

    return step


def pick_expert() -> dict[str, dict[str, Any]]:
    """Success of arm_pick's expert on SEEDS held-out seeds."""
    return {"arm_pick_expert_success": _success("arm_pick")}


def insert_expert() -> dict[str, dict[str, Any]]:
    """Success of arm_insert's expert on SEEDS held-out seeds."""
    return {"arm_insert_expert_success": _success("arm_insert")}


def _success(task: str) -> dict[str, Any]:
    from sim.arm_pick import HELD_OUT_SEED

    seeds = [(task, HELD_OUT_SEED + k) for k in range(SEEDS)]
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        ends = list(pool.map(_play, seeds, chunksize=10))
    wins = sum(end == "success" for end, _ in ends)
    low, high = wilson_interval(wins, SEEDS)
    failed = {seed: end for (_, seed), (end, _) in zip(seeds, ends, strict=True) if end != "success"}
    return {"value": wins / SEEDS, "peer": None, "interval": [low, high], "trials": SEEDS, "failed": failed,
            "median_s": float(np.median([seconds for _, seconds in ends]))}  # fmt: skip


def _play(case: tuple[str, int]) -> tuple[str, float]:
    """How one episode of an expert ends, and after how many seconds."""
    from sim.arm_env import ArmInsertEnv, ArmPickEnv
    from sim.arm_experts import InsertExpert, PickExpert

    task, seed = case
    env = ArmPickEnv() if task == "arm_pick" else ArmInsertEnv()
    observation, info = env.reset(seed=seed)
    expert = (PickExpert if task == "arm_pick" else InsertExpert)(env.task, observation["state"], seed)  # type: ignore
    over = False
    while not over:
        observation, _, terminated, truncated, info = env.step(expert.act(observation["state"], env.rig.camera_dt))
        over = terminated or truncated
    return "success" if info["success"] else info["failure"] or "timeout", float(info["time_s"])
