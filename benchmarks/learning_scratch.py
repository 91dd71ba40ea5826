"""rl_from_scratch_success: what learning without a base policy makes of more steps of the robot than a residual needs,
by the learner on the same demonstrations and by stable-baselines3's SAC.
"""

from __future__ import annotations

import gymnasium
import numpy as np
import torch

from benchmarks.learning_runs import FINAL, SEEDS, SELDOM, Results, learn, success
from policies.rl.run import RunFolder
from sim.learn_tasks import NO_BASE, make_bench
from sim.rl_actor import evaluate
from sim.rl_env import RlEnv

STEPS = 4_000
FIRST_SEED = 90_000  # of SAC's worlds


class Scratch(gymnasium.Env):
    """An RlEnv without a base as Gymnasium has it; every episode is in the next world."""

    def __init__(self, env: RlEnv, first_seed: int) -> None:
        self._env, self._next_seed = env, first_seed
        self.observation_space = gymnasium.spaces.Box(-5.0, 5.0, (env.observe.dim,))
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (len(env.rates),))

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        self._next_seed += 1
        return self._env.reset(self._next_seed - 1)[0], {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        step = self._env.step(action)
        return step.observation, step.reward, step.terminated, step.truncated, {}


def from_scratch() -> Results:
    """The best of each one's seeds."""
    runs = [learn(f"scratch-{k}", "--base", NO_BASE, "--seed", str(k), "--steps", str(STEPS), *SELDOM) for k in SEEDS]
    ours = [success(NO_BASE, run) for run in runs]
    sizes = RunFolder(runs[0]).read()[0]
    sac = [sac_success(k, STEPS, sizes.hidden_dim, sizes.batch_size, sizes.gamma, FINAL) for k in SEEDS]
    return {"rl_from_scratch_success": {"value": max(ours), "peer": f"seeds {ours}, SAC {sac}, {STEPS} steps"}}


def sac_success(seed: int, steps: int, hidden: int, batch: int, gamma: float, worlds: range) -> float:
    """Share of `worlds` in which SAC succeeds after `steps`, with the learner's sizes and discount."""
    from stable_baselines3 import SAC

    torch.set_num_threads(1)
    env = make_bench("arm_insert", NO_BASE).env
    model = SAC("MlpPolicy", Scratch(env, FIRST_SEED + 1_000 * seed), gamma=gamma, batch_size=batch, seed=seed,
                policy_kwargs={"net_arch": [hidden, hidden]}, device="cpu").learn(steps)  # fmt: skip

    def act(observation: torch.Tensor, base: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        return torch.from_numpy(model.predict(observation.numpy(), deterministic=True)[0])

    return sum(won for won, _ in evaluate(env, act, worlds).values()) / len(worlds)
