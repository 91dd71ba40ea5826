"""Re-ranking: one sample is the policy itself, more are better where the critic knows, and wrong pairs are refused."""

import argparse
import dataclasses
import json
import shutil

import box_toy
import numpy as np
import pytest
import torch
from conftest import write_episode
from two_ways import small

from policies import train_value
from policies.act import ActPolicy
from policies.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from policies.diffusion import DiffusionPolicy
from policies.flow import FlowPolicy
from policies.normalise import Normaliser
from policies.policy import PolicyConfig
from policies.prefix import ActionPrefix
from policies.rerank import RerankedPolicy, reranked
from policies.value import ChunkCritic, CriticConfig, load_critic, save_critic

STATE = np.zeros(3)
NOTHING: list = []  # the small policies have no cameras


class KnowsHeight(ChunkCritic):
    """Higher is better."""

    def q(self, context, chunk):
        return torch.sigmoid(chunk[:, :, 2].mean(1))


def critic_of(policy, kind=ChunkCritic) -> ChunkCritic:
    torch.manual_seed(1)
    return kind(CriticConfig.of(policy.config))


def heights(policy, n: int = 40) -> float:
    return float(np.mean([policy.predict(NOTHING, STATE, seed)[:, 2].mean() for seed in range(n)]))


@pytest.mark.parametrize("prefix", [None, ActionPrefix(np.full((6, 3), 0.1), np.linspace(1.0, 0.0, 6))])
def test_one_sample_is_the_policy_itself_to_the_bit(prefix):
    policy = small(FlowPolicy)
    one = RerankedPolicy(policy, critic_of(policy), n_samples=1)
    assert one.config is policy.config and one.execution == policy.execution
    for seed in range(5):
        told = [each.predict(NOTHING, STATE, seed, prefix) for each in (policy, one)]
        np.testing.assert_array_equal(*told)


def test_ten_samples_are_better_where_the_critic_knows():
    policy = small(FlowPolicy)
    ten, greedy = (RerankedPolicy(policy, critic_of(policy, KnowsHeight), 10, beta) for beta in (0.02, 0.0))
    assert heights(policy) < heights(ten) - 0.01
    assert heights(ten) <= heights(greedy)
    np.testing.assert_array_equal(*(ten.predict(NOTHING, STATE, seed=3) for _ in range(2)))


def test_samples_agree_with_what_is_executed():
    policy = small(FlowPolicy)
    prefix = ActionPrefix(np.full((6, 3), 0.25), np.array([1.0, 1.0, 0.5, 0.0, 0.0, 0.0]))
    chunk = RerankedPolicy(policy, critic_of(policy), 10).predict(NOTHING, STATE, 0, prefix)
    np.testing.assert_allclose(chunk[:2], 0.25, atol=1e-6)


def test_chunks_are_drawn_as_softmax_of_their_values():
    policy = small(FlowPolicy)
    ranked = RerankedPolicy(policy, critic_of(policy), n_samples=2, beta=0.5)
    generator = torch.Generator().manual_seed(0)
    share = np.mean([ranked.choose(torch.tensor([0.2, 0.7]), generator) for _ in range(2000)])
    assert abs(share - 1.0 / (1.0 + np.exp(-1.0))) < 0.04


@pytest.mark.parametrize(("words", "says"), [
    ({"n_samples": 0}, "rerank 0 with beta 0.1; allowed: 1 to 64"),
    ({"n_samples": 65}, "allowed: 1 to 64 samples"),
    ({"beta": -1.0}, "a beta from 0"),
    ({"beta": float("nan")}, "a beta from 0"),
])  # fmt: skip
def test_numbers_out_of_range_are_refused(words, says):
    policy = small(FlowPolicy)
    with pytest.raises(ValueError, match=says):
        RerankedPolicy(policy, critic_of(policy), **words)


def test_policy_with_one_answer_is_refused():
    policy = small(ActPolicy)
    with pytest.raises(ValueError, match="has one answer .* leave rerank out"):
        RerankedPolicy(policy, critic_of(policy))


def test_critic_learns_which_chunks_succeed():
    policy, generator = small(DiffusionPolicy), torch.Generator().manual_seed(0)
    chunk = torch.rand((600, 6, 3), generator=generator) * 2.0 - 1.0
    good = (chunk[:, :, 1].mean(1) > 0).float()
    samples = train_value.Judged(torch.zeros(600, 0), torch.zeros(600, 3), chunk, good)
    checkpoint = Checkpoint(policy, "g1", "toy", {}, "", "")
    critic = train_value.fit(checkpoint, samples, steps=60, seed=0)
    measured = train_value.measure(checkpoint, critic, samples)
    assert measured["error"] < 0.7 * measured["error_of_mean"]


def test_critic_belongs_to_one_checkpoint(tmp_path):
    policy = small(FlowPolicy)
    config = policy.config
    save_critic(tmp_path, critic_of(policy), "a" * 64, {})
    loaded = load_critic(tmp_path, config, "a" * 64)
    for name, value in critic_of(policy).state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name])
    with pytest.raises(CheckpointError, match="for the policy aaaaaaaaaaaa; allowed: format 1 for bbbbbbbbbbbb"):
        load_critic(tmp_path, config, "b" * 64)
    with pytest.raises(CheckpointError, match="train a critic for this checkpoint"):
        load_critic(tmp_path, dataclasses.replace(config, chunk_size=7), "a" * 64)
    with pytest.raises(CheckpointError, match="is no critic; allowed: a folder with critic.safetensors"):
        load_critic(tmp_path / "none", config, "a" * 64)
    about = json.loads((tmp_path / "critic.json").read_text())
    (tmp_path / "critic.json").write_text(json.dumps({**about, "sha256": "0" * 64}))
    with pytest.raises(CheckpointError, match=r"sha256 is not the one in critic.json"):
        load_critic(tmp_path, config, "a" * 64)
    (tmp_path / "critic.json").write_text("[]")
    with pytest.raises(CheckpointError, match="not what `retake train-value` writes"):
        load_critic(tmp_path, config, "a" * 64)


def test_command_trains_a_critic_from_outcomes(recordings, tmp_path, capsys):
    for seed in range(4):
        write_episode(tmp_path / f"data/20260101-00010{seed}-{seed}", 20 + seed, 4, "failure")
        shutil.copytree(sorted(recordings.glob("2026*"))[seed], tmp_path / f"data/20260101-00000{seed}-{seed}")
    folder, out = tmp_path / "policy", tmp_path / "critic"
    statistics = Normaliser(box_toy.CHANNELS, np.zeros(17), np.ones(17))
    config = PolicyConfig(box_toy.CHANNELS, box_toy.CHANNELS, ("chest", "head"), 32, 24)
    save_checkpoint(folder, FlowPolicy(config, statistics, statistics), "g1", "g1_box", {})

    def arguments(data) -> argparse.Namespace:
        parser = argparse.ArgumentParser()
        train_value.add_arguments(parser)
        return parser.parse_args(["--policy", str(folder), "--data", str(data), "--out", str(out), "--steps", "5",
                                  "--validation", "0.5", "--threads", "1", "--seed", "1"])

    assert train_value.run(arguments(tmp_path / "data")) == 0
    assert "error on held-out episodes" in capsys.readouterr().out
    checkpoint = load_checkpoint(folder)
    pictures = [np.zeros((24, 32, 3), np.uint8)] * 2
    assert reranked(checkpoint, out, 4).predict(pictures, box_toy.HOME, seed=0).shape == (24, 17)
    for path in list((tmp_path / "data").glob("20260101-00010*")):
        shutil.rmtree(path)
    with pytest.raises(ValueError, match="2 are successes; allowed: some successes and some failures"):
        train_value.run(arguments(tmp_path / "data"))
