"""The arm tasks: experts succeed, worlds repeat, what is lost is said; the environments pass Gymnasium's checks."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from sim.arm_env import ArmInsertEnv, ArmPickEnv
from sim.arm_experts import InsertExpert, PickExpert
from sim.arm_insert import CLEARANCE, PEG_HALF
from sim.arm_pick import TIGHT_HALF, draw_scene
from sim.task_env import TaskEnv

CASES = ((ArmPickEnv, PickExpert), (ArmInsertEnv, InsertExpert))


@pytest.fixture(scope="module")
def envs() -> dict[type, TaskEnv]:
    return {kind: kind() for kind, _ in CASES}


def play(env: TaskEnv, expert_type: type, seed: int) -> tuple[dict, np.ndarray]:
    """The last info, and every state on the way."""
    observation, info = env.reset(seed=seed)
    expert, states, over = expert_type(env.task, observation["state"], seed), [], False
    while not over:
        observation, _, terminated, truncated, info = env.step(expert.act(observation["state"], env.rig.camera_dt))
        states.append(observation["state"])
        over = terminated or truncated
    return info, np.array(states)


@pytest.mark.parametrize("env_type, expert_type", CASES)
def test_experts_succeed_and_seeds_repeat(envs, env_type, expert_type):
    env = envs[env_type]
    first, states = play(env, expert_type, 11)
    assert first["success"] and first["failure"] == ""
    again, same = play(env, expert_type, 11)
    np.testing.assert_array_equal(states, same)
    assert play(env, expert_type, 12)[0]["success"]


@pytest.mark.parametrize("env_type, expert_type", CASES)
def test_experts_go_on_from_where_somebody_else_left_the_arm(envs, env_type, expert_type):
    env = envs[env_type]
    observation, _ = env.reset(seed=21)
    astray = observation["state"].copy()
    astray[:3] += (0.02, 0.04, -0.03)
    for _ in range(12):
        observation, *_ = env.step(astray)
    expert, info = expert_type(env.task, observation["state"], 21), {}
    for _ in range(120):
        observation, _, terminated, _, info = env.step(expert.act(observation["state"], env.rig.camera_dt))
        if terminated:
            break
    assert info["success"]


@pytest.mark.parametrize("env_type", [ArmPickEnv, ArmInsertEnv])
def test_gymnasium_finds_nothing_wrong(env_type):
    env = env_type(cameras=True, render_mode="rgb_array", width=48, height=32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # advice on normalised spaces; ours are metres
        check_env(env, skip_render_check=False)
    observation, _ = env.reset(seed=1)
    assert observation["wrist"].shape == observation["front"].shape == (32, 48, 3)
    assert observation["wrist"].std() > 5 and observation["front"].std() > 5
    env.close()


def test_the_hole_is_one_millimetre_wider(envs):
    model = envs[ArmInsertEnv].task.world.model
    for k, axis in enumerate((0, 0, 1, 1)):
        wall = model.geom(f"socket_wall{k}")
        inner = abs(wall.pos[axis]) - wall.size[axis]
        assert 2 * inner == pytest.approx(2 * PEG_HALF[1] + CLEARANCE)


def test_what_is_lost_ends_the_episode(envs):
    pick, insert = envs[ArmPickEnv], envs[ArmInsertEnv]
    observation, _ = pick.reset(seed=3)
    pick.task.cube.place(np.array([0.7, 0.3, 0.02]), np.array([0, 0, 0, 1.0]))
    _, reward, terminated, _, info = pick.step(observation["state"])
    assert (reward, terminated, info["failure"]) == (0.0, True, "dropped")
    observation, _ = insert.reset(seed=3)
    action = observation["state"].copy()
    action[7] = 1.0
    for _ in range(10):
        *_, terminated, _, info = insert.step(action)
        if terminated:
            break
    assert info["failure"] == "dropped"


def test_holding_still_keeps_the_peg(envs):
    env = envs[ArmInsertEnv]
    observation, _ = env.reset(seed=5)
    for _ in range(20):
        observation, _, terminated, _, info = env.step(observation["state"] if _ == 0 else env._target)
    assert not terminated and info["failure"] == ""


def test_time_runs_out(envs):
    env = envs[ArmInsertEnv]
    observation, _ = env.reset(seed=5)
    env.task.world.data.time = env.task.max_episode_s
    assert env.step(observation["state"])[2:4] == (False, True)


def test_wide_cubes_lie_where_the_others_do():
    usual, tight = draw_scene(7), draw_scene(7, TIGHT_HALF)
    assert TIGHT_HALF[0] <= tight.half <= TIGHT_HALF[1] and tight.half > usual.half
    np.testing.assert_array_equal(tight.position[:2], usual.position[:2])
    assert tight.yaw == usual.yaw and tight.mass == usual.mass
