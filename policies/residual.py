"""A learnt residual as it acts on a robot: from what is seen and what its frozen base policy is about to do, how far
the reference shall be from that (ResFiT, arXiv 2509.19301).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from policies.checkpoint import load_checkpoint
from policies.frames import decode_frame
from policies.inference import N_WARM_UPS
from policies.observation import Observation
from policies.policy import ChunkPolicy
from policies.rl.explorer import Explorer, act
from policies.rl.observation import Layout, Rates, feature_dim, features
from policies.rl.plans import Proposal
from policies.rl.weights import Published, load_weights


class ResidualError(ValueError):
    """A residual that must not act; the text says what, what is allowed and what to do."""


class Residual:
    """Weights of a learner on the base that they were learnt on; `step_ns`: from one correction to the next."""

    def __init__(self, published: Published, base: ChunkPolicy, layout: Layout, explores: bool = False) -> None:
        """`explores`: with the noise of an actor that learns."""
        self.published, self.base, self._layout = published, base, layout
        about = published.about
        self.rates = Rates.named(layout, about.channels, about.action_range)
        self.step_ns = round(about.step_s * 1e9)
        self._acts = published.exploring if explores else published.deployed
        self.asks = self._acts.asks  # its critics, and acts only as far as they agree
        self._act: Callable[[np.ndarray, np.ndarray], np.ndarray] = lambda o, b: act(self._acts, o, b)
        if explores:
            self._act = Explorer(published.actor.config, published, published.version).act

    @property
    def bound(self) -> np.ndarray:
        """(rate_dim,) the most that a correction can be, m and rad, without exploration."""
        return self.rates.displacement(np.full(len(self.rates.indices), self.published.actor.config.residual_scale))

    def observe(self, observation: Observation, proposal: Proposal) -> np.ndarray:
        """(o,) float32, what the actor sees.

        Raises:
            ValueError: the observation is not the base policy's.
        """
        config = self.base.config
        pictures = [decode_frame(jpeg, config.width, config.height) for jpeg in observation.jpegs]
        return features(self.base, self._layout, pictures, observation.state, proposal.before)

    def displacement(self, observation: Observation, proposal: Proposal) -> np.ndarray:
        """(rate_dim,) m and rad, from where the base would have the reference a step after the observation.

        Raises:
            ValueError: the observation is not the base policy's, or something in it or the answer is not finite.
        """
        base = self.rates.action(proposal.before, proposal.point)
        action = self._act(self.observe(observation, proposal), base)
        displacement = self.rates.displacement((action - base).astype(np.float64))
        if not np.isfinite(displacement).all():
            raise ValueError("the residual is not finite; allowed: finite numbers; publish other weights")
        return displacement

    def warm_up(self, pose: np.ndarray) -> None:
        """Let torch choose its kernels before it may act, with a pose (dim,) as it may come."""
        config = self.base.config
        picture = np.zeros((config.height, config.width, 3), np.uint8)
        for _ in range(N_WARM_UPS):
            seen = features(self.base, self._layout, [picture] * len(config.cameras), pose, pose)
            act(self._acts, seen, self.rates.action(pose, pose))


def load_residual(
    folder: Path, base: Path, robot: str, layout: Layout, channels: tuple[str, ...], bound: np.ndarray,
    explores: bool = False,
) -> Residual:  # fmt: skip
    """The newest weights of a learning run, for a robot with this layout and these channels, whose corrections may be
    `bound` (rate_dim,) at most.

    Raises:
        ValueError: they were learnt on another base, robot or observation, or may move the robot further; or what
            load_weights and load_checkpoint raise.
    """
    published, checkpoint = load_weights(folder), load_checkpoint(base, robot, channels)
    about, config = published.about, published.actor.config
    dim = feature_dim(checkpoint.policy, layout)
    agreed = {
        "robot": (about.robot, robot), "base": (about.base, checkpoint.sha256),
        "observation": (about.observation, checkpoint.sha256), "observation_dim": (config.observation_dim, dim),
        "action_dim": (config.action_dim, len(about.channels)),
        "number of ranges": (len(about.action_range), len(about.channels)), "gripper": (config.gripper, False),
    }  # fmt: skip
    for what, (have, want) in agreed.items():
        if have != want:
            raise ResidualError(f"{folder}: {what} {have!r}; allowed here: {want!r}, as of {base}; learn a residual "
                                "on that base, or write policy:= as it was learnt")  # fmt: skip
    if not about.step_s > 0.0:
        raise ResidualError(f"{folder} does not say how long a step is; allowed: a run of this release; learn anew")
    residual = Residual(published, checkpoint.policy, layout, explores)
    if (over := residual.bound > bound).any():
        k = int(np.argmax(over))
        raise ResidualError(f"{folder} may displace {layout.rate_names[k]} by {residual.bound[k]:g}; allowed: "
                            f"{bound[k]:g}; learn with a smaller residual_scale")  # fmt: skip
    return residual
