"""A short episode through the whole graph in lockstep: the policy acts, a person takes over, hands back."""

from __future__ import annotations

import json

import numpy as np

from controllers import g1

LEFT_X = g1.ACTION_CHANNELS.index("left_ee.x")
MOVE_M = 0.06


def test_a_person_takes_over_and_hands_back(launch):
    graph = launch(seed=3)
    operator = graph.operator
    assert operator.begin()["seed"] == 3
    operator.for_sim_s(1.2)
    assert operator.authority == "policy"
    assert operator.newest_source() == "policy"

    taken_at = operator.measured.copy()
    operator.hand = lambda _, __: taken_at  # the clutch closes at the first action: start where the hand is, then move
    operator.call("take_over")
    operator.for_sim_s(0.1)
    operator.hand = lambda _, __: taken_at + np.eye(len(taken_at))[LEFT_X] * MOVE_M
    operator.for_sim_s(1.5)
    assert operator.authority == "teleop"
    assert abs(operator.measured[LEFT_X] - taken_at[LEFT_X] - MOVE_M) < 0.02

    operator.hand = None
    operator.call("hand_back")
    operator.for_sim_s(1.5)
    assert operator.authority == "policy"
    assert operator.newest_source() == "policy"
    assert abs(operator.measured[LEFT_X] - taken_at[LEFT_X]) < 0.02, "the policy's home pose"
    assert not operator.truth["fallen"]
    operator.call("episode/success")
    assert graph.end() == 0

    operator.check_no_jumps()
    episode = next((graph.folder / "episodes").glob("*/episode.json"))
    meta = json.loads(episode.read_text())
    assert (meta["outcome"], meta["seed"]) == ("success", 3)
    assert [who for _, who in meta["authority"] if who != "none"] == ["policy", "teleop", "policy"]


def test_same_seed_same_bits(launch):
    """1.5 s under the policy, cameras and all, twice."""
    digests = []
    for _ in range(2):
        graph = launch(seed=5)
        operator = graph.operator
        operator.begin(hash_s=1.5)
        operator.for_sim_s(1.6)
        digests.append((operator.n_hashed, operator.digest.hexdigest()))
        assert graph.end() == 0
    assert digests[0][0] == 750
    assert digests[0] == digests[1]
