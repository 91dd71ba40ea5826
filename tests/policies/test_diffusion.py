"""Diffusion and flow as generative models: their schedules, and that they keep apart what regression averages."""

import dataclasses

import pytest
import torch
from two_ways import observations, small, trained

from policies.act import ActPolicy
from policies.diffusion import DiffusionConfig, DiffusionPolicy, alphas_cumprod
from policies.flow import FlowPolicy
from policies.policy import PolicyConfig


@pytest.mark.parametrize("schedule", DiffusionConfig.BETA_SCHEDULES)
def test_noise_schedule_goes_from_chunk_to_noise(schedule):
    left = alphas_cumprod(schedule, 100)
    assert (left.diff() < 0).all() and left[0] > 0.99 and 0 < left[-1] < 1e-4


@pytest.mark.parametrize("n_steps", [1, 3, 8, 100])
def test_inference_starts_at_the_noisiest_step_and_gets_cleaner(n_steps):
    levels = small(DiffusionPolicy, num_inference_steps=n_steps).levels()
    assert len(levels) == n_steps and levels[0].alpha < 0.01
    assert all(a.alpha < b.alpha and a.sigma > b.sigma for a, b in zip(levels, levels[1:], strict=False))
    assert all(level.alpha**2 + level.sigma**2 == pytest.approx(1.0, abs=1e-6) for level in levels)


@pytest.mark.parametrize("prediction_type", DiffusionConfig.PREDICTION_TYPES)
def test_every_prediction_type_finds_the_clean_chunk(prediction_type, monkeypatch):
    policy = small(DiffusionPolicy, prediction_type=prediction_type)
    generator = torch.Generator().manual_seed(0)
    chunk, noise = torch.rand((5, 18), generator=generator), torch.randn((5, 18), generator=generator)
    for level in policy.levels()[1:]:  # the first is noise alone
        alpha, sigma = level.alpha, level.sigma
        told = {"sample": chunk, "epsilon": noise, "v_prediction": alpha * noise - sigma * chunk}[prediction_type]
        monkeypatch.setattr(policy, "network", lambda noisy, t, context, told=told: told)
        clean = policy.clean_chunk(alpha * chunk + sigma * noise, level, torch.zeros((5, 32)))
        torch.testing.assert_close(clean, chunk, atol=1e-4, rtol=0.0)


@pytest.mark.parametrize("kind", [DiffusionPolicy, FlowPolicy])
def test_both_ways_are_kept_apart(kind):
    policy = trained(kind)
    chunks = policy.sample(*observations(200), torch.Generator().manual_seed(2))
    side = chunks[:, :, 1].mean(1)
    assert 60 < (side > 0).sum() < 140
    assert ((side.abs() - 0.8).abs() < 0.3).float().mean() > 0.85
    assert (chunks[..., 2] - 0.3).abs().mean() < 0.1


def test_regression_averages_them():
    policy = trained(ActPolicy)
    assert policy.sample(*observations(1), torch.Generator())[0, :, 1].abs().max() < 0.9


def test_same_seed_same_chunk():
    policy = small(DiffusionPolicy)
    first, again, other = (policy.sample(*observations(2), torch.Generator().manual_seed(s)) for s in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize(("changes", "says"), [
    ({"prediction_type": "score"}, "'score'; allowed: squaredcos_cap_v2, linear and sample, epsilon, v_prediction"),
    ({"beta_schedule": "cosine"}, "beta_schedule 'cosine'"),
    ({"num_inference_steps": 200}, "num_inference_steps 200 of num_train_timesteps 100; allowed"),
])  # fmt: skip
def test_impossible_parameters_are_refused(changes, says):
    with pytest.raises(ValueError, match=says):
        small(DiffusionPolicy, **changes)


def test_config_is_a_policy_config_with_more():
    names = {field.name for field in dataclasses.fields(DiffusionConfig)}
    assert names > {field.name for field in dataclasses.fields(PolicyConfig)}
