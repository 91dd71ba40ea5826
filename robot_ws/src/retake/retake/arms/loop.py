"""The thread that talks to the arms: 250 cycles a second, whatever the rest of the process does.

Each cycle sends every motor its set-point and reads it. Without a fresh command, or with a problem, the arms hold where
they are, carried against gravity, and grip as they did; only a person's `clear_errors` ends a problem. After a start or
a release the gains rise from zero within RAMP_S. When the thread ends, the motors damp by their own timeout.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from controllers import arm
from controllers.arm_model import ArmModel
from controllers.joint_command import JointCommand
from controllers.rigs import Rig
from retake.arms.link import ArmLink
from retake.errors import UserError

RAMP_S = 1.0
LATE_S = 0.002  # a cycle that begins later than this is counted


@dataclass(frozen=True)
class Leased:
    """A command and until when (monotonic, s) it counts."""

    command: JointCommand
    until_s: float


class ArmLoop(threading.Thread):
    """The thread writes `refusal`, `problem`, `is_holding` and the counters; others write `leased` and the events."""

    def __init__(
        self, rig: Rig, links: Sequence[ArmLink], clear_errors: bool, patience_s: float,
        publish: Callable[[np.ndarray, np.ndarray, np.ndarray, JointCommand], None],
    ) -> None:  # fmt: skip
        """`publish(q, dq, tau_est, applied)` is called in this thread after each cycle in which every motor is known,
        arrays (joints,)."""
        super().__init__(name="arms", daemon=True)
        assert rig.arms is not None
        self._links, self._clear, self._publish = links, clear_errors, publish
        self._patience_s = patience_s
        self._model = ArmModel(rig.arms)
        count, d = len(links), rig.arms.description
        self._kp, self._kd = (np.tile(np.append(gain, grip), count) for gain, grip in (
            (d.kp, arm.GRIPPER_KP), (d.kd, arm.GRIPPER_KD)))
        self._lower, self._upper = np.tile(np.append(d.q_lower, 0.0), count), np.tile(np.append(d.q_upper, 1.0), count)
        self._tau_max = np.tile(np.append(d.tau_max, arm.GRIPPER_TAU_MAX), count)
        self._grippers = np.arange(6, 7 * count, 7)
        self._arms = np.delete(np.arange(7 * count), self._grippers)
        self._held: np.ndarray | None = None
        self._grip = np.ones(count)
        self._ramp_from_s = 0.0
        self.leased: Leased | None = None
        self.stop, self.release = threading.Event(), threading.Event()
        self.refusal: UserError | None = None
        self.problem = ""
        self.is_holding = True
        self.cycles = self.late = self.missed = 0

    def run(self) -> None:
        """Check, enable, home; then cycle until `stop` or until the bus refuses."""
        try:
            until_s = time.monotonic() + self._patience_s
            for link in self._links:
                while not link.is_powered() and time.monotonic() < until_s and not self.stop.is_set():
                    time.sleep(0.1)
                link.check()
            self._enable()
            homing = [link.home_gripper(partial(self._gravity_of, k)) for k, link in enumerate(self._links)]
            self._repeat(lambda: all([next(steps) for steps in homing]))  # a list: every arm gets its exchange
            self._ramp_from_s = time.monotonic()
            self._repeat(self._cycle)
        except UserError as error:
            self.refusal = error
        finally:
            for link in self._links:
                link.bus.close()

    def _repeat(self, act: Callable[[], bool | None]) -> None:
        """Call `act` every CONTROL_DT until it answers True, or until `stop`."""
        due = time.monotonic()
        while not self.stop.is_set() and not act():
            due += arm.CONTROL_DT
            ahead = due - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
            elif ahead < -LATE_S:
                self.late, due = self.late + 1, time.monotonic()

    def _enable(self) -> None:
        for link in self._links:
            link.enable(self._clear)

    def _cycle(self) -> None:
        if self.release.is_set():
            self.release.clear()
            for link in self._links:
                link.enable(clear_errors=True)
            self.problem, self._held, self._ramp_from_s = "", None, time.monotonic()
        now = time.monotonic()
        leased = self.leased
        self.is_holding = leased is None or now > leased.until_s or bool(self.problem)
        command = self._holding() if self.is_holding or leased is None else self._following(leased.command)
        share = min(1.0, (now - self._ramp_from_s) / RAMP_S)
        kp = self._kp * share
        for k, link in enumerate(self._links):
            part = slice(7 * k, 7 * k + 7)
            link.exchange(command.q_des[part], command.dq_des[part], command.tau_ff[part], kp[part], self._kd[part])
            self.missed += link.missed
        self.problem = self.problem or next((text for link in self._links if (text := link.problem())), "")
        self.cycles += 1
        if all(link.is_fresh for link in self._links):  # an old position must not get a new stamp
            self._publish(self._stacked("q"), self._stacked("dq"), self._stacked("tau"), command)

    def _following(self, command: JointCommand) -> JointCommand:
        """The command inside the limits of joints and motors."""
        self._held = None
        q_des = np.minimum(np.maximum(command.q_des, self._lower), self._upper)
        self._grip = q_des[self._grippers]
        tau_ff = np.minimum(np.maximum(command.tau_ff, -self._tau_max), self._tau_max)
        return JointCommand(q_des, command.dq_des, tau_ff)

    def _holding(self) -> JointCommand:
        """The joints where they were when holding began, carried; the grip as it was last asked for."""
        q = self._stacked("q")
        if self._held is None:
            self._held = q.copy()
            self._held[self._grippers] = self._grip
        tau = np.zeros(len(q))
        zero = np.zeros(self._model.n)
        tau[self._arms] = self._model.inverse_dynamics(q[self._arms], zero, zero)
        return JointCommand(self._held, np.zeros(len(q)), tau)

    def _gravity_of(self, k: int, q: np.ndarray) -> np.ndarray:
        """(6,) torques that carry arm k at joints q (6,)."""
        whole = np.zeros(self._model.n)
        whole[self._model.joints[k]] = q
        zero = np.zeros(self._model.n)
        return self._model.inverse_dynamics(whole, zero, zero)[self._model.joints[k]]

    def _stacked(self, name: str) -> np.ndarray:
        return np.concatenate([getattr(link, name) for link in self._links])
