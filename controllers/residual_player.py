"""A learnt residual beside the chunks of a policy: how far the reference shall be from where they lead. Pure.

The chunks stay as they are. While the switch is on, a displacement inside fixed bounds is added to what they say; it
moves linearly to the newest one that came, and back to none when no more come. Off, or a displacement of zero, and the
chunks are played bit by bit. A residual that was learnt on another policy is never added.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controllers.action_chunk import Refused
from controllers.action_layout import ActionLayout
from controllers.operators import FUTURE_NS, MS

BOUND_M, BOUND_RAD = 0.02, 0.15  # per axis, whatever was learnt; scalars, such as a gripper, are never displaced
LEASE_NS = 300 * MS  # after a displacement was due without a next one
BACK_NS = 200 * MS  # in which what is left of it goes
RAMP_MIN_NS = 40 * MS  # one that came late is approached no faster
DELAY_NS = 40 * MS  # in lockstep one counts so long after its observation, whenever it came
JOINED = "+"  # between the policy's name and the residual's


@dataclass(frozen=True, slots=True)
class Added:
    """At one tick: the displacement (rate_dim,), None for nothing at all; the hash of whose it is, empty for nobody's;
    the parts that the bound cut; whether it was left off at once, so that what is asked for has jumped."""

    displacement: np.ndarray | None
    name: str = ""
    clipped: tuple[str, ...] = ()
    has_jumped: bool = False


@dataclass(frozen=True, slots=True)
class _Aim:
    """A displacement (rate_dim,) to be reached at `due_ns`, from an observation at `stamp_ns` on."""

    stamp_ns: int
    due_ns: int
    displacement: np.ndarray
    policy: str
    name: str
    clipped: tuple[str, ...]


class ResidualPlayer:
    """The switch, the newest displacement and what there is of it now."""

    def __init__(self, layout: ActionLayout, delay_ns: int = 0) -> None:
        """A displacement counts from `delay_ns` after its observation on; 0 takes it as it comes."""
        self.enabled = True
        self.bound = np.zeros(layout.rate_dim)  # m or rad
        for part in layout.parts:
            if part.kind != "scalar":
                self.bound[part.rates] = BOUND_M if part.kind == "position" else BOUND_RAD
        self._layout, self._delay_ns = layout, delay_ns
        self.restart()

    def restart(self) -> None:
        """Another run of the world."""
        self.newest_ns = -1  # stamp of the newest one's observation
        self._newest: _Aim | None = None
        self.begin(-1)

    def begin(self, now_ns: int) -> None:
        """Somebody else has the robot from now on; only observations after `now_ns` count."""
        self._begun_ns = now_ns
        self._aim: _Aim | None = None
        self._from_ns, self._from = now_ns, np.zeros(self._layout.rate_dim)
        self._has_some = False  # was added at the newest tick

    def offer(self, stamp_ns: int, due_ns: int, displacement: np.ndarray, name: str, now_ns: int) -> None:
        """A displacement (rate_dim,) m and rad to be reached at `due_ns`, by `name`: POLICY+RESIDUAL, hashes.

        Raises:
            Refused: it is out of order, late, not finite, or for no policy.
        """
        if stamp_ns <= self.newest_ns:
            raise Refused(f"out of order: observation {stamp_ns} ns is not newer than {self.newest_ns} ns")
        if stamp_ns > now_ns + FUTURE_NS:
            raise Refused(f"observation {stamp_ns} ns lies in the future of {now_ns} ns")
        if due_ns + LEASE_NS <= now_ns:
            raise Refused(f"stale: it was due {(now_ns - due_ns) / MS:.0f} ms ago, allowed are {LEASE_NS / MS:.0f} ms")
        if displacement.shape != self.bound.shape or not np.isfinite(displacement).all():
            raise Refused(f"a residual must be {self.bound.shape} finite numbers, {displacement.shape} came")
        policy, _, own = name.partition(JOINED)
        if not policy or not own:
            raise Refused(f"a residual of {name!r}; allowed: POLICY{JOINED}RESIDUAL, the hashes of both")
        inside = np.clip(displacement, -self.bound, self.bound)
        clipped = tuple(f"residual {part.name}" for part in self._layout.parts
                        if np.any(inside[part.rates] != displacement[part.rates]))  # fmt: skip
        self.newest_ns = stamp_ns
        self._newest = _Aim(stamp_ns, due_ns, inside, policy, own, clipped)

    def at(self, now_ns: int, policy: str) -> Added:
        """What to add now to a chunk of `policy`, after the ticks before."""
        newest = self._newest
        if newest is not None and newest is not self._aim and self._counts(newest, now_ns):
            self._from_ns, self._from = now_ns, self._between(now_ns)
            self._aim = newest
        aim = self._aim
        if aim is None or not self.enabled or aim.policy != policy or now_ns >= aim.due_ns + LEASE_NS + BACK_NS:
            had_some, self._has_some = self._has_some, False
            self._aim, self._from_ns, self._from = None, now_ns, np.zeros_like(self._from)
            return Added(None, has_jumped=had_some)
        displacement = self._between(now_ns)
        self._has_some = bool(displacement.any())
        return Added(displacement if self._has_some else None, aim.name, aim.clipped)

    def _counts(self, aim: _Aim, now_ns: int) -> bool:
        return aim.stamp_ns > self._begun_ns and now_ns >= aim.stamp_ns + self._delay_ns

    def _between(self, now_ns: int) -> np.ndarray:
        """What there is at `now_ns` of the way to the newest, or back from it."""
        aim = self._aim
        if aim is None:
            return self._from
        left = np.clip((aim.due_ns + LEASE_NS + BACK_NS - now_ns) / BACK_NS, 0.0, 1.0)
        way_ns = max(aim.due_ns - self._from_ns, RAMP_MIN_NS)
        part = np.clip((now_ns - self._from_ns) / way_ns, 0.0, 1.0)
        return left * (self._from + part * (aim.displacement - self._from))
