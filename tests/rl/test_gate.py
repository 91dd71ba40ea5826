"""The gate lets through what is sure to be no worse; what is deployed is always one whole policy."""

from __future__ import annotations

import os

import numpy as np
import pytest

from benchmarks.learning_gate import promotions
from policies.rl.gate import judge
from policies.rl.ledger import Deployed, LedgerError, effort


def outcomes(*successes: bool) -> dict[int, bool]:
    return dict(enumerate(successes))


def drawn(rate: float, n: int, seed: int) -> dict[int, bool]:
    return outcomes(*(np.random.default_rng(seed).random(n) < rate))


def test_worse_policies_pass_rarely_and_better_ones_mostly():
    assert promotions(0.05, -0.05, seed=1, n=120) <= 0.05
    assert promotions(0.0, 0.0, seed=2, n=120) <= 0.05
    assert promotions(0.05, -0.2, seed=3, n=60) == 0.0
    assert promotions(0.05, 0.1, seed=4, n=60) > 0.9


def test_the_same_outcomes_pass_and_the_text_says_how_sure():
    verdict = judge(drawn(0.9, 200, 0), drawn(0.9, 200, 0))
    assert verdict.promoted and str(verdict).startswith("not worse: +0.0 points on 200 seeds, at least -")
    assert not judge(drawn(0.9, 200, 0), drawn(0.5, 200, 1)).promoted


def test_evaluations_that_decide_nothing_are_refused():
    with pytest.raises(ValueError, match="20 seeds decide nothing; allowed: 50"):
        judge(drawn(0.9, 20, 0), drawn(0.9, 20, 0))
    with pytest.raises(ValueError, match="seed 60 was run by one policy only"):
        judge(drawn(0.9, 60, 0), drawn(0.9, 61, 0))
    with pytest.raises(ValueError, match="margin -1"):
        judge(drawn(0.9, 60, 0), drawn(0.9, 60, 0), -1)


def policy(folder, text: str):
    folder.mkdir()
    (folder / "model.safetensors").write_text(text)
    return folder


def test_promote_refuse_roll_back(tmp_path):
    deployed = Deployed(tmp_path / "deployed")
    assert deployed.current is None
    a, b, c = (policy(tmp_path / name, name) for name in "abc")
    deployed.record(a, "a" * 64, "", None, (), {"operator_minutes": 0.0})
    assert (deployed.current / "model.safetensors").read_text() == "a"
    with pytest.raises(LedgerError, match="no earlier policy"):
        deployed.rollback()
    worse = judge(drawn(0.9, 100, 0), drawn(0.5, 100, 1))
    assert deployed.record(b, "b" * 64, "a" * 64, worse, range(100), {})["kind"] == "refused"
    assert (deployed.current / "model.safetensors").read_text() == "a"
    better = judge(drawn(0.5, 100, 0), drawn(0.95, 100, 1))
    entry = deployed.record(c, "c" * 64, "a" * 64, better, range(100), {"operator_minutes": 10.0})
    assert (deployed.current / "model.safetensors").read_text() == "c"
    assert entry["points_per_operator_minute"] == pytest.approx(10 * better.paired.difference)
    assert entry["before"][1] < entry["before"][0] < entry["before"][2]
    assert deployed.judged("b" * 64, "a" * 64)["kind"] == "refused" and deployed.judged("b" * 64, "c" * 64) is None
    assert deployed.rollback() == deployed.folder / ("a" * 12)
    assert (deployed.current / "model.safetensors").read_text() == "a"
    assert [e["kind"] for e in deployed.entries()] == ["promoted", "refused", "promoted", "rollback"]


def test_a_promotion_killed_half_way_leaves_a_whole_policy_deployed(tmp_path, monkeypatch):
    deployed = Deployed(tmp_path / "deployed")
    deployed.record(policy(tmp_path / "a", "a"), "a" * 64, "", None, (), {})
    real, calls = os.replace, []

    def dies(source, target):
        calls.append(1)
        if len(calls) == 2:  # copied and written down, not yet pointed to
            raise ConnectionAbortedError("killed")
        real(source, target)

    better = judge(drawn(0.5, 100, 0), drawn(0.95, 100, 1))
    with monkeypatch.context() as patch, pytest.raises(ConnectionAbortedError):
        patch.setattr(os, "replace", dies)
        deployed.record(policy(tmp_path / "b", "b"), "b" * 64, "a" * 64, better, range(100), {})
    assert (deployed.current / "model.safetensors").read_text() == "a"
    deployed.settle()
    assert (deployed.current / "model.safetensors").read_text() == "b"


def test_effort_counts_a_persons_minutes_and_frames_by_segment():
    meta = {"format": 1, "started_ns": 0, "ended_ns": 100 * 10**9, "authority": [],
            "segments": [[0, "policy"], [40 * 10**9, "recovery"], [60 * 10**9, "correction"]]}  # fmt: skip
    assert effort([meta], 0.06) == {"operator_minutes": 1.0, "frames": {"policy": 667, "recovery": 333,
                                                                            "correction": 667}}  # fmt: skip
