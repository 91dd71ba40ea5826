"""The learner's promises: what is bootstrapped, which buffer gets what, the first actions, exact resuming."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from made import about, episode, small

from policies.rl import config as configs
from policies.rl import run as run_module
from policies.rl.episode import SUFFIX, EpisodeError, load_episode, save_episode
from policies.rl.learner import Learner
from policies.rl.networks import Actor, EnsembleMlp, bounded
from policies.rl.replay import Replay
from policies.rl.run import LearnerRun, RunError, RunFolder
from policies.rl.weights import WeightsError, load_weights


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def every_transition(replay: Replay, n: int):
    """Each row once, by its reward: rewards are made distinct."""
    batch = replay.sample(4000, 0.0, generator())
    order = {round(float(reward), 6): i for i, reward in enumerate(batch.reward[:, 0])}
    assert len(order) == n
    return batch, order


def test_truncated_episodes_bootstrap_and_terminated_ones_do_not():
    for end, last in (("truncated", 0.9), ("success", 0.0), ("failure", 0.0)):
        replay = Replay(3, 2, n_step=3, gamma=0.9)
        made = dataclasses.replace(episode(5, end=end), reward=np.arange(1, 6, dtype=np.float32))
        replay.add(made)
        batch, order = every_transition(replay, 5)
        first = order[round(1 + 0.9 * 2 + 0.81 * 3, 6)]
        assert batch.discount[first, 0] == pytest.approx(0.9**3)
        assert np.array_equal(batch.next_observation[first], made.observation[3])
        tail = order[5.0]  # one step to the end, where the observation after the last step is
        assert batch.discount[tail, 0] == pytest.approx(last)
        assert np.array_equal(batch.next_observation[tail], made.observation[5])
        assert np.array_equal(batch.next_base[tail], made.base[5])


def test_transitions_of_a_person_are_in_both_buffers_and_the_policys_in_one():
    replay = Replay(3, 2, n_step=1, gamma=0.9)
    replay.add(episode(10, person=range(4, 7)))
    assert (replay.online_steps, replay.demo_steps) == (10, 3)
    replay.add(dataclasses.replace(episode(8), is_demo=True))
    assert (replay.online_steps, replay.demo_steps) == (10, 11)


def test_a_batch_is_half_demonstrations():
    replay = Replay(3, 2, n_step=1, gamma=0.9)
    replay.add(dataclasses.replace(episode(5), is_demo=True, reward=np.full(5, 7.0, np.float32)))
    assert (replay.sample(64, 0.5, generator()).reward == 7.0).all()  # nothing else is there yet
    replay.add(episode(50))
    assert (replay.sample(64, 0.5, generator()).reward == 7.0).sum() == 32


def test_replay_grows_without_changing_what_it_holds():
    replay = Replay(3, 2, n_step=2, gamma=0.9)
    made = [episode(900, seed=k) for k in range(10)]
    for one in made:
        replay.add(one)
    batch = replay.sample(2000, 0.5, generator())
    seen = {tuple(row) for one in made for row in one.observation.tolist()}
    assert {tuple(row) for row in batch.observation.tolist()} <= seen
    assert replay.online_steps == 9000


def test_the_first_actions_are_the_bases_bit_by_bit():
    actor = Actor(configs.residual(6, 4), generator())
    base = torch.randn(100, 4) * 0.6
    base[0] = torch.tensor([1.7, -2.0, 1.0, -1.0])  # out of the range: no residual, no change
    action, _ = actor(torch.randn(100, 6), base)
    assert torch.equal(action, base)


def test_residual_is_bounded_and_never_pulls_the_base_back():
    base = torch.tensor([[0.95, -1.5, 0.0]])
    assert torch.equal(bounded(base + 0.2, base), torch.tensor([[1.0, -1.3, 0.2]]))
    assert torch.equal(bounded(base - 0.2, base), torch.tensor([[0.75, -1.5, -0.2]]))


def test_an_ensemble_is_its_members_side_by_side():
    net = EnsembleMlp(4, 5, 16, 2, True, generator())
    x = torch.randn(7, 5)
    together = net(x)
    for k in range(4):
        alone = EnsembleMlp(1, 5, 16, 2, True, generator())
        alone.load_state_dict({name: value[k : k + 1] for name, value in net.state_dict().items()})
        assert torch.allclose(alone(x)[0], together[k], atol=1e-6)
    assert torch.allclose(net(x, torch.tensor([2, 0])), together[[2, 0]], atol=1e-6)


def test_log_probability_of_the_stochastic_actor_is_that_of_its_density():
    actor = Actor(configs.hil(3, 1), generator())
    observation, base = torch.randn(1, 3), torch.zeros(1, 1)
    u = torch.linspace(-8, 8, 4001)[:, None]
    raw = actor.net(torch.cat([observation, base], -1))[0]
    mean, log_std = raw.chunk(2, -1)
    noise = (u - mean) / log_std.exp()
    action, log_prob = actor(observation.expand(4001, -1), base.expand(4001, -1), noise)
    mass = torch.trapezoid(log_prob.exp(), action[:, 0].double())
    assert float(mass.detach()) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("kind", ["residual", "hil"])
def test_it_learns_where_the_reward_is(kind):
    """One step: the reward is 1 where the action's first number is above 0.1."""
    config = small(kind, observation_dim=3, action_dim=2, updates_per_step=1, warmup_steps=0, actor_every=1,
                   actor_learning_rate=3e-3, critic_learning_rate=1e-2, critic_only_updates=30)  # fmt: skip
    learner = Learner(config, has_base=kind == "residual")
    rng = np.random.default_rng(0)
    for k in range(150):
        made = episode(1, end="success", seed=k)
        action = rng.uniform(-config.residual_scale, config.residual_scale, (1, 2)).astype(np.float32)
        base = np.zeros((2, 2), np.float32)
        learner.learn(dataclasses.replace(made, action=action, base=base,
                                          reward=(action[:, 0] > 0.1).astype(np.float32)))  # fmt: skip
    action, _ = learner.actor(torch.randn(200, 3), torch.zeros(200, 2))
    assert (action[:, 0] > 0.1).float().mean() > 0.9


def test_the_grippers_head_learns_to_close():
    config = small("hil", observation_dim=3, action_dim=2, gripper=True, grasp_penalty=0.02, warmup_steps=0,
                   critic_learning_rate=1e-2)  # fmt: skip
    learner = Learner(config, has_base=False)
    for k in range(30):
        made = episode(3, end="success", seed=k)
        gripper = np.random.default_rng(k).integers(0, 3, 3).astype(np.uint8)
        learner.learn(dataclasses.replace(made, gripper=gripper, reward=(gripper == 0).astype(np.float32)))
    assert (learner.gripper(torch.randn(100, 3))[0].argmax(-1) == 0).float().mean() > 0.9


def same(a: Learner, b: Learner) -> bool:
    pairs = ((a.actor, b.actor), (a.critic, b.critic), (a.target, b.target), (a.gripper, b.gripper))
    equal = [torch.equal(x, y) for m, n in pairs for x, y in zip(m.parameters(), n.parameters(), strict=True)]
    return all(equal) and torch.equal(a.log_temperature, b.log_temperature) and a.n_updates == b.n_updates


class Dying:
    """A function that is killed at its third call."""

    def __init__(self, real) -> None:
        self.real, self.calls = real, 0

    def __call__(self, *args):
        self.calls += 1
        if self.calls == 3:
            raise ConnectionAbortedError("killed")
        return self.real(*args)


@pytest.mark.parametrize("kind", ["residual", "hil"])
def test_a_learner_killed_at_any_moment_continues_as_if_it_had_not_been(kind, tmp_path, monkeypatch):
    def run(name: str) -> LearnerRun:
        folder = RunFolder(tmp_path / name)
        folder.start(small(kind, gripper=kind == "hil"), about())
        return LearnerRun(folder, has_base=kind == "residual")

    whole = run("whole")
    for k in range(6):
        whole.folder.write(k, episode(20, seed=k, end=("truncated", "success")[k % 2]))
    assert whole.poll() == 6

    for when in ("save_learner", "publish"):
        cut = run(when)
        for k in range(4):
            cut.folder.write(k, episode(20, seed=k, end=("truncated", "success")[k % 2]))
        with monkeypatch.context() as patch, pytest.raises(ConnectionAbortedError):
            patch.setattr(run_module, when, Dying(getattr(run_module, when)))
            cut.poll()
        with open(cut.folder.path / "log.jsonl", "a") as log:
            log.write('{"episode": "0000')
        again = run(when)
        for k in (4, 5):
            again.folder.write(k, episode(20, seed=k, end=("truncated", "success")[k % 2]))
        again.poll()
        assert same(again.learner, whole.learner)
        assert again.folder.log() == again.journal == whole.journal == whole.folder.log()


def test_published_weights_act_as_the_learners_do(tmp_path):
    folder = RunFolder(tmp_path)
    folder.start(small("residual"), about())
    run = LearnerRun(folder)
    assert load_weights(tmp_path, about()).version == 0
    for k in range(3):
        folder.write(folder.next_number(), episode(20, seed=k))
    run.poll()
    published = load_weights(tmp_path, about())
    x = torch.randn(5, 3), torch.randn(5, 2)
    assert published.version == run.learner.n_updates > 0
    assert torch.equal(published.actor(*x)[0], run.learner.actor(*x)[0])


def test_bad_episodes_are_set_aside_and_say_why(tmp_path, capsys):
    folder = RunFolder(tmp_path)
    folder.start(small("residual"), about())
    run = LearnerRun(folder)
    good = episode(5)
    for k, (bad, _) in enumerate(refused := [
        (dataclasses.replace(good, about=about(base="another")), "base 'another'; allowed: 'base'"),
        (dataclasses.replace(good, about=about(robot="g1")), "robot 'g1'; allowed: 'yam'"),
        (dataclasses.replace(good, about=about(run="other")), "run 'other'"),
        (dataclasses.replace(good, observation=np.zeros((6, 9), np.float32)), "observations of 9 numbers; allowed: 3"),
    ]):  # fmt: skip
        folder.write(k, bad)
    (folder.episodes / f"000009{SUFFIX}").write_bytes(b"half a file")
    folder.write(10, good)
    assert run.poll() == 1 and folder.next_number() == 11
    reasons = [path.read_text() for path in sorted(folder.refused.glob("*.txt"))]
    assert len(reasons) == 5 and len(list(folder.refused.glob(f"*{SUFFIX}"))) == 5
    for (_, says), reason in zip([*refused, (None, "is no episode")], reasons, strict=True):
        assert says in reason and says in capsys_text(capsys)


_said: list[str] = []


def capsys_text(capsys) -> str:
    _said.append(capsys.readouterr().out)
    return "".join(_said)


@pytest.mark.parametrize(("field", "value", "says"), [
    ("reward", np.array([np.nan] * 5, np.float32), "reward holds NaN"),
    ("end", "", "outcome ''; allowed: success, failure, truncated"),
    ("segment", np.full(5, 99, np.uint8), "segment 99 is unknown"),
    ("action", np.zeros((5, 3), np.float32), r"action is \(5, 3\); allowed: \(5, 2\)"),
])  # fmt: skip
def test_episodes_that_teach_nothing_are_never_written(tmp_path, field, value, says):
    with pytest.raises(EpisodeError, match=says):
        save_episode(tmp_path / f"0{SUFFIX}", dataclasses.replace(episode(5), **{field: value}))
    assert not list(tmp_path.iterdir())


def test_an_episode_is_read_as_it_was_written(tmp_path):
    made = episode(7, person=range(2, 4), end="truncated")
    save_episode(tmp_path / f"0{SUFFIX}", made)
    read = load_episode(tmp_path / f"0{SUFFIX}")
    for field in dataclasses.fields(made):
        assert np.array_equal(getattr(read, field.name), getattr(made, field.name)), field.name


def test_a_run_of_another_config_or_base_is_refused(tmp_path):
    folder = RunFolder(tmp_path)
    with pytest.raises(RunError, match="holds no run"):
        folder.read()
    folder.start(small("residual"), about())
    with pytest.raises(RunError, match="another config"):
        folder.start(small("residual", gamma=0.5), about())
    with pytest.raises(EpisodeError, match="base 'changed'; allowed: 'base'|base 'base'; allowed: 'changed'"):
        folder.start(small("residual"), about(base="changed"))
    LearnerRun(folder)
    with pytest.raises(EpisodeError, match="run"):
        load_weights(tmp_path, about(run="another"))
    with pytest.raises(WeightsError, match="start the learner first"):
        load_weights(tmp_path / "empty")


@pytest.mark.parametrize(("name", "value"), [("n_step", 0), ("gamma", 1.5), ("n_target_critics", 9), ("tau", -0.1)])
def test_configs_that_cannot_learn_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} .*allowed"):
        dataclasses.replace(configs.residual(3, 2), **{name: value})
