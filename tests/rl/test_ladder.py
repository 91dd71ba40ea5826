"""The residual's scale rises while it does no worse than the base, and falls where it does."""

from __future__ import annotations

from policies.rl.ladder import EPISODES_MIN, RUNGS, rung_after


def lines(successes: str, rung: float | None = None) -> list[dict]:
    version = 0 if rung is None else 1
    return [{"end": "success" if s == "+" else "failure", "weights_version": version, "rung": rung or RUNGS[0]}
            for s in successes]  # fmt: skip


BASE = lines("+-" * 10)


def test_it_starts_on_the_lowest_rung_and_climbs_one_at_a_time():
    assert rung_after([]) == rung_after(BASE) == RUNGS[0]
    assert rung_after(BASE + lines("+" * (EPISODES_MIN - 1), RUNGS[0])) == RUNGS[0]
    up = BASE + lines("+" * EPISODES_MIN, RUNGS[0])
    assert rung_after(up) == RUNGS[1]
    assert rung_after(up + lines("-" * 20, RUNGS[0])) == RUNGS[1], "episodes of older weights do not count"
    for rung in RUNGS[1:]:
        up += lines("+" * EPISODES_MIN, rung)
    assert rung_after(up) == RUNGS[-1]


def test_it_falls_where_it_does_worse_and_waits_where_that_is_not_sure():
    up = BASE + lines("+" * EPISODES_MIN, RUNGS[0])
    assert rung_after(up + lines("-" * EPISODES_MIN, RUNGS[1])) == RUNGS[0]
    assert rung_after(up + lines("+-" * EPISODES_MIN, RUNGS[1])[:EPISODES_MIN]) == RUNGS[1]


def test_what_went_well_long_ago_does_not_keep_it_up():
    up = BASE
    for rung in RUNGS[:-1]:
        up = up + lines("+" * EPISODES_MIN, rung)
    assert rung_after(up + lines("+" * 40, RUNGS[-1])) == RUNGS[-1]
    assert rung_after(up + lines("+" * 40 + "-" * 10, RUNGS[-1])) == RUNGS[-2]
