"""When a residual may act without its critics' consent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from made import about, episode, small

from controllers.rigs import YAM
from policies.residual import Residual
from policies.rl.learner import Learner
from policies.rl.run import LearnerRun, RunFolder
from policies.rl.trust import ENOUGH, NEWEST, TRIAL_EVERY, Trust, acted_alone, trust
from policies.rl.weights import Published, load_weights


def line(alone: bool | None, won: bool, helped: float = 0.0) -> dict:
    return {"alone": alone, "end": "success" if won else "truncated", "interventions": helped}


def journal(n: int, won_alone: bool, won_asking: bool = True) -> list[dict]:
    """Of n episodes acted as the trust so far wants it, after some of the base."""
    lines = [line(None, True)] * 10
    for _ in range(n):
        alone = trust(lines).explored
        lines.append(line(alone, won_alone if alone else won_asking))
    return lines


def test_a_quarter_of_the_episodes_are_trials_and_none_counts_before_there_are_enough() -> None:
    n = TRIAL_EVERY * ENOUGH
    assert sum(x["alone"] is True for x in journal(n, won_alone=True)) == ENOUGH
    assert not trust(journal(n - 1, won_alone=True)).deployed
    assert trust(journal(n, won_alone=True)).deployed


def test_trusted_it_acts_alone_and_consent_is_what_is_tried() -> None:
    lines = journal(200, won_alone=True)
    newest = [x["alone"] for x in lines[-100:]]
    assert newest.count(False) == len(newest) // TRIAL_EVERY


def test_a_residual_that_fails_alone_is_never_trusted_and_one_that_begins_to_fail_no_longer() -> None:
    assert not trust(journal(400, won_alone=False)).deployed
    assert not trust(journal(400, won_alone=False, won_asking=False)).deployed, "nothing is proven"
    lines = journal(200, won_alone=True)
    assert not trust(lines + [line(True, False)] * NEWEST).deployed
    assert not trust(lines + [line(True, True, helped=0.2)] * NEWEST).deployed, "a person saved those"


def test_what_acted_is_what_was_published_and_the_same_after_a_kill(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.start(small("residual", unanimous=True, warmup_steps=0), about())
    run, x = LearnerRun(folder), (torch.randn(50, 3), torch.randn(50, 2))
    for k in range(2 * TRIAL_EVERY + 1):
        published = load_weights(tmp_path)
        assert published.trust == run.trust
        folder.write(k, replace(episode(20, seed=k, end="success"), weights_version=published.version))
        if k == TRIAL_EVERY:
            run = LearnerRun(folder)
        run.poll()
        assert run.journal[-1]["alone"] == (published.trust.explored if k else None)
    assert [x["alone"] for x in run.journal].count(True) == 2
    run.journal += [{**line(True, True), "episode": "", "updates": 1}] * ENOUGH
    folder.write(99, episode(20, seed=99, end="success"))
    run.poll()
    published = load_weights(tmp_path)
    assert published.trust.deployed
    assert torch.equal(published.deployed(*x), published.actor(published.actor.shown(x[0]), x[1])[0])
    assert torch.equal(published.deployed(*x), run.deployed(*x))


def test_weights_that_nobody_published_here_asked_for_consent() -> None:
    assert acted_alone([{"updates": 7, "next_alone": True}], 7) is True
    assert acted_alone([{"updates": 7}], 7) is False  # of an older release
    assert acted_alone([], 7) is False
    assert acted_alone([], 0) is None
    assert trust([]) == Trust()


def test_a_residual_says_whether_it_asks_as_it_acts() -> None:
    config = small("residual", 16 + 8 + 7, 6, unanimous=True)
    learner = Learner(config)
    told = about(channels=YAM.layout.rate_names[:6], action_range=(0.02,) * 6, step_s=0.12)
    trusted = Published(learner.actor, learner.critic, learner.gripper, told, 1, trust=Trust(deployed=True))
    for published, explores, asks in ((trusted, False, False), (trusted, True, True),
                                      (replace(trusted, trust=Trust()), False, True)):  # fmt: skip
        assert Residual(published, None, YAM.layout, explores).asks is asks
