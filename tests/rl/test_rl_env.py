"""The environment: no residual is the base, what is kept is what happened, no chunk outlives its episode."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from policies.rl import config as configs
from policies.rl.learner import Learner
from policies.rl.run import RunFolder
from policies.rl.weights import load_weights, publish
from sim.arm_experts import InsertExpert
from sim.arm_insert import ArmInsertTask
from sim.rl_actor import demonstrate, evaluate, explore
from sim.rl_env import EpisodeBuilder, RlEnv
from sim.rl_insert import RATES, BiasedInsertBase, InsertState, aim_error
from sim.rl_operator import CORRECTION, RECOVERY, Operator

RANGE = np.array([0.015] * 3 + [0.05] * 3)


class Counting(BiasedInsertBase):
    """Counts its chunks and keeps the points that it gave."""

    def begin(self, seed: int) -> None:
        self.begun = getattr(self, "begun", 0) + 1

    def chunk(self, reference: np.ndarray) -> np.ndarray:
        self.points = super().chunk(reference)
        self.chunks = getattr(self, "chunks", 0) + 1
        return self.points


@pytest.fixture(scope="module")
def env() -> RlEnv:
    task = ArmInsertTask()
    return RlEnv(task, Counting(task, 0.0034), InsertState(task), RATES, RANGE)


def config(env: RlEnv, **changes):
    made = configs.residual(env.observe.dim, len(RATES))
    return made.__class__(**{**configs.to_dict(made), **changes})


def test_without_a_residual_the_base_drives_bit_by_bit(env, tmp_path):
    learner = Learner(config(env))
    folder = RunFolder(tmp_path)
    folder.start(learner.config, env.about)
    publish(tmp_path, learner, env.about)
    actor = load_weights(tmp_path, env.about).actor
    observation, base = env.reset(3)
    alone = []
    for _ in range(25):
        base = env.step(base).base
        alone.append(env.loop.reference)
    observation, base = env.reset(3)
    for reference in alone:
        action = actor(torch.from_numpy(observation)[None], torch.from_numpy(base)[None])[0][0].detach().numpy()
        step = env.step(action)
        observation, base = step.observation, step.base
        assert np.array_equal(env.loop.reference, reference)
    _, base = env.reset(3)  # and what drives is the base's own point
    env.step(base)
    assert np.allclose(env.loop.reference[:7], env.base.points[0][:7], atol=1e-9)


def test_what_is_kept_is_what_was_executed_after_the_limits(env):
    env.reset(5)
    before = env.loop.reference
    step = env.step(np.full(6, 40.0, np.float32))  # far beyond what the rig's speed allows
    way = env.layout.difference(before, env.loop.reference)[:6] / RANGE
    assert np.allclose(step.executed, way, atol=1e-6) and np.abs(step.executed).max() < 5.0
    small = env.reset(5)[1] + np.float32(0.01)
    step = env.step(small)
    assert np.allclose(step.executed, small, atol=0.02)


def test_a_new_episode_and_a_person_end_the_chunk(env):
    _, base = first = env.reset(1)
    chunks, begun = env.base.chunks, env.base.begun
    for _ in range(9):
        base = env.step(base).base
    assert env.base.chunks == chunks  # ten points, one chunk
    env.step(base)
    assert env.base.chunks == chunks + 1
    env.step_person(env.loop.reference)
    assert (env.base.chunks, env.base.begun) == (chunks + 2, begun + 1)
    assert np.array_equal(env.reset(1)[1], first[1])
    assert (env.base.chunks, env.base.begun) == (chunks + 3, begun + 2)


def test_a_demonstration_succeeds_and_its_actions_do_again(env):
    start = env.reset(7)
    demo = demonstrate(env, InsertExpert(env.task, env.loop.reference, 7), start)
    assert demo.end == "success" and demo.is_demo and demo.intervention.all() and demo.reward.sum() == 1.0
    assert len(demo.observation) == len(demo.base) == len(demo) + 1
    env.reset(7)
    rewards = [env.step(action).reward for action in demo.action]
    assert rewards[-1] == 1.0


def test_a_demonstration_that_strays_is_another_one_and_succeeds(env):
    made = []
    for stray_m in (0.0, 0.006, 0.006):
        start = env.reset(7)
        made.append(demonstrate(env, InsertExpert(env.task, env.loop.reference, 7), start, stray_m))
    straight, astray, again = made
    assert astray.end == "success" and np.array_equal(astray.action, again.action)
    n = min(len(straight), len(astray))
    assert 0.1 < np.abs(astray.action[:n] - straight.action[:n])[:, :3].max() < 1.0


def test_exploring_is_a_function_of_seed_and_weights(env, tmp_path):
    learner = Learner(config(env, warmup_noise=0.2))
    publish(tmp_path, learner, env.about)
    published = load_weights(tmp_path)
    first, second = (explore(env, learner.config, published, 11) for _ in range(2))
    assert np.array_equal(first.action, second.action) and first.end == second.end
    cut = explore(env, learner.config, published, 11, limit_s=0.5)
    assert cut.end == "truncated" and np.array_equal(cut.action, first.action[: len(cut)]) and len(cut) == 9
    assert not np.array_equal(first.action[:5], first.base[:5])


def test_the_biased_base_fails_where_it_aims_too_far_off_and_the_unbiased_does_not(env):
    task = env.task
    sure = RlEnv(task, BiasedInsertBase(task, 0.0), InsertState(task), RATES, RANGE)
    off = RlEnv(task, BiasedInsertBase(task, 0.006), InsertState(task), RATES, RANGE)
    assert all(ok for ok, _ in evaluate(sure, None, range(3)).values())
    assert not any(ok for ok, _ in evaluate(off, None, range(1)).values())


def test_what_takes_the_error_away_is_not_held_up_by_the_base(env):
    for seed in range(2):
        _, base = env.reset(seed)
        residual = np.zeros(6, np.float32)
        residual[:2] = -aim_error(env.task.scene.hole, 0.0034) / RANGE[:2]
        step = env.step(base + residual)
        while not (step.terminated or step.truncated):
            step = env.step(step.base + residual)
        assert step.reward == 1.0


def test_the_last_step_in_time_is_truncated_and_not_terminated(env):
    observation, base = env.reset(2)
    still = EpisodeBuilder(env, observation, base)
    env.task.max_episode_s, before = 0.6, env.task.max_episode_s
    try:
        while not still.add(env.step(np.zeros(6, np.float32))):
            pass
    finally:
        env.task.max_episode_s = before
    assert still.episode().end == "truncated"


def test_a_person_recovers_then_corrects_and_the_stuck_episode_succeeds(env, tmp_path):
    task = env.task
    off = RlEnv(task, BiasedInsertBase(task, 0.006), InsertState(task), RATES, RANGE)
    learner = Learner(config(env, warmup_noise=0.0))
    publish(tmp_path, learner, env.about)
    operator = Operator(InsertExpert)
    made = explore(off, learner.config, load_weights(tmp_path), 1, operator)
    assert made.end == "success" and operator.interventions >= 1 and made.intervention.any()
    first = int(np.flatnonzero(made.segment == RECOVERY)[0])
    assert first > 20, "it was left alone until it was stuck"
    after = made.segment[first:]
    assert CORRECTION in after and (made.segment[:first] == made.segment[0]).all()
    learner.replay.add(made)
    assert learner.replay.demo_steps == operator.steps == made.intervention.sum()
