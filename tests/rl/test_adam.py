"""The learner's Adam is torch's, with the gradients' norm clipped."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from policies.rl.adam import Adam
from policies.rl.networks import EnsembleMlp


@pytest.mark.parametrize("clip", [1e-3, 1.0, math.inf])
def test_it_does_what_torch_does(clip):
    nets = [EnsembleMlp(2, 5, 16, 1, True, torch.Generator().manual_seed(0)) for _ in range(2)]
    ours, theirs = (list(net.parameters()) for net in nets)
    adam, peer = Adam(ours, 1e-2, clip), torch.optim.Adam(theirs, 1e-2)
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        x, y = torch.randn(32, 5, generator=generator), torch.randn(32, 1, generator=generator)
        losses = [(net(x) - y).square().sum() for net in nets]
        adam.step(torch.autograd.grad(losses[0], ours))
        for parameter, gradient in zip(theirs, torch.autograd.grad(losses[1], theirs), strict=True):
            parameter.grad = gradient
        nn.utils.clip_grad_norm_(theirs, clip)
        peer.step()
    for a, b in zip(ours, theirs, strict=True):
        assert torch.allclose(a, b, atol=1e-5)
