"""A learnt residual beside the chunks: nothing where it is off or zero, bounded and without a jump where it is on."""

from __future__ import annotations

import numpy as np
import pytest

from controllers.action_chunk import Refused
from controllers.authority_core import AuthorityCore
from controllers.residual_player import BACK_NS, BOUND_M, BOUND_RAD, LEASE_NS, MS
from controllers.rigs import YAM

TICK, STEP, START = 20 * MS, 120 * MS, 2_000 * MS
LAYOUT = YAM.layout
NAME = "base+residual"


def chunk(offset: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A curve of 2 s: its times and actions."""
    times = np.arange(1, 34) * 60 * MS
    actions = np.tile(YAM.home_action, (len(times), 1))
    actions[:, 0] += 0.03 * np.sin(times / 1e9 * 2.0) + offset
    actions[:, 7] = 0.5
    return times, actions


def displacement(*values: float) -> np.ndarray:
    return np.array([*values, *np.zeros(LAYOUT.rate_dim - len(values))])


class Bench:
    """A policy "base" that plays two chunks, from an observation 40 ms and one 400 ms after the hand-back."""

    def __init__(self) -> None:
        self.core, self.now = AuthorityCore(YAM), START
        self.references: list[np.ndarray] = []
        self.tick()
        assert self.core.hand_back()[0]

    def tick(self, count: int = 1):
        for _ in range(count):
            for stamp in (START + 40 * MS, START + 400 * MS):
                if self.now == stamp + TICK:
                    self.core.offer_chunk(stamp, *chunk(0.001 * (stamp > START + 300 * MS)), policy="base")
            reference, self.provenance = self.core.tick(self.now, YAM.home_action)
            self.references.append(reference)
            self.now += TICK
        return self.provenance

    def displace(self, values: np.ndarray, name: str = NAME, stamp: int | None = None) -> None:
        stamp = self.now - TICK if stamp is None else stamp
        self.core.offer_residual(stamp, stamp + STEP, values, name)

    def run(self, ticks: int, values: np.ndarray | None, name: str = NAME) -> np.ndarray:
        """References (ticks, dim) with a new residual every 120 ms."""
        for k in range(ticks):
            if values is not None and k % 6 == 0:
                self.displace(values, name)
            self.tick()
        return np.array(self.references[-ticks:])


PLAIN = Bench().run(60, None)


def test_zero_is_nothing_bit_by_bit_and_yet_named() -> None:
    bench = Bench()
    assert np.array_equal(bench.run(60, displacement()), PLAIN)
    assert bench.provenance.residual == "residual" and bench.provenance.policy == "base"


@pytest.mark.parametrize("how", ["off", "other policy"])
def test_what_is_off_or_for_another_policy_is_nothing_bit_by_bit(how: str) -> None:
    bench = Bench()
    if how == "off":
        assert bench.core.enable_residual(False) == (True, "the residual is off")
    assert np.array_equal(bench.run(60, displacement(0.01), NAME if how == "off" else "other+residual"), PLAIN)
    assert bench.provenance.residual == ""


def test_what_is_on_moves_the_reference_by_so_much_and_no_more() -> None:
    moved = Bench().run(60, displacement(0.0, 0.004, -0.006))
    np.testing.assert_allclose(moved[20:, 1:3] - PLAIN[20:, 1:3], np.tile([0.004, -0.006], (40, 1)), atol=1e-9)
    np.testing.assert_array_equal(moved[:, 7], PLAIN[:, 7])

    bench = Bench()
    cut = bench.run(60, displacement(0.5, 0.0, 0.0, 0.0, 0.0, 2.0, 1.0))  # the last: the gripper
    assert np.abs(LAYOUT.difference(PLAIN[-1], cut[-1])[:3]).max() <= BOUND_M + 1e-9
    assert np.abs(LAYOUT.difference(PLAIN[-1], cut[-1])[3:6]).max() <= BOUND_RAD + 1e-9
    np.testing.assert_array_equal(cut[:, 7], PLAIN[:, 7])
    assert {"residual left_ee.position", "residual left_ee.orientation", "residual left_gripper"} <= set(
        bench.provenance.clamped
    )


def limits(references: np.ndarray) -> None:
    """Position within speed and acceleration of its part."""
    velocity = np.diff(references[:, :3], axis=0) / 0.02
    assert np.linalg.norm(velocity, axis=1).max() <= LAYOUT.speed[0] * 1.001
    assert np.linalg.norm(np.diff(velocity, axis=0), axis=1).max() <= LAYOUT.acceleration[0] * 0.02 * 1.02 + 1e-9


def test_off_counts_at_the_next_tick_and_does_not_jump() -> None:
    bench = Bench()
    bench.run(36, displacement(0.0, 0.02))
    bench.core.enable_residual(False)
    assert bench.tick().residual == ""
    bench.run(23, displacement(0.0, 0.02))
    limits(np.array(bench.references))
    np.testing.assert_allclose(bench.references[-1], PLAIN[-1], atol=1e-9)
    bench.core.enable_residual(True)
    assert bench.tick().residual == "residual", "the newest one that came while it was off counts"


def test_without_a_next_one_it_goes_away_by_itself() -> None:
    bench = Bench()
    bench.run(6, displacement(0.0, 0.02))
    bench.run((STEP + LEASE_NS + BACK_NS) // TICK, None)
    limits(np.array(bench.references))
    bench.run(8, None)
    assert bench.provenance.residual == ""
    np.testing.assert_allclose(bench.references[-1][1], YAM.home_action[1], atol=1e-9)


def test_nothing_from_before_a_hand_back_counts() -> None:
    bench = Bench()
    bench.run(12, displacement(0.0, 0.02))
    bench.core.take_over()
    bench.tick()
    bench.core.hand_back()
    bench.core.offer_chunk(bench.now - TICK // 2, *chunk(), policy="base")
    assert bench.tick().residual == "" and bench.provenance.policy == "base"
    bench.displace(displacement(0.0, 0.02))
    assert bench.tick().residual == "residual"


@pytest.mark.parametrize(("change", "says"), [
    ({"values": displacement(np.nan)}, "finite numbers"), ({"values": np.zeros(3)}, "finite numbers"),
    ({"name": "residual"}, "allowed: POLICY"), ({"stamp": START - 600 * MS}, "stale: it was due"),
    ({"stamp": START + 1_000 * MS}, "lies in the future")])  # fmt: skip
def test_bad_ones_are_refused(change: dict, says: str) -> None:
    bench = Bench()
    with pytest.raises(Refused, match=says):
        bench.displace(**{"values": displacement(), **change})
    bench.displace(displacement())
    with pytest.raises(Refused, match="out of order"):
        bench.displace(displacement())
