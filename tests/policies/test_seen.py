"""What frozen encoders see is computed once per frame and is what would be computed again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from policies import seen
from policies.dataset import find_episodes, load_samples
from policies.policy import Batch
from policies.seen import encoders_digest, seen_in
from policies.trainer import TrainConfig, Trainer

CAMERAS = ("head", "chest")


@pytest.fixture
def samples(recordings, tmp_path):
    return load_samples(find_episodes(recordings), tmp_path, CAMERAS, 128, 96)


@pytest.fixture
def policy(samples):
    return Trainer(TrainConfig(seed=1), samples, None, CAMERAS).policy


def test_the_cache_is_exact_and_is_used(samples, policy, monkeypatch):
    plain = replace(samples, episodes=[replace(e, entry=None) for e in samples.episodes])
    once = seen_in(policy, plain)
    assert np.array_equal(seen_in(policy, samples), once)
    with monkeypatch.context() as patch:
        patch.setattr(seen, "_encoded", lambda *_: pytest.fail("encoded again"))
        assert np.array_equal(seen_in(policy, samples), once)
    images = torch.from_numpy(samples.images(np.arange(5)))
    with torch.no_grad():
        apart = policy.see(Batch(images, torch.empty(0), torch.empty(0))).numpy()
    np.testing.assert_allclose(once[:5], apart, atol=1e-5)


def test_other_weights_see_something_else(samples, policy):
    once, name = seen_in(policy, samples), encoders_digest(policy)
    with torch.no_grad():
        policy.encoders.convolutions[0].weight.mul_(1.5)
    assert encoders_digest(policy) != name
    assert not np.array_equal(seen_in(policy, samples), once)
    assert len(list(samples.episodes[0].entry.glob("seen-*.safetensors"))) == 2


def test_the_loss_is_that_of_the_pictures(samples, policy):
    policy.encoders.requires_grad_(False)
    trainer = Trainer(TrainConfig(seed=1), samples, None, CAMERAS, policy=policy)
    batch, generator = trainer._batch(0, 0)
    state = generator.get_state()
    cached = policy.loss(batch, generator, 0.05, 0.1).item()
    index = trainer.shuffle.batch(0, trainer.config.batch_size)
    pictures = replace(batch, images=torch.from_numpy(samples.images(index)), seen=None)
    generator.set_state(state)
    assert policy.loss(pictures, generator, 0.05, 0.1).item() == pytest.approx(cached, abs=1e-5)
