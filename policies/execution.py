"""How the chunks of a policy follow each other while the robot moves on.

A chunk's points have absolute times, so what has passed when it arrives is never played; the authority blends from one
chunk to the next. What is left to do is to make the next chunk agree with what the robot does meanwhile:

- `realtime_chunking` (Black et al. 2025, arXiv 2506.07339), for policies that take a prefix: the new chunk is sampled
  to agree with what was really executed up to now, with the chunk that is being executed until the new one will count,
  and less and less after that.
- `temporal_ensembling` (after Zhao et al. 2023, ACT), for policies with one answer: the mean of all chunks that speak
  of a moment. ACT asks at every step; with six steps between chunks a mean of those that happen to reach would jump
  where one begins or ends, so each comes and goes smoothly: what is played is one function of time from chunk to chunk.
- `latest`: each chunk as the policy gave it.

But for `latest`, the later chunks count, the slower they are played: the robot does not outrun its eyes. With 150 ms
and 300 ms more than usual that is two thirds and half of the speed, and no kind of policy lost more than 3 of 100
held-out worlds of arm_pick. At full speed flow lost 6 of 100 at 150 ms and 11 of 50 at 300 ms. Acting only between
inferences is as reliable and slower still.

What is executed is what the authority says it executes, not what was sent to it: after a hand-back, a stop or a chunk
that it refused nothing goes on from what never happened. Pure; the graph and the one-process rollout use it alike.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from policies.chunk import chunk_times_ns
from policies.executed import Executed
from policies.inference import Answer, answer
from policies.normalise import align, renormalise
from policies.observation import Observation
from policies.predictor import LATEST, REALTIME_CHUNKING, TEMPORAL_ENSEMBLING, Predictor
from policies.prefix import ActionPrefix

MODES = (REALTIME_CHUNKING, TEMPORAL_ENSEMBLING, LATEST)
RAMP_S = 0.3  # in which a chunk comes into the mean, and leaves it before its end
DECAY_S = 0.5  # how fast older chunks lose weight; ACT's own, nearly none, is slow to see what has changed
SOFT_S = 0.5  # in which what a new chunk owes to the one before ends. With eq. 5 to the old chunk's end, 1.2 s here,
# the robot sees late: 21 and 22 of 24 seeds of arm_pick by flow and diffusion, with this 23 and 23
QUICK_S, EASE_S = 0.1, 0.2  # latency that needs no slowing down; the smaller, the more a longer one slows
N_KEPT = 8  # chunks; more never overlap at three or more observations per chunk


@dataclass(frozen=True)
class _Plan:
    """A chunk (n, a) as the policy gave it, for times (n,) ns; it counts from `counts_ns` on."""

    counts_ns: int
    times_ns: np.ndarray
    actions: np.ndarray

    def at(self, times_ns: np.ndarray, channels: tuple[str, ...]) -> np.ndarray:
        """(k, a) linear between the points, the first before and the last after them."""
        return interpolated(times_ns, self.times_ns, self.actions, channels)


class ChunkExecution:
    """See the module. `answer` is called by one thread at a time; `begin` may come from another."""

    def __init__(self, policy: Predictor, mode: str = "", decay_s: float = DECAY_S) -> None:
        """`mode`: one of MODES; empty: the policy's own. `decay_s`: of temporal ensembling.

        Raises:
            ValueError: the mode is unknown.
        """
        self.policy, self.mode, self._decay_s = policy, mode or policy.execution, decay_s
        if self.mode not in MODES:
            raise ValueError(f"execution {self.mode!r} is unknown; allowed: {', '.join(MODES)}")
        if self.mode == REALTIME_CHUNKING and not policy.takes_prefix:
            raise ValueError(f"this policy takes no prefix, which {self.mode} needs; allowed: {', '.join(MODES[1:])}; "
                             "choose one, or leave it to the policy")
        config = policy.config
        self._offsets_ns = chunk_times_ns(config.chunk_size, config.chunk_dt_ns)
        self._channels = config.action_channels
        self._plans: deque[_Plan] = deque(maxlen=N_KEPT)

    def begin(self) -> None:
        """Another world, or another start: nothing from before counts."""
        self._plans = deque(maxlen=N_KEPT)  # a new one: an answer that is under way goes to the old one

    def answer(self, observation: Observation, executed: Executed, latency_s: float) -> Answer:
        """The chunk for an observation, or why there is none. `executed`: at least since the observation, up to now;
        the chunk will count `latency_s` after the observation."""
        plans = self._plans
        if not len(executed.chunk_stamps_ns) or executed.chunk_stamps_ns[-1] == 0:  # no chunk is being executed
            plans.clear()
        speed = self.speed(latency_s)
        stretched_ns = self._offsets_ns if speed == 1.0 else np.round(self._offsets_ns / speed).astype(np.int64)
        times_ns, due_ns = observation.stamp_ns + stretched_ns, observation.stamp_ns + self._offsets_ns
        counts_ns = observation.stamp_ns + round(latency_s * 1e9)
        prefix = None
        if self.mode == REALTIME_CHUNKING and plans:
            prefix = self.prefix(times_ns, plans[-1], executed, counts_ns)
        done = answer(self.policy, observation, prefix)
        if done.chunk is None:
            return done
        plans.append(_Plan(counts_ns, times_ns, done.chunk))
        if self.mode == TEMPORAL_ENSEMBLING:
            return replace(done, chunk=self._ensemble(plans, due_ns))
        return done if speed == 1.0 else replace(done, chunk=plans[-1].at(due_ns, self._channels))

    def speed(self, latency_s: float) -> float:
        """Of playing chunks that count so long after their observation: 1 up to QUICK_S, 0.67 at 0.25 s, 0.5 at 0.4 s,
        and always 1 for `latest`."""
        if self.mode == LATEST:
            return 1.0
        return (QUICK_S + EASE_S) / (max(latency_s, QUICK_S) + EASE_S)

    def prefix(self, times_ns: np.ndarray, plan: _Plan, executed: Executed, counts_ns: int) -> ActionPrefix:
        """What is executed at times (n,): the past as it was, then `plan`, until `counts_ns` for certain."""
        now_ns = int(executed.stamps_ns[-1])
        is_past = times_ns <= now_ns
        actions = plan.at(times_ns, self._channels)
        actions[is_past] = interpolated(times_ns[is_past], executed.stamps_ns, executed.references, self._channels)
        certain_ns = max(counts_ns, now_ns)
        left_s = SOFT_S - (times_ns - certain_ns) * 1e-9
        soft = np.where(times_ns <= plan.times_ns[-1], _smoothstep(left_s / SOFT_S), 0.0)
        return ActionPrefix(actions, np.where(times_ns <= certain_ns, 1.0, soft))

    def _ensemble(self, plans: deque[_Plan], times_ns: np.ndarray) -> np.ndarray:
        """(n, a) the weighted mean at times (n,) of all that reach so far."""
        newest = plans[-1]
        total, weights = np.zeros_like(newest.actions), np.zeros((len(times_ns), 1))
        for plan in plans:
            weight = self._weight(plan, times_ns)[:, None]
            if plan is newest:
                weight = np.maximum(weight, 1e-9)  # where no other speaks
            total += weight * align(plan.at(times_ns, self._channels), newest.actions[0], self._channels)
            weights += weight
        return renormalise(total / weights, self._channels)

    def _weight(self, plan: _Plan, times_ns: np.ndarray) -> np.ndarray:
        """(n,) of a plan in the mean: from 0 when it begins to count, and to 0 at its end."""
        age_s, left_s = (times_ns - plan.counts_ns) * 1e-9, (plan.times_ns[-1] - times_ns) * 1e-9
        is_there = _smoothstep(age_s / RAMP_S) * _smoothstep(left_s / RAMP_S)
        return is_there * np.exp(-np.maximum(age_s, 0.0) / self._decay_s)


class ExpectedLatency:
    """How long after its observation a chunk will count: nearly the longest of the recent ones, s."""

    QUANTILE, RECENT = 0.95, 40

    def __init__(self, first_s: float) -> None:
        """`first_s`: what is expected before anything was measured."""
        self._recent: deque[float] = deque([first_s], maxlen=self.RECENT)

    def add(self, latency_s: float) -> None:
        """One that was measured."""
        self._recent.append(latency_s)

    @property
    def seconds(self) -> float:
        """What to expect of the next."""
        return float(np.quantile(self._recent, self.QUANTILE))


def _smoothstep(x: np.ndarray) -> np.ndarray:
    """0 before 0, 1 after 1, without a kink."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def interpolated(at_ns: np.ndarray, times_ns: np.ndarray, values: np.ndarray, channels: tuple[str, ...]) -> np.ndarray:
    """Rows (k, a) between those of `values` (n, a) at `times_ns` (n,), quaternions at unit length."""
    values = align(values, values[-1], channels)
    at, known = (at_ns - times_ns[0]).astype(np.float64), (times_ns - times_ns[0]).astype(np.float64)
    columns = [np.interp(at, known, values[:, c]) for c in range(values.shape[1])]
    return renormalise(np.stack(columns, axis=-1), channels)

