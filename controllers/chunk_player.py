"""Plays action chunks: the newest that is due, blended from what was played before, with a learnt residual if there is
one. Pure."""

from __future__ import annotations

import numpy as np

from controllers.action_chunk import Chunk, Refused
from controllers.action_layout import ActionLayout
from controllers.authority_states import Provenance
from controllers.operators import FUTURE_NS, MS
from controllers.reference_limiter import ReferenceLimiter
from controllers.residual_player import ResidualPlayer

BLEND_NS = 200 * MS  # from one chunk to the next


class ChunkPlayer:
    """Holds the newest chunk, whoever has authority, and plays it while the policy has."""

    def __init__(self, layout: ActionLayout, delay_ns: int, residual: ResidualPlayer) -> None:
        """A chunk is used from `delay_ns` after its observation on; 0 takes it as it comes. `residual` is added."""
        self._layout, self._delay_ns, self._residual = layout, delay_ns, residual
        self.restart()

    def restart(self) -> None:
        """Another run of the world."""
        self.newest_ns = -1  # stamp of the newest chunk's observation
        self._newest: Chunk | None = None
        self._residual.restart()
        self.begin(-1)

    def begin(self, now_ns: int) -> None:
        """The policy has authority from now on; only observations after `now_ns` count."""
        self._chunk: Chunk | None = None
        self._before: Chunk | np.ndarray | None = None
        self._blend_from_ns = 0
        self._handed_back_ns = now_ns
        self._residual.begin(now_ns)

    def offer(self, stamp_ns: int, offsets_ns: np.ndarray, actions: np.ndarray, policy: str, now_ns: int) -> None:
        """A chunk: actions (n, dim) at `offsets_ns` (n,) after the observation at `stamp_ns`; or Refused."""
        if stamp_ns <= self.newest_ns:
            raise Refused(f"out of order: observation {stamp_ns} ns is not newer than {self.newest_ns} ns")
        if stamp_ns > now_ns + FUTURE_NS:
            raise Refused(f"observation {stamp_ns} ns lies in the future of {now_ns} ns")
        chunk = Chunk.checked(stamp_ns, offsets_ns, actions, self._layout, policy)
        if chunk.times_ns[-1] <= now_ns:
            raise Refused(f"stale: its last point passed {(now_ns - int(chunk.times_ns[-1])) / MS:.0f} ms ago")
        self.newest_ns, self._newest = stamp_ns, chunk

    def wanted(self, now_ns: int) -> np.ndarray | None:
        """(dim,) what the policy wants now, whoever has authority; None without a chunk that covers it."""
        chunk = self._newest
        return None if chunk is None or now_ns > chunk.times_ns[-1] else chunk.at(now_ns)

    def play(self, now_ns: int, dt: float, limiter: ReferenceLimiter) -> Provenance:
        """Move `limiter` for `dt` s."""
        changed = self._adopt(now_ns, limiter)
        chunk, before = self._chunk, self._before
        if chunk is None or before is None:
            limiter.brake(dt)
            return Provenance(now_ns, "hold", "no chunk from an observation after the hand-back yet")
        target = chunk.at(now_ns)
        s = min(1.0, (now_ns - self._blend_from_ns) / BLEND_NS)
        if s < 1.0:
            start = before.at(now_ns) if isinstance(before, Chunk) else before
            target = self._layout.interpolate(start, target, s * s * (3 - 2 * s))
        added = self._residual.at(now_ns, chunk.policy)
        if added.displacement is not None:
            target = self._layout.validated(self._layout.moved(target, added.displacement))
        clamped = limiter.follow(target, dt, source_changed=changed or added.has_jumped)
        ended = now_ns > chunk.times_ns[-1]
        return Provenance(
            now_ns, "hold" if ended else "policy", "the chunk has ended" if ended else "", policy=chunk.policy,
            chunk_stamp_ns=chunk.stamp_ns, observation_age_ms=(now_ns - chunk.stamp_ns) / MS,
            clamped=(*clamped, *added.clipped), residual=added.name,
        )  # fmt: skip

    def _adopt(self, now_ns: int, limiter: ReferenceLimiter) -> bool:
        """Take the newest chunk when it is due and newer than the hand-back; True when the source changed."""
        newest = self._newest
        if newest is None or newest is self._chunk or newest.stamp_ns <= self._handed_back_ns:
            return False
        if now_ns < newest.stamp_ns + self._delay_ns:
            return False
        was_resting = self._chunk is None
        self._before = limiter.stopping_pose() if was_resting else self._chunk
        self._chunk, self._blend_from_ns = newest, now_ns
        return was_resting
