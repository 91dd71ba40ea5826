"""The Gymnasium environment: Gymnasium's own checks, seeds, and how episodes end."""

import warnings

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from controllers import g1
from sim.g1_box import HELD_OUT_SEED, MAX_EPISODE_S
from sim.g1_box_env import G1BoxEnv


@pytest.fixture(scope="module")
def env():
    env = G1BoxEnv()
    yield env
    env.close()


def test_gymnasium_finds_nothing_wrong():
    env = G1BoxEnv(cameras=True, render_mode="rgb_array", width=64, height=48)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # advice on normalised spaces; ours are metres and newtons
        check_env(env, skip_render_check=False)
    assert env.render().shape == (48, 64, 3)
    env.close()


def test_the_same_seed_gives_the_same_episode(env):
    runs = []
    for _ in range(2):
        first, _ = env.reset(seed=5)
        action = first["state"].copy()
        action[g1.BASE_HEIGHT] -= 0.05
        runs.append([first] + [env.step(action)[0] for _ in range(5)])
    for one, other in zip(*runs, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_seeds_of_unseeded_resets_are_never_held_out(env):
    env.reset(seed=1)
    seeds = {env.reset()[1]["seed"] for _ in range(5)}
    assert len(seeds) == 5 and max(seeds) < HELD_OUT_SEED


def test_the_reference_goes_where_the_action_says(env):
    observation, _ = env.reset(seed=2)
    action = observation["state"].copy()
    action[g1.BASE_HEIGHT] -= 0.08
    action[2] += 0.06
    for _ in range(20):
        observation, reward, terminated, truncated, _ = env.step(action)
        assert (reward, terminated, truncated) == (0.0, False, False)
    assert observation["state"][g1.BASE_HEIGHT] == pytest.approx(action[g1.BASE_HEIGHT], abs=0.02)
    assert observation["state"][2] == pytest.approx(action[2], abs=0.02)


def test_a_dropped_box_ends_the_episode(env):
    observation, _ = env.reset(seed=3)
    env._world.data.joint("box").qpos[:3] = (1.2, 0.8, 0.2)
    _, reward, terminated, truncated, info = env.step(observation["state"])
    assert (reward, terminated, truncated) == (0.0, True, False)
    assert info["failure"] == "dropped" and not info["success"]


def test_time_runs_out(env):
    observation, _ = env.reset(seed=3)
    env._world.data.time = MAX_EPISODE_S
    _, _, terminated, truncated, _ = env.step(observation["state"])
    assert (terminated, truncated) == (False, True)


def test_bad_actions_are_refused(env):
    env.reset(seed=4)
    with pytest.raises(ValueError, match=r"\(17,\)"):
        env.step(np.zeros(16))
    with pytest.raises(ValueError, match="finite"):
        env.step(np.full(17, np.nan))


def test_bad_render_mode_is_refused():
    with pytest.raises(ValueError, match="allowed"):
        G1BoxEnv(render_mode="human")
