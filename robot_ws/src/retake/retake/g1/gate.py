"""Whether the motors may move: pure, fed by the driver with states, buttons and commands, and with time.

checking: nothing has been found good yet, nothing is sent. ready: all is good, the motors are damped. START on the
remote: posture, the joints go to the standing posture over `ramp_s` and hold it, in the gantry or on the floor. A, once
they are there: handing over, the robot's topics fall silent for GAP_S, so that everybody starts anew from this posture,
and with the first command after it: active, joint commands pass, blended in over half of `ramp_s`. damped: something
ended it (L2+B, a lease, a rival, a lost robot) and stays so until START, an explicit act of somebody beside the robot.
START, A and L2+B are what Unitree's own examples use.
"""

from __future__ import annotations

from enum import Enum

import numpy as np

from controllers import g1
from controllers.compiled import compiled

START, GO, STOP = "start", "A", frozenset({"L2", "B"})
NEVER = -(10**18)
LEASE_NS = round(g1.JOINT_COMMAND_LEASE_PERIODS * g1.CONTROL_DT * 1e9)
GAP_S = 0.6  # more than the half second that means another run of the world to every node
ANSWER_S = 2.0  # for the first command after it
# `ours`: the posture is held without feed-forward, against gravity
KP_POSTURE, KD_POSTURE = 2.0 * g1.KP, 2.0 * g1.KD


class Phase(str, Enum):
    """See the module."""

    CHECKING = "checking"
    READY = "ready"
    POSTURE = "posture"
    HANDING = "handing over"
    ACTIVE = "active"
    DAMPED = "damped"


MOVING = (Phase.POSTURE, Phase.HANDING, Phase.ACTIVE)
SAYS = {
    Phase.READY: "START on the remote brings the robot into its standing posture",
    Phase.POSTURE: "A on the remote hands it to the controller, once its feet are on the floor",
    Phase.HANDING: "waiting for the controller",
    Phase.ACTIVE: "",
}


class Gate:
    """Times are seconds of a monotonic clock, stamps ns of the states."""

    def __init__(self, ramp_s: float) -> None:
        self._ramp_s = ramp_s
        self.phase, self.reason = Phase.CHECKING, "not checked yet"
        self.blocked = ""  # why the buttons would not be obeyed now; the driver sets it
        self.refusal = ""  # why the last one was not
        self.command_ns = NEVER  # stamp of the newest command
        self._command = np.zeros((3, g1.NUM_JOINTS))
        self._asks_damping = False
        self.setpoints = np.zeros((5, g1.NUM_JOINTS))  # q, dq, tau, kp, kd: what `update` has made
        self._held: frozenset[str] = frozenset()
        self._began_s = 0.0  # of the phase
        self._q_start = g1.Q_HOME

    def found_good(self) -> None:
        """The checks have passed."""
        if self.phase is Phase.CHECKING:
            self._enter(Phase.READY, 0.0)

    def check_again(self, reason: str) -> None:
        """The robot may be another one than before."""
        self.phase, self.reason, self.command_ns = Phase.CHECKING, reason, NEVER

    def damp(self, reason: str) -> bool:
        """Stop moving; True when that is news."""
        if self.phase not in MOVING:
            return False
        self.phase, self.reason = Phase.DAMPED, f"{reason}: damping until START on the remote"
        return True

    def is_silent(self, now_s: float) -> bool:
        """The robot's topics rest, so that everybody starts anew."""
        return self.phase is Phase.HANDING and now_s - self._began_s < GAP_S

    def on_state(self, stamp_ns: int, q: np.ndarray, held: frozenset[str], now_s: float) -> None:
        """A state with `q` (29,) and the buttons held on the remote."""
        pressed, self._held = held - self._held, held
        if STOP <= held:
            self.damp("L2+B on the remote")
        elif START in pressed and self.phase in (Phase.READY, Phase.DAMPED):
            self.refusal, self._q_start = self.blocked, q.copy()
            if not self.blocked:
                self._enter(Phase.POSTURE, now_s)
        elif GO in pressed and self.phase is Phase.POSTURE:
            self.refusal = self.blocked or ("" if self._ramp(now_s) == 1.0 else "the posture is not reached yet")
            if not self.refusal:
                self._enter(Phase.HANDING, now_s)
        elif self.phase is Phase.HANDING:
            self._hand_over(now_s)
        elif self.phase is Phase.ACTIVE and stamp_ns - self.command_ns > LEASE_NS:
            self.damp(f"no joint_command for {LEASE_NS / 1e6:.0f} ms")

    def on_command(self, stamp_ns: int, rows: np.ndarray, damp: bool) -> None:
        """A command (3, 29) q_des, dq_des, tau_ff for the state at `stamp_ns`; `damp` asks for the damping gains.

        Raises:
            ValueError: a number that is not finite.
        """
        if not _copy_finite(rows, self._command):
            self._asks_damping = True
            raise ValueError("a number of the command is not finite; damping")
        self.command_ns, self._asks_damping = stamp_ns, damp

    def update(self, q: np.ndarray, now_s: float) -> float:
        """Set `setpoints` to what the motors should have now, clamped to their limits; `q` (29,) as measured.

        Returns how far the robot is ours: 0 while damping, 1 when the posture is reached.
        """
        phase, rows = self.phase, self.setpoints
        if phase is Phase.ACTIVE and not self._asks_damping:
            _blend(self._command, min(1.0, 2.0 * self._ramp(now_s)), rows)
            return 1.0
        if phase is Phase.POSTURE or phase is Phase.HANDING:
            share = self._ramp(now_s) if phase is Phase.POSTURE else 1.0
            _to_posture(self._q_start, share, rows)
            return share
        _damp(q, rows)
        return 0.0

    def _ramp(self, now_s: float) -> float:
        return min(1.0, (now_s - self._began_s) / self._ramp_s)

    def _enter(self, phase: Phase, now_s: float) -> None:
        self.phase, self.reason, self._began_s = phase, SAYS[phase], now_s

    def _hand_over(self, now_s: float) -> None:
        """After the gap the first command opens the gate; without one, back to the posture that was never left."""
        if self.is_silent(now_s):
            self.command_ns = NEVER
        elif self.command_ns != NEVER:
            self._enter(Phase.ACTIVE, now_s)
        elif now_s - self._began_s > GAP_S + ANSWER_S:
            self.refusal = "no joint_command comes; start the controller, then press A again"
            self._enter(Phase.POSTURE, now_s - self._ramp_s)
            self._q_start = g1.Q_HOME


@compiled
def _copy_finite(rows, to):
    """Copy (3, n) and tell whether all are finite."""
    total = 0.0
    for k in range(3):
        for i in range(to.shape[1]):
            to[k, i] = rows[k, i]
            total += rows[k, i]
    return total - total == 0.0


@compiled
def _damp(q, rows):
    """Set-points and gains (5, 29) that only brake."""
    for i in range(q.size):
        rows[0, i] = q[i]
        rows[1, i] = rows[2, i] = rows[3, i] = 0.0
        rows[4, i] = g1.KD_DAMP[i]


@compiled
def _to_posture(q_start, share, rows):
    """Set-points and gains (5, 29) `share` of the way from a braked robot at `q_start` to the standing posture."""
    for i in range(q_start.size):
        rows[0, i] = q_start[i] + share * (g1.Q_HOME[i] - q_start[i])
        rows[1, i] = rows[2, i] = 0.0
        rows[3, i] = share * KP_POSTURE[i]
        rows[4, i] = g1.KD_DAMP[i] + share * (KD_POSTURE[i] - g1.KD_DAMP[i])


@compiled
def _blend(command, share, rows):
    """Clamped set-points and gains (5, 29), `share` of the way from the standing posture to the command (3, 29)."""
    for i in range(command.shape[1]):
        q = min(max(command[0, i], g1.Q_LOWER[i]), g1.Q_UPPER[i])
        rows[0, i] = g1.Q_HOME[i] + share * (q - g1.Q_HOME[i])
        rows[1, i] = share * command[1, i]
        rows[2, i] = share * min(max(command[2, i], -g1.TAU_MAX[i]), g1.TAU_MAX[i])
        rows[3, i] = KP_POSTURE[i] + share * (g1.KP[i] - KP_POSTURE[i])
        rows[4, i] = KD_POSTURE[i] + share * (g1.KD[i] - KD_POSTURE[i])


def damping_rows() -> np.ndarray:
    """(5, 29) set-points that only brake, for a robot whose posture nobody knows."""
    rows = np.zeros((5, g1.NUM_JOINTS))
    _damp(np.zeros(g1.NUM_JOINTS), rows)
    return rows
