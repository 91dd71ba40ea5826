"""Who commands the robot, and the one reference that follows from it. Pure: stamps and arrays in, a reference out.

States and what the reference does: none, stopped: comes to rest and stays. teleop: follows the person's hands,
clutched. policy: plays action chunks, blended. Every change of state raises `epoch`. The reference passes a limiter, so
it is continuous in position and velocity at take-over, hand-back, stop and between chunks. An input that is late, out
of order, not finite or out of shape raises `Refused`; inputs that stop coming make the reference rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from controllers.action_chunk import Chunk, Refused, checked_action
from controllers.clutch import Clutch
from controllers.reference_limiter import ReferenceLimiter
from controllers.rigs import Rig

MS = 1_000_000  # ns
RESTART_GAP_NS = 500 * MS  # a gap between ticks above this, or a tick that goes back, is another run of the world
TELEOP_LEASE_NS = 300 * MS
STREAM_GAP_NS = 100 * MS  # two teleop actions no further apart are one movement of one device
FUTURE_NS = 100 * MS  # an input's stamp may lead the newest tick by this (a tick and the clock's grain)
BLEND_NS = 200 * MS  # from one chunk to the next


class Authority(str, Enum):
    """Who may command; the value is what the topic says. REWIND and CONTROLLER are not entered in this release."""

    NONE = "none"
    POLICY = "policy"
    TELEOP = "teleop"
    REWIND = "rewind"
    CONTROLLER = "controller"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where one reference comes from. `source`: policy, teleop or hold; `reason` says why it holds."""

    stamp_ns: int
    source: str
    epoch: int
    reason: str = ""
    policy: str = ""
    chunk_stamp_ns: int = 0
    observation_age_ms: float = 0.0
    clamped: tuple[str, ...] = ()


class AuthorityCore:
    """The state machine. Requests answer (done, text); `tick` makes one reference."""

    def __init__(self, rig: Rig, chunk_delay_ns: int = 0) -> None:
        """For `rig`, whose action has `dim` channels. A chunk is used from `chunk_delay_ns` after its observation on: 0
        takes it as it comes."""
        self.authority, self.epoch = Authority.NONE, 0
        self.newest_chunk_ns = -1
        self._rig, self._layout = rig, rig.layout
        self._chunk_delay_ns = chunk_delay_ns
        self._limiter = ReferenceLimiter(rig.home_action, rig.layout)  # until the first tick
        self._measured: np.ndarray | None = None  # None until the first tick
        self._tick_ns = -1
        self._streamed: tuple[int, np.ndarray] | None = None  # the newest teleop action, whoever has authority
        self._forget()

    def _forget(self) -> None:
        self._rest_at: np.ndarray | None = None  # a pose to settle at; None rests where the limiter stops
        self._offered: Chunk | None = None
        self._chunk: Chunk | None = None
        self._chunk_before: Chunk | np.ndarray | None = None
        self._blend_from_ns = 0
        self._handed_back_ns = -1
        self._teleop: tuple[int, np.ndarray] | None = None  # stamp, action
        self._grip: np.ndarray | None = None  # action that the clutch closes at, None: the newest
        self._clutch: Clutch | None = None  # closes at the first tick with a teleop action

    def _enter(self, authority: Authority) -> None:
        self._forget()
        self.authority = authority
        self.epoch += 1

    # Requests of people

    def take_over(self) -> tuple[bool, str]:
        """A person commands from now on; the robot rests until the first teleop action."""
        if self.authority is Authority.STOPPED:
            return False, "stopped; allowed now: release_stop"
        if self._measured is None:
            return False, "the robot's state is not known yet; start the controller, then take over"
        if self.authority is not Authority.TELEOP:
            self._enter(Authority.TELEOP)
            away = np.abs(self._layout.difference(self._limiter.stopping_pose(), self._measured))
            if np.any(away > self._rig.pose_tolerance):
                self._rest_at = self._layout.validated(self._measured)
                grasps = list(self._rig.grasps)
                self._rest_at[grasps] = self._limiter.reference[grasps]
        return True, "teleop has authority"

    def hand_back(self) -> tuple[bool, str]:
        """The policy commands, from its first observation after now on."""
        if self.authority is Authority.STOPPED:
            return False, "stopped; allowed now: release_stop"
        if self.authority is not Authority.POLICY:
            offered = self._offered  # an observation newer than the last tick may already have been answered
            self._enter(Authority.POLICY)
            self._handed_back_ns, self._offered = self._tick_ns, offered
        return True, "policy has authority"

    def stop(self) -> tuple[bool, str]:
        """Freeze the reference and listen to nobody; the robot keeps balancing."""
        if self.authority is not Authority.STOPPED:
            self._enter(Authority.STOPPED)
        return True, "stopped; release_stop ends it"

    def release_stop(self) -> tuple[bool, str]:
        """End a stop; nobody commands then."""
        if self.authority is not Authority.STOPPED:
            return False, f"not stopped, authority is {self.authority.value}"
        self._enter(Authority.NONE)
        return True, "released; allowed now: take_over, hand_back"

    # Inputs

    def offer_chunk(self, stamp_ns: int, offsets_ns: np.ndarray, actions: np.ndarray, policy: str = "") -> None:
        """A chunk: actions (n, dim) at `offsets_ns` (n,) after the observation at `stamp_ns`."""
        if stamp_ns <= self.newest_chunk_ns:
            raise Refused(f"out of order: observation {stamp_ns} ns is not newer than {self.newest_chunk_ns} ns")
        if stamp_ns > self._tick_ns + FUTURE_NS:
            raise Refused(f"observation {stamp_ns} ns lies in the future of {self._tick_ns} ns")
        chunk = Chunk.checked(stamp_ns, offsets_ns, actions, self._layout, policy)
        if chunk.times_ns[-1] <= self._tick_ns:
            raise Refused(f"stale: its last point passed {(self._tick_ns - int(chunk.times_ns[-1])) / MS:.0f} ms ago")
        self.newest_chunk_ns = stamp_ns
        self._offered = chunk

    def offer_teleop(self, stamp_ns: int, action: np.ndarray) -> None:
        """A teleop action (dim,); it counts while teleop has authority.

        The robot follows what the person moves from the take-over on, if the device was streaming by then; otherwise
        from the device's first action on.
        """
        before = self._streamed
        if before is not None and stamp_ns <= before[0]:
            raise Refused(f"out of order: {stamp_ns} ns is not newer than {before[0]} ns")
        if stamp_ns > self._tick_ns + FUTURE_NS:
            raise Refused(f"{stamp_ns} ns lies in the future of {self._tick_ns} ns")
        if self._tick_ns - stamp_ns > TELEOP_LEASE_NS:
            raise Refused(
                f"stale: {(self._tick_ns - stamp_ns) / MS:.0f} ms old, allowed are {TELEOP_LEASE_NS / MS:.0f} ms"
            )
        checked = checked_action(action, self._layout)
        self._streamed = stamp_ns, checked
        if self.authority is Authority.TELEOP:
            if self._teleop is None and before is not None and stamp_ns - before[0] <= STREAM_GAP_NS:
                self._grip = before[1]
            self._teleop = self._streamed

    def tick(self, stamp_ns: int, measured: np.ndarray) -> tuple[np.ndarray, Provenance]:
        """The reference (dim,) for `stamp_ns` and where it comes from; `measured` (dim,) is the pose the robot has."""
        gap = stamp_ns - self._tick_ns
        if gap == 0:
            raise Refused(f"tick {stamp_ns} ns came twice")
        measured = checked_action(measured, self._layout)
        if self.is_restart(stamp_ns):
            self._restart(measured)
            gap = round(self._rig.reference_dt * 1e9)
        self._tick_ns, self._measured = stamp_ns, measured
        provenance = self._play(stamp_ns, gap * 1e-9)
        return self._limiter.reference, provenance

    def is_restart(self, stamp_ns: int) -> bool:
        """True when a tick at `stamp_ns` would be the first of another run of the world."""
        return self._measured is None or not 0 <= stamp_ns - self._tick_ns <= RESTART_GAP_NS

    def _restart(self, measured: np.ndarray) -> None:
        """Another run of the world: nobody commands; a stop stays a stop, only a person releases it."""
        if self._measured is not None:
            self._enter(Authority.STOPPED if self.authority is Authority.STOPPED else Authority.NONE)
        self.newest_chunk_ns, self._streamed = -1, None
        self._limiter = ReferenceLimiter(measured, self._layout)

    def _play(self, now_ns: int, dt: float) -> Provenance:
        if self.authority is Authority.POLICY:
            return self._play_chunk(now_ns, dt)
        if self.authority is Authority.TELEOP:
            return self._play_teleop(now_ns, dt)
        return self._rest(now_ns, dt, self.authority.value)

    def _rest(self, now_ns: int, dt: float, reason: str) -> Provenance:
        clamped: tuple[str, ...] = ()
        if self._rest_at is None:
            self._limiter.brake(dt)
        else:
            clamped = self._limiter.follow(self._rest_at, dt)
        return Provenance(now_ns, "hold", self.epoch, reason, clamped=clamped)

    def _play_teleop(self, now_ns: int, dt: float) -> Provenance:
        if self._teleop is None:
            return self._rest(now_ns, dt, "no teleop_action since the take-over")
        stamp_ns, action = self._teleop
        if now_ns - stamp_ns > TELEOP_LEASE_NS:
            self._clutch = self._rest_at = self._grip = None
            return self._rest(now_ns, dt, "teleop_action lease expired")
        if self._clutch is None:
            rest = self._limiter.stopping_pose() if self._rest_at is None else self._rest_at
            self._clutch = Clutch(action if self._grip is None else self._grip, rest, self._rig)
        target, clipped = self._clutch.follow(action)
        clamped = clipped + self._limiter.follow(target, dt)
        return Provenance(now_ns, "teleop", self.epoch, clamped=clamped, observation_age_ms=(now_ns - stamp_ns) / MS)

    def _play_chunk(self, now_ns: int, dt: float) -> Provenance:
        changed = self._adopt(now_ns)
        chunk, before = self._chunk, self._chunk_before
        if chunk is None or before is None:
            return self._rest(now_ns, dt, "no chunk from an observation after the hand-back yet")
        target = chunk.at(now_ns)
        s = min(1.0, (now_ns - self._blend_from_ns) / BLEND_NS)
        if s < 1.0:
            start = before.at(now_ns) if isinstance(before, Chunk) else before
            target = self._layout.interpolate(start, target, s * s * (3 - 2 * s))
        clamped = self._limiter.follow(target, dt, source_changed=changed)
        ended = now_ns > chunk.times_ns[-1]
        return Provenance(
            now_ns,
            "hold" if ended else "policy",
            self.epoch,
            "the chunk has ended" if ended else "",
            chunk.policy,
            chunk.stamp_ns,
            (now_ns - chunk.stamp_ns) / MS,
            clamped,
        )

    def _adopt(self, now_ns: int) -> bool:
        """Take the offered chunk when it is due and newer than the hand-back; True when the source changed."""
        offered = self._offered
        if (
            offered is None
            or offered.stamp_ns <= self._handed_back_ns
            or now_ns < offered.stamp_ns + self._chunk_delay_ns
        ):
            return False
        was_resting = self._chunk is None
        self._chunk_before = self._limiter.stopping_pose() if was_resting else self._chunk
        self._chunk, self._offered, self._blend_from_ns = offered, None, now_ns
        return was_resting
