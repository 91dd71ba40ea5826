"""The G1 on its wire: one thread that takes states, runs the checks, and damps; commands pass through `command`.

Two threads: the link's own waits for DDS and does everything that states bring about; the node's executor brings joint
commands. `_lock` guards what both touch: the gate, the body's encoder, the stamps. What the link has to say to people
it leaves in `news`, which the node takes.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from controllers.g1 import NUM_JOINTS
from retake.errors import UserError
from retake.g1.body import Body, Steps
from retake.g1.checks import STATE_TOPIC, Checks
from retake.g1.gate import LEASE_NS, Gate, Phase
from retake.unitree.checks import MODE_MACHINE
from retake.unitree.dds import Bus
from retake.unitree.guard import Guard
from retake.unitree.idl import LowCmd_, LowState_
from retake.unitree.remote import REMOTE_BYTES, decode_remote
from retake.unitree.tick import TickClock
from retake.unitree.wire import WireError, read_state

WAIT_S = 0.02  # the thread looks around so often when nothing comes
SILENT_S = 0.1  # without a state for so long: the cable, or the robot
GONE_S = 0.5  # and for so long: what comes then may be another robot; check it again
ENDLESS_S = 1e9
RETRY_S = 1.0
WATCH_S = 1.0
POLL_CYCLES = 10  # others than the robot are looked at in every tenth cycle, 20 ms
GUARD_S = 5.0


class Link:
    """See the module."""

    def __init__(
        self, bus: Bus, body: Body, gate: Gate, battery_min_percent: int,
        on_state: Callable[[int, np.ndarray, np.ndarray], None],
        on_applied: Callable[[int, np.ndarray, np.ndarray], None],
    ) -> None:  # fmt: skip
        """Stamps in ns. `on_state(stamp, joints, imu)`, joints (3, 29) q, dq, tau_est and imu (10,) quaternion x y z w,
        gyro, accel, is called by the link's thread; `on_applied(stamp, set-points (5, 29), q)` by either, locked.
        """
        self._bus, self._body, self._gate = bus, body, gate
        self._on_state, self._on_applied = on_state, on_applied
        self._states = bus.reader(STATE_TOPIC, LowState_, depth=8, wakes=True)
        self._commands = bus.writer(body.topic, LowCmd_)
        self.checks = Checks(bus, body, battery_min_percent)
        self._clock, self._lock = TickClock(), threading.Lock()
        self._stamps: dict[int, float] = {}  # of the states of the last 100 ms, with the time of arrival, s
        self._joints, self._imu = np.zeros((3, NUM_JOINTS)), np.zeros(10)  # of the newest state
        self._q = self._joints[0]
        self._remote = b""
        self._held: frozenset[str] = frozenset()  # buttons
        self._heard_s = self._watched_s = time.monotonic()
        self._guard: Guard | None = None
        self._script: Steps | None = None
        self._retry_s = 0.0
        self._said = ""
        self.news: deque[tuple[str, str, str | None]] = deque(maxlen=100)  # kind (trouble, refuse), name, text
        self.ages_ms: deque[float] = deque(maxlen=500)  # state to command, as this machine sees it
        self._thread: threading.Thread | None = None
        self._cycles = 0
        self._is_ended = False
        self.is_broken = False

    def open(self, patience_s: float) -> None:
        """Check everything in the caller's thread, then go on in the link's own.

        Raises:
            UserError: the first thing that forbids to move this robot.
        """
        script = self._found_good(patience_s)
        while self._advances(script):
            self._cycle()
        self._gate.found_good()
        self._thread = threading.Thread(target=self._run, name="g1_link")
        self._thread.start()

    def close(self) -> None:
        """Brake the robot and leave the wire."""
        self._is_ended = True
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._guard is not None:
            self._guard.release()
            self._guard = None

    def command(self, stamp_ns: int, rows: np.ndarray, damp: bool) -> None:
        """Pass a command on when the gate is open; `rows` (3, 29) q_des, dq_des, tau_ff, `damp` as the gate has it.

        Raises:
            ValueError: it answers no state of the last 100 ms, or an older one than the one before; not finite.
        """
        gate = self._gate
        with self._lock:
            arrived_s = self._stamps.get(stamp_ns)
            if arrived_s is None:
                raise ValueError(f"{stamp_ns} ns answers no state of the last {LEASE_NS / 1e6:.0f} ms")
            if stamp_ns <= gate.command_ns:
                raise ValueError(f"{stamp_ns} ns is not newer than {gate.command_ns} ns")
            gate.on_command(stamp_ns, rows, damp)
            if gate.phase is Phase.ACTIVE:
                now_s = time.monotonic()
                self._send(stamp_ns, now_s)
                self.ages_ms.append(1e3 * (now_s - arrived_s))

    # The link's thread

    def _run(self) -> None:
        try:
            while not self._is_ended:
                self._cycle()
                if self._gate.phase is Phase.CHECKING or self._cycles % POLL_CYCLES == 0:
                    self._check_again()
                    self._watch()
        finally:
            if not self._is_ended:  # an exception: nothing may be sent any more, and the node must end
                self.is_broken = True
                self._gate.check_again("the link has failed")

    def _cycle(self) -> None:
        """Wait for a state or WAIT_S, and take what is there."""
        self._bus.wait(WAIT_S)
        now_s, arrival_ns = time.monotonic(), time.time_ns()
        for data in self._states.take():
            self._take(data, now_s, arrival_ns)
        self._cycles += 1
        if self._cycles % POLL_CYCLES and now_s - self._heard_s < SILENT_S:
            return
        self.checks.poll(now_s)
        rival = self.checks.rival(now_s)
        with self._lock:
            self._gate.blocked = rival
            silent_s = now_s - self._heard_s
            if rival:
                self._gate.damp(rival)
            if silent_s > SILENT_S and self._gate.phase is not Phase.CHECKING:
                self._gate.damp(f"no state from the robot for {1e3 * SILENT_S:.0f} ms")
                self._send(next(reversed(self._stamps)), now_s)  # it may still hear us
                if silent_s > GONE_S:
                    self._gate.check_again(f"no state from the robot for {GONE_S} s")
                    self.checks.data = None

    def _take(self, data: bytes, now_s: float, arrival_ns: int) -> None:
        """One state: let the gate see it, and publish it."""
        gate = self._gate
        with self._lock:
            try:
                tick, mode_machine = read_state(data, self._joints, self._imu)
            except WireError as error:
                self.checks.refused = str(error)
                self.news.append(("refuse", STATE_TOPIC, str(error)))
                return
            if (remote := data[REMOTE_BYTES]) != self._remote:
                self._remote, self._held = remote, decode_remote(remote).buttons
            stamp = self._clock.stamp(tick, arrival_ns)
            self._heard_s, self.checks.data, stamps = now_s, data, self._stamps
            stamps[stamp] = now_s
            while stamp - (oldest := next(iter(stamps))) > LEASE_NS:
                del stamps[oldest]
            if mode_machine != MODE_MACHINE and gate.phase is not Phase.CHECKING:
                gate.damp(f"mode_machine changed to {mode_machine}")
                gate.check_again("the robot changed its mode_machine")
            gate.on_state(stamp, self._q, self._held, now_s)
            if gate.phase is not Phase.ACTIVE and gate.phase is not Phase.CHECKING:
                self._send(stamp, now_s)
            is_silent = gate.is_silent(now_s)
        if not is_silent:
            self._on_state(stamp, self._joints, self._imu)

    def _send(self, stamp_ns: int, now_s: float) -> None:
        """Give the motors what the gate allows now; the lock is held."""
        gate = self._gate
        share = gate.update(self._q, now_s)
        self._commands.write(self._body.frame(gate.setpoints, share))
        self._on_applied(stamp_ns, gate.setpoints, self._q)

    # Checks, in steps between the states

    def _found_good(self, patience_s: float) -> Steps:
        """All checks, and a guard that is ready."""
        yield from self.checks.script(patience_s)
        if self._guard is None:
            self._body.set_mode_machine(MODE_MACHINE)
            self._guard = Guard(self._bus, self._body.topic, self._body.farewell())
        end = time.monotonic() + GUARD_S
        while not self._guard.is_ready:
            if not self._guard.is_alive or time.monotonic() > end:
                raise UserError("the guard process that brakes the robot when this driver dies does not start; "
                                "a driver that cannot stop the robot does not start it")
            yield

    @staticmethod
    def _advances(script: Steps) -> bool:
        try:
            next(script)
        except StopIteration:
            return False
        return True

    def _check_again(self) -> None:
        """While checking: go on with the script, from the start a while after each refusal."""
        if self._gate.phase is not Phase.CHECKING:
            self._script = None
            return
        if self._script is None:
            if time.monotonic() < self._retry_s:
                return
            self._script = self._found_good(ENDLESS_S)
        try:
            if self._advances(self._script):
                return
            with self._lock:
                self._gate.found_good()
            self.news.append(("trouble", "check", None))
        except UserError as refusal:
            self.news.append(("trouble", "check", str(refusal)))
            self._retry_s = time.monotonic() + RETRY_S
        self._script = None

    def _watch(self) -> None:
        """Say what changed; once a second look at temperatures, battery and guard."""
        gate, now_s = self._gate, time.monotonic()
        if (said := f"{gate.phase.value}: {gate.reason}") != self._said:
            self._said = said
            self.news.append(("trouble", "motors", None))
            self.news.append(("trouble", "motors", said if gate.phase is not Phase.ACTIVE else None))
        if gate.refusal:
            self.news.append(("refuse", "remote", gate.refusal))
            gate.refusal = ""
        if now_s - self._watched_s < WATCH_S:
            return
        self._watched_s = now_s
        self.news.extend(("trouble", name, text) for name, text in self.checks.troubles().items())
        if self._guard is not None and not self._guard.is_alive:
            with self._lock:
                gate.damp("the guard process has ended")
                gate.check_again("the guard process has ended")
            self._guard = None
