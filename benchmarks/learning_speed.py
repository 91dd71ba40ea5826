"""learner_speed_vs_sb3: updates of the learner beside stable-baselines3's SAC, at equal sizes, batch and ensemble.

SAC updates its actor with every update of the critics, the learner with every fourth (ResFiT, RLPD); what it takes when
it does as SAC stands beside. One thread, one heap; of the processor's time the least of many short turns counts, since
machines have other things to do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import torch

from policies.heap import keep_freed_memory
from policies.rl import config as configs
from policies.rl.episode import About, RlEpisode
from policies.rl.learner import Learner

OBSERVATION, ACTION, HIDDEN, BATCH = 40, 7, 256, 256
ENSEMBLES = (2, 10)
ACTOR_EVERY = 4
STEPS, UPDATES, TURNS = 3_000, ACTOR_EVERY, 60


class Nothing(gymnasium.Env):
    """Random numbers, to fill a replay with."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (OBSERVATION,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (ACTION,))

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        return self.observation_space.sample(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        return self.observation_space.sample(), 0.0, False, False, {}


def ours(n_critics: int, actor_every: int) -> Callable[[], Any]:
    """One update of the learner, with the soft actor that SAC has."""
    config = replace(configs.hil(OBSERVATION, ACTION), n_critics=n_critics, actor_every=actor_every,
                     hidden_dim=HIDDEN, batch_size=BATCH, critic_only_updates=0, backup_entropy=True)  # fmt: skip
    learner, rng = Learner(config), np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return rng.uniform(-1.0, 1.0, shape).astype(np.float32)

    about = About("", "", tuple(f"a{k}" for k in range(ACTION)), "", "", "")
    n = STEPS
    learner.replay.add(RlEpisode(about, draw(n + 1, OBSERVATION), draw(n + 1, ACTION), draw(n, ACTION), draw(n),
                                 np.zeros(n, np.uint8), np.ones(n, np.uint8), "truncated", 0, 0))  # fmt: skip
    return learner.update


def theirs(n_critics: int) -> Callable[[], Any]:
    """One gradient step of SAC."""
    from stable_baselines3 import SAC

    model = SAC("MlpPolicy", Nothing(), batch_size=BATCH, buffer_size=STEPS, learning_starts=STEPS, gradient_steps=0,
                policy_kwargs={"net_arch": [HIDDEN, HIDDEN], "n_critics": n_critics}, device="cpu")  # fmt: skip
    model.learn(STEPS)
    return lambda: model.train(1, BATCH)


def learner_speed() -> dict[str, dict[str, Any]]:
    """How many times as many updates we make; the lesser of the ensembles."""
    torch.set_num_threads(1)
    keep_freed_memory()
    ratios, texts = [], []
    for n_critics in ENSEMBLES:
        ms = least_ms((ours(n_critics, ACTOR_EVERY), ours(n_critics, 1), theirs(n_critics)))
        ratios.append(ms[2] / ms[0])
        texts.append(f"{n_critics} critics: {ms[0]:.1f} ms beside {ms[2]:.1f} ms; with the actor at every update "
                     f"{ms[1]:.1f} ms, {ms[2] / ms[1]:.2f} x")  # fmt: skip
    return {"learner_speed_vs_sb3": {"value": float(min(ratios)), "peer": "; ".join(texts)}}


def least_ms(several: Sequence[Callable[[], Any]]) -> list[float]:
    """The processor's milliseconds of one call of each, in turns."""
    least = [np.inf] * len(several)
    for _ in range(TURNS):
        for k, update in enumerate(several):
            begin = time.process_time()
            for _ in range(UPDATES):
                update()
            least[k] = min(least[k], 1e3 * (time.process_time() - begin) / UPDATES)
    return least
