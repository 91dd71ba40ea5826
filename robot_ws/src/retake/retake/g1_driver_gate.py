"""Whether the motors may move: pure, fed by the driver with states, buttons and commands, and with time.

checking: nothing has been found good yet, nothing is sent. ready: all is good, the motors are damped, START on the
remote sets them going. active: joint commands pass; gains and set-points rise from the measured pose over `ramp_s`.
damped: something ended it (L2+B, a lease, a rival, a lost robot) and stays so until START, an explicit act of somebody
who stands by the robot.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from controllers import g1
from controllers.compiled import compiled

START, STOP = "start", frozenset({"L2", "B"})
LEASE_NS = round(g1.JOINT_COMMAND_LEASE_PERIODS * g1.CONTROL_DT * 1e9)


class Phase(str, Enum):
    """See the module."""

    CHECKING = "checking"
    READY = "ready"
    ACTIVE = "active"
    DAMPED = "damped"


@dataclass(frozen=True, slots=True)
class Command:
    """A joint command: arrays (29,), the stamp of the state it answers, `damp` for the damping gains."""

    stamp_ns: int
    q_des: np.ndarray
    dq_des: np.ndarray
    tau_ff: np.ndarray
    damp: bool


@dataclass(frozen=True, slots=True)
class Setpoints:
    """What the motors are given: `rows` (5, 29) q, dq, tau, kp, kd. `share`: how far the ramp has come, 0 damping."""

    rows: np.ndarray
    share: float


_DAMPING = np.zeros((5, g1.NUM_JOINTS))
_DAMPING[4] = g1.KD_DAMP


def damping(q: np.ndarray) -> Setpoints:
    """Set-points that only brake; `q` (29,) as measured."""
    rows = _DAMPING.copy()
    rows[0] = q
    return Setpoints(rows, 0.0)


class Gate:
    """Times are seconds of a monotonic clock, stamps ns of the states."""

    def __init__(self, ramp_s: float) -> None:
        self._ramp_s = ramp_s
        self.phase, self.reason = Phase.CHECKING, "not checked yet"
        self.blocked = ""  # why START would not be obeyed now; the driver sets it
        self.refusal = ""  # why the last START was not
        self.command: Command | None = None
        self._held: frozenset[str] = frozenset()
        self._began_s = 0.0
        self._q_start = g1.Q_HOME
        self._stamp = 0  # of the newest state

    def found_good(self) -> None:
        """The checks have passed."""
        if self.phase is Phase.CHECKING:
            self.phase, self.reason = Phase.READY, "press START on the remote to let the motors move"

    def check_again(self, reason: str) -> None:
        """The robot may be another one than before."""
        self.phase, self.reason, self.command = Phase.CHECKING, reason, None

    def damp(self, reason: str) -> bool:
        """Stop moving; True when that is news."""
        if self.phase is not Phase.ACTIVE:
            return False
        self.phase, self.reason = Phase.DAMPED, f"{reason}: damping until START on the remote"
        return True

    def on_state(self, stamp_ns: int, q: np.ndarray, held: frozenset[str], now_s: float) -> None:
        """A state with `q` (29,) and the buttons held on the remote."""
        self._stamp = stamp_ns
        pressed, self._held = held - self._held, held
        if STOP <= held:
            self.damp("L2+B on the remote")
        elif START in pressed:
            self._start(q, now_s)
        if self.phase is Phase.ACTIVE and (self.command is None or stamp_ns - self.command.stamp_ns > LEASE_NS):
            self.damp(f"no joint_command for {LEASE_NS / 1e6:.0f} ms")

    def on_command(self, command: Command) -> None:
        """A command that answers one of the newest states."""
        self.command = command

    def _start(self, q: np.ndarray, now_s: float) -> None:
        if self.phase not in (Phase.READY, Phase.DAMPED):
            return
        is_fresh = self.command is not None and self._stamp - self.command.stamp_ns <= LEASE_NS
        self.refusal = self.blocked or ("" if is_fresh else "no joint_command comes; start the controller")
        if not self.refusal:
            self.phase, self.reason = Phase.ACTIVE, ""
            self._began_s, self._q_start = now_s, q

    def setpoints(self, q: np.ndarray, now_s: float) -> Setpoints:
        """What the motors should have now, clamped to their limits; `q` (29,) as measured."""
        command = self.command
        if self.phase is not Phase.ACTIVE or command is None or command.damp:
            return damping(q)
        rows, share = np.empty((5, g1.NUM_JOINTS)), min(1.0, (now_s - self._began_s) / self._ramp_s)
        _ramped(command.q_des, command.dq_des, command.tau_ff, self._q_start, share, rows)
        return Setpoints(rows, share)


@compiled
def _ramped(q_des, dq_des, tau_ff, q_start, share, rows):
    """Clamped set-points and gains (5, 29), `share` of the way from a braked robot at `q_start`."""
    for i in range(q_des.size):
        q = min(max(q_des[i], g1.Q_LOWER[i]), g1.Q_UPPER[i])
        rows[0, i] = q_start[i] + share * (q - q_start[i])
        rows[1, i] = share * dq_des[i]
        rows[2, i] = share * min(max(tau_ff[i], -g1.TAU_MAX[i]), g1.TAU_MAX[i])
        rows[3, i] = share * g1.KP[i]
        rows[4, i] = g1.KD_DAMP[i] + share * (g1.KD[i] - g1.KD_DAMP[i])
