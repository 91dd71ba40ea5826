"""Episodes and the replay: what is bootstrapped, which buffer gets what, what is never written."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from made import episode

from policies.rl.episode import SUFFIX, EpisodeError, load_episode, save_episode
from policies.rl.replay import Replay


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
