"""Actor and critics. All critics of the ensemble are one network whose weights have a leading axis: a layer of all of
them is one batched matrix product.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from policies.rl.config import RlConfig

LOG_STD_MIN, LOG_STD_MAX = -5.0, 2.0
SEEN_MAX = 10.0  # shown; far out is far out


class EnsembleMlp(nn.Module):
    """`members` MLPs of two hidden layers side by side: x (b, i) or (members, b, i) to (members, b, o).

    LayerNorm has no gain and offset of its own: the next layer's weights can do all that they could.
    """

    def __init__(self, members: int, i: int, hidden: int, o: int, layer_norm: bool,
                 generator: torch.Generator) -> None:  # fmt: skip
        super().__init__()
        self.layer_norm = layer_norm
        self._gain: torch.Tensor
        self._offset: torch.Tensor
        self.register_buffer("_gain", torch.ones(hidden), persistent=False)
        self.register_buffer("_offset", torch.zeros(hidden), persistent=False)
        sizes = ((i, hidden), (hidden, hidden), (hidden, o))
        self.weights = nn.ParameterList(_uniform((members, a, b), a, generator) for a, b in sizes)
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(members, 1, b)) for _, b in sizes)
        self._layers = tuple(zip(self.weights, self.biases, strict=True))  # going through the lists takes its time

    def forward(self, x: torch.Tensor, members: torch.Tensor | None = None) -> torch.Tensor:
        """`members` (k,): only those, in that order."""
        layers = self._layers
        if members is not None:
            layers = tuple((weight[members], bias[members]) for weight, bias in layers)
        *hidden, (weight, bias) = layers
        x = x.expand(len(weight), -1, -1)
        for w, b in hidden:
            x = torch.baddbmm(b, x, w)
            if self.layer_norm:
                # torch's kernel is twice as fast with a gain and an offset
                x = functional.layer_norm(x, x.shape[-1:], self._gain, self._offset)
            x = functional.relu(x, inplace=True)
        if weight.shape[-1] == 1:  # MKL's batched product takes several times as long for one column
            return (x * weight.transpose(1, 2)).sum(-1, keepdim=True) + bias
        return torch.baddbmm(bias, x, weight)


def _uniform(shape: tuple[int, ...], fan_in: int, generator: torch.Generator) -> nn.Parameter:
    bound = 1.0 / math.sqrt(fan_in)
    return nn.Parameter((2.0 * torch.rand(shape, generator=generator) - 1.0) * bound)


def critics(config: RlConfig, generator: torch.Generator) -> EnsembleMlp:
    """Values (critics, b, 1) of observation and total action (b, o + a)."""
    return EnsembleMlp(config.n_critics, config.observation_dim + config.action_dim, config.hidden_dim, 1,
                       config.layer_norm, generator)  # fmt: skip


class Actor(nn.Module):
    """The action from observation and base action: base + scale * tanh(f(o, base)), inside -1..1 where the base is.

    The last layer starts at 0, so the first actions are the base's, bit by bit (ResFiT, section 4; ResiP).
    """

    def __init__(self, config: RlConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        outputs = config.action_dim * (2 if config.stochastic else 1)
        self.net = EnsembleMlp(
            1, config.observation_dim + config.action_dim, config.hidden_dim, outputs, config.stochastic, generator
        )
        self.centre: torch.Tensor | None  # (o,) of observations as they come; None: `forward` takes them so
        self.axes: torch.Tensor | None  # (o, o), what of them is seen
        self.show_by(None, None)
        if not config.stochastic:
            nn.init.zeros_(self.net.weights[-1])

    def show_by(self, centre: torch.Tensor | None, axes: torch.Tensor | None) -> None:
        """From now on by these; see policies/rl/goals.py."""
        self.register_buffer("centre", centre)
        self.register_buffer("axes", axes)

    def shown(self, observation: torch.Tensor) -> torch.Tensor:
        """Observations (..., o) as they come, as `forward` takes them."""
        if self.centre is None or self.axes is None:
            return observation
        return ((observation - self.centre) @ self.axes).clamp(-SEEN_MAX, SEEN_MAX)

    def forward(
        self, observation: torch.Tensor, base: torch.Tensor, noise: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Total actions (b, a) and their log-probabilities (b,), 0 for a deterministic actor; observations (b, o)
        as they are shown.

        `noise` (b, a) standard normal; None gives the action that is deployed.
        """
        raw = self.net(torch.cat([observation, base], dim=-1))[0]
        if self.config.stochastic:
            return self._stochastic(raw, base, noise)
        action = base + self.config.residual_scale * torch.tanh(raw)
        if noise is not None:
            action = action + self.explored(noise)
        return bounded(action, base), raw.new_zeros(len(raw))

    def explored(self, noise: torch.Tensor) -> torch.Tensor:
        """What a deterministic actor adds to its action (b, a) to explore, from standard normal `noise`."""
        limit = self.config.noise_clip
        return (self.config.exploration_std * noise).clamp(-limit, limit)

    def _stochastic(
        self, raw: torch.Tensor, base: torch.Tensor, noise: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        mean, log_std = raw.chunk(2, dim=-1)
        if noise is None:
            return bounded(base + self.config.residual_scale * torch.tanh(mean), base), raw.new_zeros(len(raw))
        log_std = log_std.clamp(LOG_STD_MIN, LOG_STD_MAX)
        u = mean + log_std.exp() * noise
        # of the normal density and of the squashing, log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2 u)), never log 0
        log_prob = 2.0 * (u + functional.softplus(-2.0 * u)) - log_std - 0.5 * noise.square()
        constant = (2.0 * math.log(2.0) + 0.5 * math.log(2.0 * math.pi)) * raw.shape[-1] / 2
        return bounded(base + self.config.residual_scale * torch.tanh(u), base), log_prob.sum(-1) - constant


def bounded(action: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    """Actions (b, a) inside -1..1, but never cut below what the base does by itself: no residual changes nothing."""
    return action.clamp(base.clamp(max=-1.0), base.clamp(min=1.0))
