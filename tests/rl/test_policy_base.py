"""A trained chunk policy as the base: its own features are the observation, and its chunk drives."""

from __future__ import annotations

import argparse

import numpy as np
import pytest

from policies.act import ActPolicy
from policies.checkpoint import CheckpointError, save_checkpoint
from policies.normalise import Normaliser
from policies.policy import PolicyConfig
from policies.rl.run import RunFolder
from policies.rl.weights import load_weights
from sim import learn
from sim.arm_insert import ArmInsertTask
from sim.learn_tasks import make_bench
from sim.rl_env import RlEnv
from sim.rl_policy import PolicyBase
from sim.rollout import INFERENCE_FRAMES


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Of an untrained policy, which keeps about where it is."""
    folder = tmp_path_factory.mktemp("base") / "act"
    rig = ArmInsertTask().rig
    names = rig.layout.channels
    config = PolicyConfig(names, names, ("wrist", "front"), 32, 24, chunk_dt_ns=60_000_000, n_keypoints=4,
                          context_dim=16, hidden_dim=16, n_blocks=1)  # fmt: skip
    centre = Normaliser(names, rig.home_action, np.full(len(names), 0.01))
    save_checkpoint(folder, ActPolicy(config, centre, centre).eval(), rig.name, "arm_insert", {})
    return folder


def test_its_features_are_the_observation_and_its_points_drive(checkpoint):
    bench = make_bench("arm_insert", str(checkpoint), noise=False)
    env, base = bench.env, bench.env.base
    assert isinstance(env, RlEnv) and isinstance(base, PolicyBase) and env.about.base == base.sha256
    observation, action = env.reset(4)
    assert observation.shape == (base.dim,) and np.isfinite(observation).all()
    assert env.about.observation == base.sha256, "another base's features are another observation"
    again, _ = env.reset(4)
    assert np.array_equal(again, observation)
    step = env.step(action)
    assert not np.array_equal(step.observation[:16], observation[:16])
    bench.close()


def test_a_checkpoint_of_another_robot_is_refused(checkpoint):
    with pytest.raises(CheckpointError, match="is a policy for 'yam'; allowed here: 'g1'"):
        make_bench("g1_box", str(checkpoint))


def test_chunks_follow_each_other_as_in_the_graph(checkpoint):
    """The first counts at once; the next one LATENCY_S after what was seen, blended in."""
    bench = make_bench("arm_insert", str(checkpoint), noise=False)
    env, base = bench.env, bench.env.base
    _, action = env.reset(4)
    first = base._played
    times_ns = first.stamp_ns + np.arange(1, INFERENCE_FRAMES + 1) * 60_000_000
    assert np.array_equal(env.normalised(first.at(times_ns[0])), action)
    for _ in range(INFERENCE_FRAMES):
        action = env.step(action).base
    second, times_ns = base._played, times_ns + INFERENCE_FRAMES * 60_000_000
    assert second.stamp_ns - first.stamp_ns == INFERENCE_FRAMES * 60_000_000
    assert np.array_equal(env.normalised(first.at(times_ns[0])), action), "60 ms after what was seen"
    points = np.array([env._point, *env._queue])
    assert np.allclose(points[-1], second.at(times_ns[-1]), atol=1e-9) and not np.allclose(
        points[2], second.at(times_ns[2])
    )
    env.step_person(env.loop.reference)
    assert np.allclose(env._point, base._played.at(base._played.stamp_ns + 60_000_000)), "nothing from before a person"
    bench.close()


def test_who_does_not_see_goes_the_same_way(checkpoint):
    bench = make_bench("arm_insert", str(checkpoint), noise=False)
    env, ends = bench.env, []
    for sees in (True, False):
        observation, action = env.reset(4, sees)
        for _ in range(9):
            step = env.step(action)
            observation, action = step.observation, step.base
        assert observation.any() == sees
        ends.append(env.loop.reference)
    assert np.array_equal(*ends)
    bench.close()


def test_its_eyes_serve_without_it(checkpoint):
    bench = make_bench("arm_insert", "none", noise=False, eyes=checkpoint)
    env = bench.env
    observation, action = env.reset(4)
    assert env.about.base == "none" and env.about.observation == env.observe.sha256
    assert np.allclose(action, 0.0, atol=1e-6), "to stay"
    assert observation.shape == (env.observe.dim,) and set(env.observe.jpegs) == {"wrist", "front"}
    bench.close()
    with pytest.raises(ValueError, match="allowed: one of them"):
        make_bench("arm_insert", str(checkpoint), eyes=checkpoint)


def test_a_run_through_its_eyes_is_shown_the_way_to_the_goal(checkpoint, tmp_path):
    parser = argparse.ArgumentParser()
    learn.add_arguments(parser)
    words = ["--base", str(checkpoint), "--out", str(tmp_path), "--demos", "2", "--steps", "1", "--limit", "0.1",
             "--evaluate-every", "0", "--episodes", "1"]  # fmt: skip
    assert learn.run(parser.parse_args(words)) == 0
    config, _ = RunFolder(tmp_path).read()
    assert (config.pose_dim, config.behind_dim) == (8, 7)
    assert config.unanimous, "from pictures a residual needs consent unless told otherwise"
    assert load_weights(tmp_path).actor.axes[:, :8].any()
