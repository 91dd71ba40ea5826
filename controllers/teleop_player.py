"""Follows a person's hands, clutched where the stream begins; rests without a stream. Pure."""

from __future__ import annotations

import numpy as np

from controllers.authority_states import Provenance
from controllers.clutch import Clutch
from controllers.operators import MS, TELEOP_LEASE_NS
from controllers.reference_limiter import ReferenceLimiter
from controllers.rigs import Rig


class TeleopPlayer:
    """One take-over."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self.begin(None)

    def begin(self, rest_at: np.ndarray | None) -> None:
        """A person has the robot from now on; it settles at `rest_at` (dim,), None: where it stops."""
        self._rest_at = rest_at
        self._teleop: tuple[int, np.ndarray] | None = None  # stamp, action
        self._grip: np.ndarray | None = None  # action that the clutch closes at, None: the newest
        self._clutch: Clutch | None = None  # closes at the first tick with a teleop action

    def offer(self, stamp_ns: int, action: np.ndarray, before: np.ndarray | None) -> None:
        """An action (dim,); `before` (dim,) is the one before, if both are one movement."""
        if self._teleop is None:
            self._grip = before
        self._teleop = stamp_ns, action

    def play(self, now_ns: int, dt: float, limiter: ReferenceLimiter) -> Provenance:
        """Move `limiter` for `dt` s."""
        if self._teleop is None:
            return self._rest(now_ns, dt, limiter, "no teleop_action since the take-over")
        stamp_ns, action = self._teleop
        if now_ns - stamp_ns > TELEOP_LEASE_NS:
            self.begin(None)
            self._teleop = stamp_ns, action
            return self._rest(now_ns, dt, limiter, "teleop_action lease expired")
        if self._clutch is None:
            rest = limiter.stopping_pose() if self._rest_at is None else self._rest_at
            self._clutch = Clutch(action if self._grip is None else self._grip, rest, self._rig)
        target, clipped = self._clutch.follow(action)
        clamped = clipped + limiter.follow(target, dt)
        return Provenance(now_ns, "teleop", clamped=clamped, observation_age_ms=(now_ns - stamp_ns) / MS)

    def _rest(self, now_ns: int, dt: float, limiter: ReferenceLimiter, reason: str) -> Provenance:
        clamped: tuple[str, ...] = ()
        if self._rest_at is None:
            limiter.brake(dt)
        else:
            clamped = limiter.follow(self._rest_at, dt)
        return Provenance(now_ns, "hold", reason, clamped=clamped)
