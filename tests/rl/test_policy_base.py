"""A trained chunk policy as the base: its own features are the observation, and its chunk drives."""

from __future__ import annotations

import numpy as np
import pytest

from policies.act import ActPolicy
from policies.checkpoint import CheckpointError, save_checkpoint
from policies.normalise import Normaliser
from policies.policy import PolicyConfig
from sim.arm_insert import ArmInsertTask
from sim.learn_tasks import make_bench
from sim.rl_env import RlEnv
from sim.rl_policy import PolicyBase


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
    points = base.chunk(env.loop.reference)
    assert len(points) == 7 and np.array_equal(env.normalised(points[0]), action)
    predicted = base.policy.predict(base._pictures, base._state, base._seed)
    assert np.allclose(points[:, :7], predicted[:7, :7], atol=1e-9), "the chunk's times are the camera's here"
    again, _ = env.reset(4)
    assert np.array_equal(again, observation)
    step = env.step(action)
    assert not np.array_equal(step.observation[:16], observation[:16])
    bench.close()


def test_a_checkpoint_of_another_robot_is_refused(checkpoint):
    with pytest.raises(CheckpointError, match="is a policy for 'yam'; allowed here: 'g1'"):
        make_bench("g1_box", str(checkpoint))
