"""Authority: no input and no change of authority makes the reference jump; what is late or broken is not used."""

from __future__ import annotations

import numpy as np
import pytest

from controllers import g1, rotations
from controllers.action_chunk import Refused
from controllers.authority_core import MS, TELEOP_LEASE_NS, Authority, AuthorityCore
from controllers.channels import LAYOUT
from controllers.reference_limiter import ReferenceLimiter
from controllers.rigs import G1

TICK = 20 * MS
START = 1980 * MS
FRAME = 66 * MS
GROUPS = ((slice(0, 3), 0), (slice(3, 6), 3), (slice(6, 9), 7), (slice(9, 12), 10), (slice(12, 13), 14),
          (slice(13, 14), 15), (slice(14, 15), 16))  # fmt: skip


class Bench:
    """An AuthorityCore with a robot that follows perfectly; checks every step of the reference."""

    def __init__(self, **options: int) -> None:
        self.core = AuthorityCore(G1, **options)
        self.now = START - TICK
        self.measured = g1.HOME_ACTION.copy()
        self.reference: np.ndarray | None = None
        self._velocity = np.zeros(15)
        self.follow = True

    def tick(self, count: int = 1):
        for _ in range(count):
            self.now += TICK
            reference, self.provenance = self.core.tick(self.now, self.measured)
            if self.reference is not None:
                self._check(reference)
            self.reference = reference
            if self.follow:
                self.measured = reference.copy()
        return self.provenance

    def _check(self, reference: np.ndarray) -> None:
        assert np.all(np.isfinite(reference))
        velocity = LAYOUT.difference(self.reference, reference) / 0.02
        for part, channel in GROUPS:
            assert np.linalg.norm(velocity[part]) <= g1.ACTION_SPEED[channel] * 1.001
            change = np.linalg.norm(velocity[part] - self._velocity[part])
            assert change <= g1.ACTION_ACCELERATION[channel] * 0.02 * 1.02 + 1e-9, part
        self._velocity = velocity

    def chunk(self, target: np.ndarray, stamp: int | None = None, points: int = 24) -> int:
        """Offer a straight way from the reference to `target`."""
        stamp = self.now if stamp is None else stamp
        weights = np.linspace(0, 1, points)[:, None]
        actions = (1 - weights) * self.reference + weights * target
        self.core.offer_chunk(stamp, FRAME * np.arange(1, points + 1), actions, "abc")
        return stamp

    def teleop(self, action: np.ndarray) -> None:
        self.core.offer_teleop(self.now + 5 * MS, action)


def away(**values: float) -> np.ndarray:
    """HOME_ACTION with some channels changed."""
    action = g1.HOME_ACTION.copy()
    for name, value in values.items():
        action[g1.ACTION_CHANNELS.index(name.replace("__", "."))] = value
    return action


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.tick(5)
    return bench


def test_nobody_commands_at_the_start(bench: Bench) -> None:
    assert bench.core.authority is Authority.NONE
    assert bench.provenance.source == "hold"
    np.testing.assert_allclose(bench.reference, g1.HOME_ACTION, atol=1e-12)


def test_policy_plays_its_chunk_exactly_once_blended(bench: Bench) -> None:
    bench.core.hand_back()
    bench.tick()
    stamp = bench.chunk(away(left_ee__x=0.4, base__height=0.6))
    bench.tick(60)
    assert bench.provenance.source == "policy" and bench.provenance.policy == "abc"
    assert bench.provenance.chunk_stamp_ns == stamp
    assert bench.provenance.observation_age_ms == pytest.approx((bench.now - stamp) / MS)
    weight = (bench.now - stamp - FRAME) / (23 * FRAME)
    assert bench.reference[0] == pytest.approx(0.28 + weight * 0.12, abs=2e-4)


def test_chunk_that_ends_holds_its_last_point_and_keeps_authority(bench: Bench) -> None:
    bench.core.hand_back()
    bench.tick()
    bench.chunk(away(left_ee__z=0.95))
    bench.tick(100)
    assert bench.core.authority is Authority.POLICY
    assert (bench.provenance.source, bench.provenance.reason) == ("hold", "the chunk has ended")
    assert bench.reference[2] == pytest.approx(0.95, abs=1e-4)


def test_contradicting_chunks_do_not_jump(bench: Bench) -> None:
    bench.core.hand_back()
    for k in range(20):
        bench.tick(7)
        bench.chunk(
            away(left_ee__x=0.5 - 0.3 * (k % 2), right_ee__z=0.6 + 0.5 * (k % 3 == 0), hands__squeeze=30.0 * (k % 2))
        )
    bench.tick(50)


@pytest.mark.parametrize("moment", range(0, 40, 3))
def test_take_over_in_full_motion_comes_to_rest_without_turning_back(bench: Bench, moment: int) -> None:
    bench.core.hand_back()
    bench.tick()
    bench.chunk(away(left_ee__x=0.7, left_ee__z=1.2, base__height=0.5))
    bench.tick(10 + moment)
    assert bench.core.take_over()[0]
    xs = []
    for _ in range(20):
        bench.tick()
        xs.append(bench.reference[0])
    assert bench.provenance.source == "hold"
    assert np.all(np.diff(xs) >= -1e-9)  # decelerates forward, never back
    assert xs[-1] == pytest.approx(xs[-5], abs=1e-9)


def test_a_stop_brakes_harder_than_a_take_over(bench: Bench) -> None:
    ways = {}
    for name in ("take_over", "stop"):
        moving = Bench()
        moving.tick()
        moving.core.hand_back()
        moving.tick()
        moving.chunk(away(left_ee__x=0.7, left_ee__z=1.2))
        moving.tick(25)
        begin = moving.reference.copy()
        assert getattr(moving.core, name)()[0]
        moving.tick(30)
        ways[name] = np.linalg.norm(moving.reference[:3] - begin[:3])
    assert 0.0 < ways["stop"] < 0.75 * ways["take_over"]


def test_take_over_far_from_the_reference_goes_to_the_pose_the_robot_has(bench: Bench) -> None:
    bench.follow = False  # something holds the left hand 0.3 m away; it presses with 20 N
    bench.measured = away(left_ee__y=0.5, hands__squeeze=20.0)
    bench.core.take_over()
    bench.tick()
    bench.core.take_over()
    bench.core.hand_back()
    bench.tick()
    bench.core.take_over()
    bench.tick(80)
    assert bench.reference[1] == pytest.approx(0.5, abs=1e-3)
    assert bench.reference[g1.SQUEEZE] == 0.0  # the squeeze stays what was asked for


def test_teleop_is_clutched_and_follows_from_there(bench: Bench) -> None:
    bench.core.take_over()
    bench.tick(3)
    far = away(left_ee__x=0.6, left_ee__z=1.1, base__height=0.5)  # the person's targets are anywhere
    far[g1.LEFT_QUAT] = rotations.from_rotvec(np.array([0.3, 0.2, 1.0]))
    for _ in range(10):
        bench.teleop(far)
        bench.tick()
    np.testing.assert_allclose(bench.reference, g1.HOME_ACTION, atol=1e-9)
    assert bench.provenance.source == "teleop"
    moved = far.copy()
    moved[0] -= 0.1
    turn = rotations.from_rotvec(np.array([0.0, 0.0, 0.4]))
    moved[g1.LEFT_QUAT] = rotations.multiply(turn, far[g1.LEFT_QUAT])
    for _ in range(60):
        bench.teleop(moved)
        bench.tick()
    assert bench.reference[0] == pytest.approx(0.18, abs=1e-4)
    np.testing.assert_allclose(bench.reference[g1.LEFT_QUAT], turn, atol=1e-4)


@pytest.mark.parametrize(("pause", "moved"), [(1, 0.05), (10, 0.0)])
def test_a_device_that_streams_already_moves_the_hand_from_the_take_over_on(
    bench: Bench, pause: int, moved: float
) -> None:
    bench.tick()
    bench.teleop(away(left_ee__x=0.5))
    bench.core.take_over()
    bench.tick(pause)  # after a pause of 200 ms it is another movement, and counts from where it begins
    bench.teleop(away(left_ee__x=0.55))
    for _ in range(60):
        bench.tick()
        bench.teleop(away(left_ee__x=0.55))
    assert bench.reference[0] == pytest.approx(g1.HOME_ACTION[0] + moved, abs=1e-4)


def test_squeeze_is_kept_at_the_clutch_then_is_what_the_person_says(bench: Bench) -> None:
    bench.core.hand_back()
    bench.tick()
    bench.chunk(away(hands__squeeze=30.0))
    bench.tick(100)
    bench.core.take_over()
    bench.tick()
    for _ in range(20):
        bench.teleop(away(hands__squeeze=0.0))
        bench.tick()
    assert bench.reference[g1.SQUEEZE] == pytest.approx(30.0, abs=1e-6)
    for squeeze in (10.0, 0.0):
        for _ in range(40):
            bench.teleop(away(hands__squeeze=squeeze))
            bench.tick()
        assert bench.reference[g1.SQUEEZE] == pytest.approx(squeeze, abs=1e-6)


def test_teleop_lease(bench: Bench) -> None:
    bench.core.take_over()
    bench.tick()
    bench.teleop(away())
    bench.tick()
    bench.teleop(away(left_ee__x=0.7))
    bench.tick(5)
    assert bench.provenance.source == "teleop"
    bench.tick(TELEOP_LEASE_NS // TICK)
    assert (bench.provenance.source, bench.provenance.reason) == ("hold", "teleop_action lease expired")
    assert bench.core.authority is Authority.TELEOP
    bench.tick(20)
    rest = bench.reference.copy()
    for _ in range(20):  # the stream comes back: clutched anew where the reference rests
        bench.teleop(away(left_ee__x=0.3))
        bench.tick()
    np.testing.assert_allclose(bench.reference, rest, atol=1e-9)


def test_hand_back_never_uses_an_observation_from_before(bench: Bench) -> None:
    bench.core.hand_back()
    bench.tick()
    bench.chunk(away(left_ee__x=0.6))
    bench.tick(30)
    bench.core.take_over()
    bench.tick(10)
    stale = bench.now - TICK
    rest = bench.reference.copy()
    bench.core.offer_chunk(stale, FRAME * np.arange(1, 25), np.tile(away(left_ee__x=0.7), (24, 1)))
    bench.core.hand_back()
    bench.tick(20)
    assert bench.provenance.source == "hold"
    np.testing.assert_allclose(bench.reference, rest, atol=1e-9)
    bench.chunk(away(left_ee__x=0.2))
    bench.tick(100)
    assert bench.reference[0] == pytest.approx(0.2, abs=1e-3)


def test_stop_freezes_and_ignores_everybody_until_released(bench: Bench) -> None:
    bench.core.hand_back()
    bench.tick()
    bench.chunk(away(left_ee__x=0.7))
    bench.tick(20)
    bench.core.stop()
    bench.tick(10)
    rest = bench.reference.copy()
    assert not bench.core.take_over()[0] and not bench.core.hand_back()[0]
    for _ in range(30):
        bench.teleop(away(left_ee__x=0.1))
        bench.chunk(away(left_ee__x=0.1))
        bench.tick()
    np.testing.assert_allclose(bench.reference, rest, atol=1e-12)
    assert bench.core.release_stop()[0] and bench.core.authority is Authority.NONE
    assert not bench.core.release_stop()[0]
    bench.tick(5)
    np.testing.assert_allclose(bench.reference, rest, atol=1e-12)


def test_a_restarted_world_empties_everything_but_not_a_stop(bench: Bench) -> None:
    bench.core.hand_back()
    bench.tick()
    bench.chunk(away(left_ee__x=0.7))
    bench.tick(20)
    epoch = bench.core.epoch
    bench.now += 2000 * MS
    bench.reference, bench.measured, bench._velocity = None, away(), np.zeros(15)
    bench.tick(20)
    assert bench.core.authority is Authority.NONE and bench.core.epoch == epoch + 1
    np.testing.assert_allclose(bench.reference, g1.HOME_ACTION, atol=1e-12)
    bench.core.stop()
    bench.now -= 3000 * MS
    bench.reference = None
    bench.tick()
    assert bench.core.authority is Authority.STOPPED


def test_every_change_of_authority_raises_the_epoch(bench: Bench) -> None:
    epochs = []
    for request in ("hand_back", "take_over", "take_over", "stop", "release_stop", "hand_back"):
        getattr(bench.core, request)()
        epochs.append(bench.core.epoch)
    assert epochs == [1, 2, 2, 3, 4, 5]


def test_chunks_are_refused_when_broken_late_or_out_of_order(bench: Bench) -> None:
    good = np.tile(away(), (3, 1))
    times = FRAME * np.arange(1, 4)
    bench.core.offer_chunk(bench.now - TICK, times, good)
    nan = good.copy()
    nan[1, 4] = np.nan
    for stamp, offsets, actions in (
        (bench.now - TICK, times, good),  # same stamp again
        (bench.now - 2 * TICK, times, good),
        (bench.now + 500 * MS, times, good),
        (bench.now, times, nan),
        (bench.now, times, np.zeros((3, 17))),  # quaternions without direction
        (bench.now, times, good[:, :16]),
        (bench.now, times[::-1], good),
        (bench.now, times[:2], good),
        (bench.now, times[:0], good[:0]),
    ):
        with pytest.raises(Refused):
            bench.core.offer_chunk(stamp, offsets, actions)
    late = Bench()
    late.tick(200)
    with pytest.raises(Refused, match="stale"):
        late.core.offer_chunk(late.now - 1000 * MS, times, good)


def test_teleop_actions_are_refused_when_broken_late_or_out_of_order(bench: Bench) -> None:
    bench.core.take_over()
    bench.tick()
    bench.core.offer_teleop(bench.now, away())
    nan = away()
    nan[0] = np.inf
    for stamp, action in (
        (bench.now, away()),
        (bench.now - TICK, away()),
        (bench.now + 500 * MS, away()),
        (bench.now + MS, nan),
        (bench.now + MS, away()[:3]),
    ):
        with pytest.raises(Refused):
            bench.core.offer_teleop(stamp, action)
    bench.tick(50)
    with pytest.raises(Refused, match="stale"):
        bench.core.offer_teleop(bench.now - TELEOP_LEASE_NS - MS, away())


def test_a_pose_that_is_not_finite_makes_no_reference(bench: Bench) -> None:
    with pytest.raises(Refused):
        bench.core.tick(bench.now + TICK, np.full(17, np.nan))
    with pytest.raises(Refused, match="twice"):
        bench.core.tick(bench.now, away())


def test_delayed_chunks_are_used_at_one_exact_tick() -> None:
    bench = Bench(chunk_delay_ns=100 * MS)
    bench.tick(2)
    bench.core.hand_back()
    bench.tick()
    stamp = bench.chunk(away(left_ee__x=0.5))
    sources = []
    for _ in range(8):
        bench.tick()
        sources.append((bench.now - stamp, bench.provenance.source))
    assert [source for age, source in sources if age < 100 * MS] == ["hold"] * 4
    assert [source for age, source in sources if age >= 100 * MS] == ["policy"] * 4


def test_random_operation_keeps_every_limit() -> None:
    rng = np.random.default_rng(7)
    bench = Bench()
    bench.tick(2)
    span = g1.ACTION_UPPER - g1.ACTION_LOWER
    for _ in range(1500):
        action = g1.ACTION_LOWER + rng.uniform(size=17) * span
        match rng.integers(12):
            case 0:
                bench.core.take_over()
            case 1:
                bench.core.hand_back()
            case 2:
                bench.core.stop()
            case 3 | 4:
                bench.core.release_stop()
            case 5:
                bench.core.offer_chunk(
                    bench.now + MS, FRAME * np.arange(1, 25), rng.permutation(np.tile(action, (24, 1)))
                )
            case 6 | 7 | 8:
                bench.teleop(action)
        bench.tick()


def test_a_target_inside_the_limits_is_met_exactly() -> None:
    limiter = ReferenceLimiter(g1.HOME_ACTION, LAYOUT)
    for k in range(200):
        target = away(left_ee__x=0.28 + 0.1 * np.sin(2 * np.pi * 0.5 * k * 0.02) ** 2, base__height=0.74 - 0.0004 * k)
        limiter.follow(target, 0.02)
        if k > 5:
            np.testing.assert_allclose(limiter.reference, target, atol=1e-6)
