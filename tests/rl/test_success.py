"""A verifier tells a learner of success: the hand must be where successes end, and what it says wrongly is counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from residual_graph import CAMERAS, LAYOUT, write_base

from policies.guard import Guard, fit_guard
from policies.rl.success import Detector, Watch
from policies.verifier import Rate, Verifier, VerifierConfig, VerifierError, VerifierNet
from sim.learn_tasks import make_bench
from sim.rl_judge import JudgedEnv

CHANNELS = ("ee.x", "ee.qx", "gripper")


class Told(Verifier):
    """Says what it is told to."""

    says = [1.0]

    def score(self, jpegs) -> float:
        assert len(jpegs) == len(self.config.cameras) and all(jpeg[:2] == b"\xff\xd8" for jpeg in jpegs)
        return self.says[0]


def told(guard: Guard, cameras: tuple[str, ...] = ("top",)) -> Verifier:
    config = VerifierConfig(cameras, 32, 24, 8)
    return Told(VerifierNet(config), config, "yam", "arm_insert", 0.5, Rate(0, 40), Rate(2, 40), {}, "a" * 64, guard,
                Rate(1, 40))  # fmt: skip


def test_a_guard_is_a_box_around_the_ends_of_successes():
    poses = np.array([[0.1, 0.7, 0.0], [0.3, -0.7, 0.1]])
    guard = fit_guard(CHANNELS, poses)
    assert guard.channels == ("ee.x", "gripper")
    np.testing.assert_allclose([guard.low, guard.high], [[0.08, -0.02], [0.32, 0.12]])
    assert guard.outside(CHANNELS, np.array([0.2, 9.0, 0.05])) == ()
    assert guard.outside(CHANNELS, np.array([0.5, 0.0, 1.0])) == ("ee.x", "gripper")
    with pytest.raises(ValueError, match="no channel gripper"):
        guard.outside(("ee.x",), np.zeros(1))
    with pytest.raises(ValueError, match="train again"):
        Guard(("x",), (1.0,), (0.0,))


def test_it_takes_two_steps_on_end_above_the_threshold_inside_the_guard():
    verifier = told(Guard(("ee.x",), (0.0,), (1.0,)))
    detector = Detector(verifier, CHANNELS, ("top",))
    inside, outside = np.array([0.5, 0, 0]), np.array([2.0, 0, 0])
    scores = [(0.9, inside), (0.4, inside), (0.9, inside), (0.9, outside), (0.9, inside), (0.5, inside), (0.9, inside)]
    assert [detector.hears(score, pose) for score, pose in scores] == [False] * 5 + [True, True]
    detector.begin()
    assert not detector.hears(0.9, inside)
    with pytest.raises(VerifierError, match="looks through top; allowed: what the base policy sees, wrist"):
        Detector(verifier, CHANNELS, ("wrist",))
    with pytest.raises(VerifierError, match="does not say where the robot is"):
        Detector(replace(verifier, guard=None), CHANNELS, ("top",))


def test_a_watch_says_when_the_verifier_is_fooled(tmp_path):
    verifier = told(Guard((), (), ()))
    watch = Watch(verifier, tmp_path)
    for said, true in [(True, True)] * 5 + [(False, True)] + [(False, False)] * 9 + [(True, False)]:
        watch.add(said, true)
    assert not watch.is_hacked and "took 1/10" in str(watch) and "missed 1/6" in str(watch)
    for _ in range(5):
        watch.add(said=True, true=False)
    assert Watch(verifier, tmp_path).is_hacked and str(watch).startswith("reward hacking: the verifier took 6/15")
    with pytest.raises(VerifierError, match="told of success by aaaaaaaaaaaa"):
        Watch(replace(verifier, sha256="b" * 64), tmp_path)
    with pytest.raises(VerifierError, match="how often it raises a false alarm"):
        Watch(replace(verifier, false_alarm=None), tmp_path)


def test_a_world_that_is_judged_ends_when_the_verifier_says_so(tmp_path):
    torch.set_num_threads(1)
    bench = make_bench("arm_insert", str(write_base(tmp_path / "base")), noise=False)
    everywhere = Guard(LAYOUT.channels[:3], (-2.0,) * 3, (2.0,) * 3)
    try:
        env = JudgedEnv(bench.env, told(everywhere, CAMERAS), tmp_path)
        Told.says[0] = 0.0
        env.reset(4)
        step = env.step_person(env.loop.reference)
        assert (step.reward, step.terminated, step.truncated) == (0.0, False, False) and env.about == bench.env.about
        Told.says[0] = 1.0
        assert env.step_person(env.loop.reference).reward == 0.0
        step = env.step(env.normalised(env.loop.reference))
        assert step.terminated and step.reward == 1.0 and "took 1/1" in str(env.watch)
        with pytest.raises(VerifierError, match="allowed: a checkpoint as the base"):
            JudgedEnv(make_bench("arm_insert", "scripted:0", noise=False).env, told(everywhere, CAMERAS), tmp_path)
    finally:
        bench.close()
