"""How chunks follow each other: what a new one is made to agree with, and what nothing goes on from."""

from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest

from policies.chunk import chunk_times_ns
from policies.executed import Executed
from policies.execution import ChunkExecution, ExpectedLatency
from policies.observation import Observation
from policies.policy import PolicyConfig

DT, TICK, GRID = 66_000_000, 20_000_000, 396_000_000
CHANNELS = ("x", "hand.qx", "hand.qy", "hand.qz", "hand.qw")
JPEG = cv2.imencode(".jpg", np.zeros((24, 32, 3), np.uint8))[1].tobytes()
CONFIG = PolicyConfig(CHANNELS, CHANNELS, ("head",), 32, 24)


def actions(x) -> np.ndarray:
    """(n, a): `x` (n,) and a hand that turns with it about z."""
    x = np.asarray(x, dtype=float)
    zero = np.zeros_like(x)
    return np.stack([x, zero, zero, np.sin(x / 2), np.cos(x / 2)], axis=-1)


@dataclass
class Ramp:
    """x rises by `speed` a second from where `starts` says for each call; the sign of its quaternions alternates."""

    execution: str
    starts: list[float]
    speed: float = 1.0
    config: PolicyConfig = CONFIG
    prefixes: list = field(default_factory=list)

    @property
    def takes_prefix(self) -> bool:
        return self.execution == "realtime_chunking"

    def predict(self, pictures, state, seed, prefix=None):
        self.prefixes.append(prefix)
        rise = self.speed * chunk_times_ns(CONFIG.chunk_size, DT) * 1e-9
        chunk = actions(self.starts[len(self.prefixes) - 1] + rise)
        chunk[:, 1:] *= (-1) ** len(self.prefixes)
        return chunk


def observe(k: int) -> Observation:
    return Observation(k * GRID, (JPEG,), np.zeros(5), k * GRID)


def executed(now_ns: int, chunk_stamp_ns: int, x: float = 7.0) -> Executed:
    """A second at `x`, up to `now_ns`."""
    stamps = now_ns - TICK * np.arange(50, -1, -1)
    return Executed(stamps, actions(np.full(len(stamps), x)), np.full(len(stamps), chunk_stamp_ns))


def test_prefix_is_what_was_executed_then_the_chunk_at_work_then_less_and_less():
    policy = Ramp("realtime_chunking", [0.0, 0.0])
    execution = ChunkExecution(policy)
    execution.answer(observe(1), executed(GRID, 0), 0.1)
    assert policy.prefixes == [None]
    now_ns, latency_s = 2 * GRID + 90_000_000, 0.2  # the answer is asked for when one of its points has passed
    execution.answer(observe(2), executed(now_ns, GRID), latency_s)
    prefix = policy.prefixes[1]
    times_ns = 2 * GRID + chunk_times_ns(CONFIG.chunk_size, DT) / execution.speed(latency_s)  # it is played slower
    x, weight = prefix.actions[:, 0], prefix.weight
    assert x[0] == 7.0 and times_ns[0] <= now_ns
    covered = times_ns <= GRID + CONFIG.chunk_size * DT
    np.testing.assert_allclose(x[1:][covered[1:]], (times_ns[1:][covered[1:]] - GRID) * 1e-9)  # the first chunk's ramp
    np.testing.assert_allclose(np.linalg.norm(prefix.actions[:, 1:], axis=1), 1.0)
    certain = times_ns <= 2 * GRID + latency_s * 1e9
    assert certain.sum() == 2 and (weight[certain] == 1.0).all()
    assert weight[~certain].max() < 1.0 and (weight[~covered] == 0.0).all() and np.isfinite(prefix.actions).all()
    assert (np.diff(weight) <= 0.0).all() and 0.0 < weight[3] < 1.0
    free = times_ns >= 2 * GRID + (latency_s + 0.5) * 1e9
    assert (weight[free] == 0.0).all() and weight[~free & covered].min() > 0.0


def test_a_late_answer_to_a_chunk_that_has_ended_holds_where_it_ended():
    policy = Ramp("realtime_chunking", [0.0, 0.0])
    execution = ChunkExecution(policy)
    execution.answer(observe(1), executed(GRID, 0), 0.1)
    execution.answer(observe(9), executed(9 * GRID, GRID, x=1.584), 0.1)
    prefix = policy.prefixes[1]
    np.testing.assert_allclose(prefix.actions[:, 0], 1.584)
    assert prefix.weight[0] == 1.0 and (prefix.weight[1:] == 0.0).all()


@pytest.mark.parametrize("mode", ["realtime_chunking", "temporal_ensembling"])
def test_nothing_goes_on_from_a_chunk_that_nobody_executes(mode):
    policy = Ramp(mode, [0.0, 5.0, 0.0, 0.0])
    execution = ChunkExecution(policy)
    first = execution.answer(observe(1), executed(GRID, 0), 0.1).chunk
    execution.answer(observe(2), executed(2 * GRID, GRID), 0.1)
    after_hand_back = execution.answer(observe(3), executed(3 * GRID, 0), 0.1).chunk
    np.testing.assert_allclose(np.abs(after_hand_back), np.abs(first))
    assert policy.prefixes[2] is None
    execution.begin()  # another world, in which the authority has not ticked yet
    execution.answer(observe(1), executed(4 * GRID, 3 * GRID), 0.1)
    assert policy.prefixes[3] is None


@pytest.mark.parametrize(("decay_s", "largest"), [(0.5, 0.9), (100.0, 0.75)])
def test_ensembling_is_one_smooth_mean_from_chunk_to_chunk(decay_s, largest):
    n = 20
    policy = Ramp("temporal_ensembling", [float(k % 2) for k in range(n)], speed=0.0)  # 0 and 1 in turn
    execution, latency_s = ChunkExecution(policy, decay_s=decay_s), 0.1
    chunks = [execution.answer(observe(k), executed(k * GRID, (k - 1) * GRID), latency_s).chunk[:, 0]
              for k in range(1, n + 1)]  # fmt: skip
    for k in range(n - 1):  # the first point has passed when the chunk begins to count
        np.testing.assert_allclose(chunks[k + 1][0], chunks[k][GRID // DT], atol=1e-6)
        np.testing.assert_allclose(chunks[k][-1], k % 2, atol=1e-6)  # nobody else reaches so far
    played = np.concatenate([chunk[1 : 1 + GRID // DT] for chunk in chunks[5:]])
    assert 1.0 - largest < played.min() and played.max() < largest  # nearer to the middle, the longer old ones count
    assert np.abs(np.diff(played)).max() < 0.5


@pytest.mark.parametrize(("latency_s", "speed"), [(0.0, 1.0), (0.1, 1.0), (0.25, 2 / 3), (0.4, 0.5)])
def test_late_chunks_are_played_slower(latency_s, speed):
    """But for those that are to be played as the policy gave them."""
    rise = chunk_times_ns(CONFIG.chunk_size, DT) * 1e-9
    for mode, expected in (("temporal_ensembling", speed), ("realtime_chunking", speed), ("latest", 1.0)):
        execution = ChunkExecution(Ramp(mode, [0.0]))
        chunk = execution.answer(observe(1), executed(GRID, 0), latency_s).chunk
        np.testing.assert_allclose(chunk[2:, 0], expected * rise[2:], atol=1e-6)
        assert execution.speed(latency_s) == pytest.approx(expected)


def test_ensembled_quaternions_are_rotations():
    execution = ChunkExecution(Ramp("temporal_ensembling", [0.0, 0.5, 1.0]))
    for k in (1, 2, 3):
        chunk = execution.answer(observe(k), executed(k * GRID, (k - 1) * GRID), 0.1).chunk
        np.testing.assert_allclose(np.linalg.norm(chunk[:, 1:], axis=1), 1.0)
        angle = 2 * np.arctan2(*(chunk[:, 3:] * np.sign(chunk[:, 4:])).T)
        np.testing.assert_allclose(angle, chunk[:, 0], atol=0.02)  # the hand turns as x moves, in the mean too


def test_refusals():
    with pytest.raises(ValueError, match="'late' is unknown; allowed: realtime_chunking"):
        ChunkExecution(Ramp("latest", []), "late")
    with pytest.raises(ValueError, match="takes no prefix"):
        ChunkExecution(Ramp("latest", []), "realtime_chunking")
    execution = ChunkExecution(Ramp("latest", [np.nan, 0.0]))
    assert "not finite" in execution.answer(observe(1), executed(GRID, 0), 0.1).refusal


def test_expected_latency_is_nearly_the_longest_of_the_recent():
    latency = ExpectedLatency(0.5)
    assert latency.seconds == 0.5
    for k in range(100):
        latency.add(0.3 if k % 10 == 0 else 0.1)
    assert latency.seconds == 0.3
    for _ in range(ExpectedLatency.RECENT):
        latency.add(0.1)
    assert latency.seconds == 0.1
