"""What shapes a learning run: `residual` on a frozen chunk policy, and `hil` from demonstrations and interventions.

Residual: ResFiT (arXiv 2509.19301). From demonstrations and interventions: RLPD (arXiv 2302.02948) as HIL-SERL
(arXiv 2410.21845) uses it. The learner is the same: without a base policy the base's action is 0 and the
scale is 1.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace


@dataclass(frozen=True)
class RlConfig:
    """Equal configs on equal episodes give equal weights. Actions are normalised, -1..1."""

    seed: int = 0
    observation_dim: int = 0
    action_dim: int = 0  # of the continuous action
    pose_dim: int = 0  # of an observation of pictures: of the pose in it, see policies/rl/goals.py; 0: shown as it is
    behind_dim: int = 0  # of how far the robot is behind its reference, the last numbers
    residual_scale: float = 0.2  # the residual's bound; 1: the whole action is the actor's
    residual_penalty: float = 0.0  # the value that all of the bound must earn: Adam follows the least slope to its end
    unanimous: bool = False  # at first it acts as far as all critics agree that it helps, see policies/rl/deployed.py
    hidden_dim: int = 128
    n_critics: int = 5
    n_target_critics: int = 2  # of them, drawn at each update, whose least value is the target
    layer_norm: bool = True  # in the critics
    stochastic: bool = False  # a soft actor-critic with a learnt temperature; else one action and noise added to it
    backup_entropy: bool = False  # the entropy counts as reward
    initial_temperature: float = 0.01
    exploration_std: float = 0.05  # of the noise on a deterministic actor's action
    noise_clip: float = 0.3
    noise_held: float = 0.0  # the chance that noise stays for another step: a base undoes what lasts one
    gamma: float = 0.97
    n_step: int = 3
    batch_size: int = 128
    demo_fraction: float = 0.5  # of a batch, once there are demonstrations
    critic_learning_rate: float = 3e-4
    actor_learning_rate: float = 1e-4
    tau: float = 0.005  # of the target critics
    grad_clip: float = 1.0  # norm, of the actor and of the critics
    updates_per_step: int = 4  # critic updates per step of the environment
    actor_every: int = 4  # critic updates per update of the actor
    warmup_steps: int = 700  # steps of the base with uniform noise before anything is learnt
    warmup_noise: float = 0.2
    critic_only_updates: int = 1_000
    gripper: bool = False  # a discrete head beside the continuous action
    grasp_penalty: float = 0.02  # reward lost with every change of the gripper

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be learnt with."""
        counts = ("observation_dim", "action_dim", "hidden_dim", "n_critics", "n_target_critics", "n_step",
                  "batch_size", "updates_per_step", "actor_every")
        for name in counts:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)}; allowed: 1 and more; correct it")
        if self.n_target_critics > self.n_critics:
            raise ValueError(f"n_target_critics {self.n_target_critics}; allowed: up to n_critics {self.n_critics}")
        for name in ("residual_scale", "gamma", "tau", "demo_fraction", "noise_held"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} {getattr(self, name)}; allowed: 0 to 1; correct it")
        if not 0.0 <= self.residual_penalty < math.inf:
            raise ValueError(f"residual_penalty {self.residual_penalty}; allowed: 0 and more; correct it")
        if self.residual_penalty and not self.residual_scale:
            raise ValueError("residual_penalty with residual_scale 0; allowed: a bound above 0; leave one of them out")
        if self.unanimous and self.stochastic:
            raise ValueError("unanimous and stochastic together; allowed: one of them; consent is to one action")
        for name in ("critic_learning_rate", "actor_learning_rate", "initial_temperature", "grad_clip"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} {getattr(self, name)}; allowed: above 0; correct it")


def residual(observation_dim: int, action_dim: int, seed: int = 0) -> RlConfig:
    """A bounded correction of a frozen policy, for some 5,000 steps (recipe A1's probe). On a state of 15 numbers
    nets of 256 needed as many steps and twice the time."""
    return RlConfig(seed, observation_dim, action_dim)


def seeing(observation_dim: int, action_dim: int, seed: int = 0) -> RlConfig:
    """A residual that sees pictures through its base's encoders, where what is shown of an object is right by a
    millimetre or two: a wider bound, since that error and the base's own add up, noise that the base cannot undo at
    once, and a critic that has learnt before anybody listens to it."""
    return replace(
        residual(observation_dim, action_dim, seed), unanimous=True, residual_scale=0.35, exploration_std=0.1,
        noise_held=0.8, updates_per_step=12, warmup_steps=1_000, warmup_noise=0.35, critic_only_updates=8_000,
    )  # fmt: skip


def hil(observation_dim: int, action_dim: int, seed: int = 0, gripper: bool = False) -> RlConfig:
    """Without a base policy, from demonstrations and interventions (recipe A3). With gamma 0.97 and two critics success
    on arm_insert fell from 20 to 15 of 20 between 4,000 and 6,000 steps: it paid to be quick and to drop the peg."""
    return replace(
        residual(observation_dim, action_dim, seed), residual_scale=1.0, stochastic=True, gamma=0.99,
        updates_per_step=2, actor_every=2, actor_learning_rate=3e-4, warmup_steps=300, warmup_noise=1.0,
        critic_only_updates=0, gripper=gripper,
    )  # fmt: skip


def to_dict(config: RlConfig) -> dict:
    """As JSON keeps it."""
    return asdict(config)


def from_dict(values: dict) -> RlConfig:
    """What is missing has its default, so a new setting's default must be what there was before it.

    Raises:
        ValueError: unknown keys, as of a newer release.
    """
    names = {field.name for field in fields(RlConfig)}
    if odd := sorted(set(values) - names):
        raise ValueError(f"config keys {', '.join(odd)} are unknown; allowed: {', '.join(sorted(names))}; use the "
                         "release that it is from")
    return RlConfig(**values)
