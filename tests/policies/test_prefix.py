"""What a new chunk makes of the actions that will be executed before it takes over."""

import numpy as np
import pytest
import torch
from two_ways import STATISTICS, observations, small, trained

from policies.act import ActPolicy
from policies.diffusion import DiffusionPolicy
from policies.flow import FlowPolicy
from policies.prefix import ActionPrefix, Prefix

WEIGHT = torch.tensor([1.0, 1.0, 0.4, 0.1, 0.0, 0.0])


def drawn(policy, prefix: Prefix | None, n: int = 60) -> torch.Tensor:
    return policy.sample(*observations(n), torch.Generator().manual_seed(2), prefix)


@pytest.mark.parametrize("kind", [FlowPolicy, DiffusionPolicy])
@pytest.mark.parametrize("side", [0.8, -0.8])
def test_the_way_that_was_taken_goes_on(kind, side):
    executed = torch.tensor([0.0, side, 0.3]).expand(60, 6, 3)
    chunks = drawn(trained(kind), Prefix(executed, WEIGHT))
    torch.testing.assert_close(chunks[:, :2], executed[:, :2], atol=1e-6, rtol=0.0)
    assert (chunks[:, :, 1] * side > 0).all(dim=1).float().mean() > 0.9
    free = drawn(trained(kind), None)
    assert 0.2 < (free[:, -1, 1] * side > 0).float().mean() < 0.8


@pytest.mark.parametrize("kind", [FlowPolicy, DiffusionPolicy])
def test_what_has_no_weight_does_not_matter(kind):
    policy = small(kind)
    far = Prefix(torch.full((60, 6, 3), 9.0), torch.zeros(6))
    torch.testing.assert_close(drawn(policy, far), drawn(policy, None), atol=1e-6, rtol=0.0)
    changed = torch.zeros(60, 6, 3)
    changed[:, 4:] = 7.0  # where WEIGHT is 0
    torch.testing.assert_close(drawn(policy, Prefix(torch.zeros(60, 6, 3), WEIGHT)),
                               drawn(policy, Prefix(changed, WEIGHT)))  # fmt: skip


@pytest.mark.parametrize("kind", [FlowPolicy, DiffusionPolicy])
def test_whole_prefix_is_the_chunk(kind):
    wanted = torch.rand((60, 6, 3), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(drawn(small(kind), Prefix(wanted, torch.ones(6))), wanted, atol=1e-5, rtol=0.0)


def test_guidance_leaves_no_gradients_behind():
    policy = small(FlowPolicy)
    chunks = drawn(policy, Prefix(torch.zeros(60, 6, 3), WEIGHT))
    assert not chunks.requires_grad and all(p.grad is None for p in policy.parameters())


def test_regression_has_one_answer_whatever_was_executed():
    policy = small(ActPolicy)
    assert torch.equal(drawn(policy, Prefix(torch.ones(60, 6, 3), WEIGHT)), drawn(policy, None))


@pytest.mark.parametrize(("actions", "weight", "says"), [
    (np.zeros((5, 3)), np.ones(6), r"actions \(5, 3\) and weight \(6,\); allowed: \(6, 3\)"),
    (np.zeros((6, 2)), np.ones(6), "align the previous chunk"),
    (np.full((6, 3), np.nan), np.ones(6), "is not finite"),
    (np.zeros((6, 3)), np.full(6, 1.5), "weights from 0 to 1"),
    (np.zeros((6, 3)), np.full(6, np.nan), "weights from 0 to 1"),
])  # fmt: skip
def test_impossible_prefix_is_refused(actions, weight, says):
    with pytest.raises(ValueError, match=says):
        ActionPrefix(actions, weight).normalised(STATISTICS, torch.device("cpu"))
