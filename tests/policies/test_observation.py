"""Pairing of pictures and state; the worker that always takes the newest."""

import threading
import time

import box_toy
import cv2
import numpy as np
import pytest

from policies.flow import FlowPolicy
from policies.inference import InferenceWorker, answer
from policies.normalise import Normaliser
from policies.observation import Observation, ObservationPairing
from policies.policy import PolicyConfig

GRID, FRAME, TICK = 396_000_000, 66_000_000, 20_000_000
STATE = np.zeros(17)


def offer(pairing, stamp, cameras=("chest", "head"), state=True):
    """Everything of one moment, state first; the observations that came of it."""
    out = [pairing.add_state(stamp // TICK * TICK, STATE)] if state else []
    out += [pairing.add_image(camera, stamp, camera.encode()) for camera in cameras]
    return [observation for observation in out if observation is not None]


def test_one_observation_a_period_with_the_state_of_the_tick_before():
    pairing = ObservationPairing(("chest", "head"), lockstep=True)
    seen = [o for k in range(60, 73) for o in offer(pairing, k * FRAME)]
    assert [o.stamp_ns for o in seen] == [10 * GRID, 11 * GRID, 12 * GRID]
    assert all(o.jpegs == (b"chest", b"head") and o.state_stamp_ns == o.stamp_ns // TICK * TICK for o in seen)


def test_any_order_of_arrival_completes_it():
    pairing = ObservationPairing(("chest", "head"), lockstep=True)
    assert pairing.add_image("head", GRID, b"h") is None
    assert pairing.add_image("chest", GRID, b"c") is None
    assert pairing.missing == ("measured_action",)
    assert pairing.add_state(GRID // TICK * TICK - TICK, STATE) is None  # the tick before the right one
    assert pairing.add_state(GRID // TICK * TICK, STATE).jpegs == (b"c", b"h")
    assert pairing.missing == () and pairing.add_state(GRID // TICK * TICK + TICK, STATE) is None


def test_real_time_pairs_pictures_of_one_moment_and_drops_what_is_overtaken():
    pairing = ObservationPairing(("chest", "head"), lockstep=False)
    pairing.add_state(GRID, STATE)
    pairing.add_image("head", GRID - 40_000_000, b"old")
    assert pairing.add_image("chest", GRID + 5_000_000, b"c") is None and pairing.missing == ("camera head",)
    assert pairing.add_image("head", GRID + 20_000_000, b"h").jpegs == (b"c", b"h")
    assert offer(pairing, GRID + FRAME) == []  # not due again
    assert offer(pairing, 2 * GRID, cameras=("chest",)) == [] and pairing.missing == ("camera head",)
    assert len(offer(pairing, 3 * GRID)) == 1 and pairing.n_incomplete == 1


def test_a_state_that_is_too_old_is_not_used():
    pairing = ObservationPairing(("chest",), lockstep=False)
    pairing.add_state(GRID, STATE)
    assert pairing.add_image("chest", GRID + 120_000_000, b"c") is None


@pytest.mark.parametrize("jump", [-5, 5])
def test_restart_of_the_world_forgets_it_but_not_the_new_ones_first_pictures(jump):
    pairing = ObservationPairing(("chest", "head"), lockstep=True)
    offer(pairing, 10 * GRID)
    pairing.add_image("chest", 11 * GRID, b"of the old world")
    new = (11 + jump) * GRID
    for camera in ("chest", "head"):
        assert pairing.add_image(camera, new, b"new") is None
    observation = pairing.add_state(new // TICK * TICK, STATE)
    assert pairing.n_restarts == 1 and observation.stamp_ns == new and observation.jpegs == (b"new", b"new")


def small_policy() -> tuple[FlowPolicy, Observation]:
    channels = box_toy.CHANNELS
    statistics = Normaliser.fit(channels, np.stack([box_toy.HOME, box_toy.expert(box_toy.Scene.random(0))[60]]))
    policy = FlowPolicy(PolicyConfig(channels, channels, ("head",), 32, 24), statistics, statistics)
    picture = box_toy.draw(box_toy.Scene.random(0), box_toy.HOME)["head"]
    jpeg = cv2.imencode(".jpg", picture[..., ::-1])[1].tobytes()
    return policy.eval(), Observation(GRID, (jpeg,), box_toy.HOME, GRID)


def test_equal_observations_get_equal_answers_and_bad_ones_a_reason():
    policy, good = small_policy()
    np.testing.assert_array_equal(answer(policy, good).chunk, answer(policy, good).chunk)
    later = Observation(2 * GRID, good.jpegs, good.state, 2 * GRID)
    np.testing.assert_array_equal(answer(policy, good).chunk, answer(policy, later).chunk)
    for jpegs, state, says in (((b"\xff\xd8broken",), good.state, "no JPEG"), ((b"",), good.state, "no JPEG"),
                               (good.jpegs, np.full(17, np.nan), "state is not finite")):  # fmt: skip
        refused = answer(policy, Observation(GRID, jpegs, state, GRID))
        assert refused.chunk is None and says in refused.refusal


def test_worker_takes_the_newest_and_drops_the_rest():
    answers, busy, go_on = [], threading.Event(), threading.Event()

    def on_observation(observation):
        answers.append(observation.stamp_ns)
        busy.set()
        go_on.wait(5.0)

    worker = InferenceWorker(on_observation)
    stamped = [Observation(k * GRID, (b"",), STATE, k * GRID) for k in range(5)]
    worker.submit(stamped[0])
    assert busy.wait(20.0)
    for observation in stamped[1:]:
        worker.submit(observation)
    go_on.set()
    until = time.monotonic() + 20.0
    while len(answers) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    worker.close()
    assert answers == [0, 4 * GRID] and worker.n_overtaken == 3
