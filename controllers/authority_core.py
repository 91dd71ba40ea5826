"""Who commands the robot, and the one reference that follows from it. Pure: stamps and arrays in, a reference out.

States and what the reference does: none, stopped: comes to rest and stays. teleop: follows the person's hands,
clutched. rewind: goes back along the path that the robot has taken while a person holds it. policy: plays action
chunks, blended. Every change of state raises `epoch`. The reference passes a limiter, so it is continuous in position
and velocity at take-over, rewind, hand-back, stop and between chunks. An input that is late, out of order, not finite
or out of shape raises `Refused`; inputs that stop coming make the reference rest.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from controllers.action_chunk import Refused, checked_action
from controllers.authority_states import Authority, Provenance, Segment, Segments
from controllers.chunk_player import ChunkPlayer
from controllers.operators import FUTURE_NS, MS, SOMEBODY, TELEOP_LEASE_NS, Operators
from controllers.path_memory import PathMemory
from controllers.reference_limiter import EASE_S, ReferenceLimiter
from controllers.residual_player import DELAY_NS, ResidualPlayer
from controllers.rewind import Rewind
from controllers.rigs import Rig
from controllers.teleop_player import TeleopPlayer

__all__ = ["FUTURE_NS", "MS", "TELEOP_LEASE_NS", "Authority", "AuthorityCore", "Provenance", "Segment"]

RESTART_GAP_NS = 500 * MS  # a gap between ticks above this, or a tick that goes back, is another run of the world
WAY_MIN_S = 0.05  # a shorter path is none to go back along


class AuthorityCore:
    """The state machine. Requests answer (done, text); `tick` makes one reference."""

    def __init__(self, rig: Rig, chunk_delay_ns: int = 0, ends_after_intervention: bool = False) -> None:
        """For `rig`, whose action has `dim` channels.

        `chunk_delay_ns`: a chunk is used from so long after its observation on; 0 takes it as it comes.
        `ends_after_intervention`: RaC's second rule, no hand-back after an intervention within one episode.
        """
        self.authority, self.epoch = Authority.NONE, 0
        self.segments = Segments()
        self._rig, self._layout = rig, rig.layout
        self._ends_after_intervention = ends_after_intervention
        self._operators, self._path = Operators(), PathMemory(rig)
        self.residual = ResidualPlayer(rig.layout, DELAY_NS if chunk_delay_ns else 0)
        self._chunks = ChunkPlayer(rig.layout, chunk_delay_ns, self.residual)
        self._hands = TeleopPlayer(rig)
        self._rewind: Rewind | None = None
        self._wish: tuple[int, float] | None = None  # stamp and speed of the newest rewind action
        self._limiter = ReferenceLimiter(rig.home_action, rig.layout)  # until the first tick
        self._measured: np.ndarray | None = None  # None until the first tick
        self._tick_ns = -1

    @property
    def newest_chunk_ns(self) -> int:
        """Stamp of the newest chunk's observation; -1 without one."""
        return self._chunks.newest_ns

    def _enter(self, authority: Authority) -> None:
        if self._rewind is not None:
            self._rewind.finish()
        self._rewind = self._wish = None
        self._hands.begin(None)
        self.authority = authority
        self._limiter.ease(0.0 if authority is Authority.STOPPED else EASE_S)
        self.segments.enter(authority)
        self.epoch += 1

    # Requests of people

    def take_over(self, device: str = SOMEBODY) -> tuple[bool, str]:
        """A person commands from now on, through `device`; the robot rests until its first teleop action."""
        if self.authority is Authority.STOPPED:
            return False, "stopped; allowed now: release_stop"
        if self._measured is None:
            return False, "the robot's state is not known yet; start the controller, then take over"
        is_held = self.authority in (Authority.TELEOP, Authority.REWIND)
        if is_held and (refusal := self._operators.refusal(device, self._tick_ns)):
            return False, refusal
        is_relieved = not is_held or device != self._operators.device
        if is_relieved:
            self._operators.take(device, self._tick_ns)
        if is_relieved or self.authority is not Authority.TELEOP:
            self._enter(Authority.TELEOP)
            self._hands.begin(self._rest_at(self._measured))
        return True, "teleop has authority"

    def _rest_at(self, measured: np.ndarray) -> np.ndarray | None:
        """Where the reference settles at a take-over: at the pose the robot has, if it is far from that."""
        away = np.abs(self._layout.difference(self._limiter.stopping_pose(), measured))
        if not np.any(away > self._rig.pose_tolerance):
            return None
        rest_at = self._layout.validated(measured)
        grasps = list(self._rig.grasps)
        rest_at[grasps] = self._limiter.reference[grasps]
        return rest_at

    def hand_back(self) -> tuple[bool, str]:
        """The policy commands, from its first observation after now on."""
        if self.authority is Authority.STOPPED:
            return False, "stopped; allowed now: release_stop"
        if self._ends_after_intervention and self.segments.has_intervened:
            return False, "the episode ends after the intervention; allowed now: episode/success, episode/failure"
        if self.authority is not Authority.POLICY:
            self._enter(Authority.POLICY)
            self._chunks.begin(self._tick_ns)
        return True, "policy has authority"

    def rewind(self) -> tuple[bool, str]:
        """Back along the path that the robot has taken, while rewind actions come; again: open what was closed here."""
        if self._rewind is not None:
            if self._rewind.ask():
                return True, "the hand that was closed here opens as you go on"
            return False, "no hand was closed here; allowed where the way back stops for one"
        if self.authority is not Authority.TELEOP or self._measured is None:
            return False, f"authority is {self.authority.value}; allowed after take_over"
        if self._path.length - self._path.start < WAY_MIN_S:
            return False, "the robot has not moved since the episode began; there is no way back"
        self._enter(Authority.REWIND)
        self._rewind = Rewind(self._path, self._limiter.stopping_pose(), self._measured, self._rig)
        return True, f"rewind has authority, {self._rewind.left:.1f} s of way back"

    def correct(self) -> tuple[bool, str]:
        """The recovery is over; what the person does from here on shows how to go on."""
        return self.segments.correct()

    def begin_episode(self) -> None:
        """What was before belongs to another episode: no way back into it."""
        self.segments.begin_episode()
        if self._rewind is None:
            self._path.clear()

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
        self._chunks.offer(stamp_ns, offsets_ns, actions, policy, self._tick_ns)

    def offer_residual(self, stamp_ns: int, due_ns: int, displacement: np.ndarray, name: str) -> None:
        """How far (rate_dim,) the reference shall be from the policy's chunks; see controllers/residual_player.py."""
        self.residual.offer(stamp_ns, due_ns, displacement, name, self._tick_ns)

    def enable_residual(self, enabled: bool) -> tuple[bool, str]:
        """The switch of learnt residuals; off counts from the next tick on."""
        self.residual.enabled = enabled
        return True, f"the residual is {'on' if enabled else 'off'}"

    def offer_teleop(self, stamp_ns: int, action: np.ndarray, device: str = SOMEBODY) -> None:
        """A teleop action (dim,) of `device`; it counts while teleop has authority and that device the robot.

        The robot follows what the person moves from the take-over on, if the device was streaming by then; otherwise
        from the device's first action on.
        """
        checked = checked_action(action, self._layout)
        before = self._operators.streamed(device, stamp_ns, checked, self._tick_ns)
        if self.authority is Authority.TELEOP:
            self._operators.hear(device, stamp_ns)
            self._hands.offer(stamp_ns, checked, before)

    def offer_rewind(self, stamp_ns: int, speed: float, device: str = SOMEBODY) -> None:
        """How fast a person wants to go along the path: -1 back to 1 forward; it counts while rewinding."""
        if not math.isfinite(speed) or abs(speed) > 1.0:
            raise Refused(f"path.speed is {speed}, allowed are -1 (back) to 1 (forward)")
        self._operators.check_stamp(stamp_ns, self._wish[0] if self._wish else -1, self._tick_ns)
        if self.authority is Authority.REWIND:
            self._operators.hear(device, stamp_ns)
            self._wish = stamp_ns, speed

    def policy_action(self) -> np.ndarray | None:
        """(dim,) what the policy wants at the newest tick, whoever has authority; None where no chunk covers it."""
        return self._chunks.wanted(self._tick_ns)

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
        provenance = self._play(stamp_ns, gap * 1e-9, measured)
        if self._rewind is None:
            self._path.add(measured, self._limiter.reference)
        has_person = self.authority in (Authority.TELEOP, Authority.REWIND)
        return self._limiter.reference, replace(
            provenance, epoch=self.epoch, operator=self._operators.device if has_person else "",
            segment=self.segments.of(self.authority, provenance.source).value,
        )  # fmt: skip

    def is_restart(self, stamp_ns: int) -> bool:
        """True when a tick at `stamp_ns` would be the first of another run of the world."""
        return self._measured is None or not 0 <= stamp_ns - self._tick_ns <= RESTART_GAP_NS

    def _restart(self, measured: np.ndarray) -> None:
        """Another run of the world: nobody commands; a stop stays a stop, only a person releases it."""
        if self._measured is not None:
            self._enter(Authority.STOPPED if self.authority is Authority.STOPPED else Authority.NONE)
        self._chunks.restart()
        self._operators.restart()
        self._path.clear()
        self.segments.restart()
        self._limiter = ReferenceLimiter(measured, self._layout)

    def _play(self, now_ns: int, dt: float, measured: np.ndarray) -> Provenance:
        if self.authority is Authority.POLICY:
            return self._chunks.play(now_ns, dt, self._limiter)
        if self.authority is Authority.TELEOP:
            return self._hands.play(now_ns, dt, self._limiter)
        if self._rewind is not None:
            return self._play_rewind(self._rewind, now_ns, dt, measured)
        self._limiter.brake(dt)
        return Provenance(now_ns, "hold", self.authority.value)

    def _play_rewind(self, rewind: Rewind, now_ns: int, dt: float, measured: np.ndarray) -> Provenance:
        stamp_ns, speed = self._wish or (now_ns, 0.0)
        is_held = now_ns - stamp_ns <= TELEOP_LEASE_NS and speed != 0.0
        target, reason = rewind.advance(speed if is_held else 0.0, measured, dt)
        clamped = self._limiter.follow(target, dt)
        return Provenance(now_ns, "rewind", reason if is_held else "rewind is not held", clamped=clamped,
                          way_back_s=rewind.left)
