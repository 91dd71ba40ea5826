"""Collecting demonstrations: what lands on disk, what is executed against what is learnt, resuming, refusals."""

import argparse

import numpy as np
import pytest

from controllers import g1
from controllers.rigs import YAM
from policies.episode_file import read_episode, read_messages, typestore
from sim import collect
from sim.demonstration import Demonstrator, Variation
from sim.g1_world import START_TIME_S
from sim.reference_noise import COMMON_M, ReferenceNoise
from sim.tasks import g1_start_pose

SHORT_S = 3.0


def arguments(*words):
    parser = argparse.ArgumentParser()
    collect.add_arguments(parser)
    return parser.parse_args(words)


def vectors(folder, topic):
    records = [record for record in read_messages(folder / "episode.mcap") if record.topic == f"/g1/{topic}"]
    messages = [typestore().deserialize_cdr(record.data, "trajectory_msgs/msg/JointTrajectory") for record in records]
    return np.array([message.points[0].positions for message in messages]), [record.publish_ns for record in records]


@pytest.fixture(scope="module")
def short_episode(tmp_path_factory):
    """The first second of a disturbed demonstration, from a perturbed start."""
    root = tmp_path_factory.mktemp("short")
    demonstrator = Demonstrator(Variation(noise=1.0, start_spread=1.0))
    demonstrator.max_episode_s = SHORT_S
    meta = demonstrator.record(11, root)
    return root / meta["id"], meta


def test_an_episode_is_what_the_recorder_would_write(short_episode):
    folder, meta = short_episode
    assert (meta["outcome"], meta["seed"], meta["task"]) == ("failure", 11, "g1_box")
    assert meta["demonstration"] == {"noise": 1.0, "start_spread": 1.0, "sensor_noise": False}
    episode = read_episode(folder)
    assert episode.channels == g1.ACTION_CHANNELS
    assert set(episode.images) == {"head", "chest"}
    assert np.all(np.diff(episode.frame_stamps_ns) == 66_000_000)
    assert np.all(episode.frame_stamps_ns % 66_000_000 == 0)
    assert np.all(np.diff(episode.reference_stamps_ns) == 20_000_000)
    assert episode.frame_stamps_ns[0] >= START_TIME_S * 1e9
    assert len(episode.state) == len(episode.frame_stamps_ns) == len(episode.images["head"])
    frames = len(episode.frame_stamps_ns)
    assert {meta["messages"][f"/g1/camera/{name}/color/camera_info"] for name in ("head", "chest")} == {frames}
    assert meta["messages"]["/g1/joint_states"] == meta["messages"]["/g1/measured_action"]


def test_the_label_is_clean_and_what_is_executed_is_not(short_episode):
    folder, _ = short_episode
    executed, stamps = vectors(folder, "reference")
    label, label_stamps = vectors(folder, "expert_action")
    assert stamps == label_stamps
    assert 0.001 < np.abs(executed - label)[:, :3].mean() < 0.05
    acceleration = np.abs(np.diff(label[:, :3], n=2, axis=0)).max()
    assert acceleration < 0.002  # m per reference period squared: no noise in the label


def test_noise_has_the_size_it_says_and_none_at_zero():
    noise = ReferenceNoise(np.random.default_rng(0), 1.0)
    disturbed = np.array([noise.disturb(g1.HOME_ACTION) for _ in range(20_000)])
    common = 0.5 * (disturbed[:, g1.LEFT_POSITION] + disturbed[:, g1.RIGHT_POSITION])
    np.testing.assert_allclose(common.std(axis=0), COMMON_M, rtol=0.25)
    quiet = ReferenceNoise(np.random.default_rng(0), 0.0)
    assert quiet.disturb(g1.HOME_ACTION) is g1.HOME_ACTION


def test_start_poses_differ_and_stay_allowed():
    rng = np.random.default_rng(0)
    poses = np.array([g1_start_pose(g1.HOME_ACTION, rng, 1.0) for _ in range(50)])
    assert np.all(poses >= g1.ACTION_LOWER) and np.all(poses <= g1.ACTION_UPPER)
    assert np.all(poses[:, :3].std(axis=0) > 0.02)


def test_collect_succeeds_and_goes_on_where_it_stopped(tmp_path, capsys):
    words = ("--episodes", "1", "--seed", "1", "--workers", "1", "--out", str(tmp_path))
    assert collect.run(arguments(*words)) == 0
    assert collect.finished(tmp_path) == {1: "success"}
    assert collect.run(arguments(*words)) == 0
    assert "1 of 1 episodes are in" in capsys.readouterr().out
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("task", ["arm_pick", "arm_insert"])
def test_arms_are_demonstrated_too(task, tmp_path):
    meta = Demonstrator(Variation(noise=1.0, start_spread=1.0), task).record(7, tmp_path)
    assert (meta["outcome"], meta["robot"], meta["task"]) == ("success", "yam", task)
    episode = read_episode(tmp_path / meta["id"])
    assert episode.channels == YAM.layout.channels and set(episode.images) == {"wrist", "front"}
    assert np.all(np.diff(episode.frame_stamps_ns) == 60_000_000)
    assert np.all(np.diff(episode.reference_stamps_ns) == 20_000_000)


@pytest.mark.parametrize(("words", "says"), [
    (("--seed", "100000"), "held out"),
    (("--seed", "99900", "--episodes", "200"), "held out"),
    (("--seed", "-1"), "held out"),
    (("--task", "juggle"), "g1_box"),
    (("--workers", "0"), "at least 1"),
    (("--noise", "-1"), "0..5"),
    (("--noise", "nan"), "0..5"),
    (("--out", __file__), "give a folder"),
])  # fmt: skip
def test_what_cannot_be_collected_is_refused(words, says):
    with pytest.raises(collect.CollectError, match=says):
        collect.run(arguments(*words))
