"""One YAM arm at the end of its CAN cable: checked, enabled, homed, then one exchange a cycle in the rig's units.

Arrays (7,) are joint1 to joint6 in rad and the gripper's opening, 0 closed to 1 open; torques N·m of the motors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from controllers import arm
from retake.arms import dm_motor
from retake.arms.dm_bus import BusError, MotorBus
from retake.arms.dm_motor import ENABLED, ERRORS, LOST_COMMUNICATION, MOTOR_TYPES

ANSWER_S = 0.003  # of a 4 ms cycle; seven answers take 1.8 ms
SILENT_CYCLES = 25  # 100 ms without an answer: the motor is gone
POSE_PLAY = 0.15  # rad beyond a limit that a zero may be off
RANGE_PLAY = 0.01
HOMING_TAU, HOMING_SPEED = 0.3, 0.2  # N·m; rad/s below which the fingers stand
STALLED_CYCLES, HOMING_CYCLES = 75, 1500  # so long they must, and so long they may take


class ArmLink:
    """Seven motors, or six of an arm without a gripper (arrays (6,) then); use it from one thread."""

    def __init__(self, bus: MotorBus, names: tuple[str, ...]) -> None:
        """`names` (7,) or (6,) of the joints, as messages have them."""
        self.bus, self.names = bus, names
        n = len(names)
        self._motors = arm.YAM_MOTORS[:n]
        self._ids = [motor for motor, _ in self._motors]
        self._kinds = {motor: MOTOR_TYPES[kind] for motor, kind in self._motors}
        self.q, self.dq, self.tau = np.zeros(n), np.zeros(n), np.zeros(n)
        self.mos_c, self.rotor_c = np.zeros(n), np.zeros(n)
        self._missed = np.zeros(n, dtype=int)  # cycles in a row
        self._codes = np.full(n, ENABLED)
        self._closed, self._stroke = 0.0, arm.GRIPPER_TURN  # rad of the gripper's motor

    def is_powered(self) -> bool:
        """True when the first motor answers."""
        return self.bus.read(self._ids[0], dm_motor.CTRL_MODE) is not None

    def check(self) -> None:
        """Ask every motor who it is.

        Raises:
            BusError: one is missing, another type, in another mode, or does not stop by itself.
        """
        for (motor, kind), name in zip(self._motors, self.names, strict=True):
            what = f"motor {motor} ({name}) on {self.bus.channel}"
            mode = self.bus.read(motor, dm_motor.CTRL_MODE)
            if mode is None:
                raise BusError(f"{what} does not answer; those that do: {self.bus.present() or 'none'}; check power "
                               "and cable, and that every motor has its id (Damiao's tool sets it)")
            if mode != dm_motor.MIT_MODE:
                raise BusError(f"{what} is in control mode {mode}, allowed is {dm_motor.MIT_MODE} (MIT); set it with "
                               "Damiao's tool")
            expected = MOTOR_TYPES[kind]
            ranges = [self.bus.read(motor, register) for register in (dm_motor.PMAX, dm_motor.VMAX, dm_motor.TMAX)]
            wanted = (expected.p_max, expected.v_max, expected.t_max)
            if any(r is None or abs(r - w) > RANGE_PLAY * w for r, w in zip(ranges, wanted, strict=True)):
                raise BusError(f"{what} has ranges {ranges}, a {kind} has {list(wanted)}; it is another motor, or its "
                               "ranges were changed: set them with Damiao's tool")
            timeout = self.bus.read(motor, dm_motor.TIMEOUT)
            if not timeout or timeout * dm_motor.TIMEOUT_UNIT_S > 2 * arm.MOTOR_TIMEOUT_S:
                wanted_timeout = round(arm.MOTOR_TIMEOUT_S / dm_motor.TIMEOUT_UNIT_S)
                raise BusError(f"{what} would go on for ever when this driver dies (its timeout is {timeout}); set it "
                               f"to {wanted_timeout} (i2rt's set_timeout.py --timeout)")

    def enable(self, clear_errors: bool) -> None:
        """Switch the motors on, at rest. Errors stay unless a person says `clear_errors`; that a motor has lost its
        driver before is none.

        Raises:
            BusError: a motor has an error, or a joint is where it cannot be.
        """
        for index, (motor, name) in enumerate(zip(self._ids, self.names, strict=True)):
            what = f"motor {motor} ({name}) on {self.bus.channel}"
            feedback = self.bus.command(motor, self._kinds[motor], dm_motor.special(dm_motor.ENABLE))
            if feedback is not None and feedback.code in ERRORS:
                if not clear_errors and feedback.code != LOST_COMMUNICATION:
                    problem, remedy = ERRORS[feedback.code]
                    raise BusError(f"{what}: {problem}; {remedy}, then start with clear_errors:=true")
                self.bus.command(motor, self._kinds[motor], dm_motor.special(dm_motor.CLEAR))
                feedback = self.bus.command(motor, self._kinds[motor], dm_motor.special(dm_motor.ENABLE))
            if feedback is None or feedback.code != ENABLED:
                raise BusError(f"{what} cannot be switched on ({feedback}); switch the arm's power off and on")
            self._take(index, feedback)
        low, high = arm.YAM.q_lower - POSE_PLAY, arm.YAM.q_upper + POSE_PLAY
        for k in np.flatnonzero((self.q[:6] < low) | (self.q[:6] > high)):
            raise BusError(f"{self.names[k]} says {self.q[k]:.2f} rad, allowed are {low[k]:.2f} to {high[k]:.2f}: its "
                           "zero is lost; put the arm into its zero pose and set it (i2rt's set_zero.py)")

    def home_gripper(self, hold: Callable[[np.ndarray], np.ndarray]) -> Iterator[bool]:
        """Close and open the fingers until they stand: where that is, the opening is 0 and 1.

        One exchange for each item asked for, which is True once the gripper is homed; the arm is held meanwhile, and
        after it, so that several arms can be homed together.

        Args:
            hold: gravity torques (6,) for joints (6,).

        Raises:
            BusError: the stroke is not a gripper's.
        """
        self._closed, self._stroke = 0.0, 1.0  # opening is the motor's angle now
        q_des = self.q.copy()
        ends: list[float] = []
        for torque in (-HOMING_TAU, HOMING_TAU):
            still = 0  # answers in a row that say so
            for cycle in range(HOMING_CYCLES):
                self._push(q_des, hold, torque)
                if self._missed[6] == 0:
                    still = still + 1 if abs(self.dq[6]) < HOMING_SPEED and cycle > STALLED_CYCLES else 0
                if still > STALLED_CYCLES:
                    break
                yield False
            ends.append(float(self.q[6]))
        closed, opened = ends
        if abs(opened - closed - arm.GRIPPER_TURN) > arm.GRIPPER_STROKE_PLAY:
            raise BusError(f"the gripper on {self.bus.channel} turns {opened - closed:.2f} rad from closed to open, "
                           f"expected are {arm.GRIPPER_TURN} ({arm.GRIPPER_STROKE_PLAY} more or less): clear the space "
                           "between the fingers and around them, then start again")
        self._closed, self._stroke = closed, opened - closed
        self.q[6] = 1.0
        while True:
            yield True
            self._push(q_des, hold, HOMING_TAU)

    def _push(self, q_des: np.ndarray, hold: Callable[[np.ndarray], np.ndarray], torque: float) -> None:
        """One exchange: the joints held at q_des, the gripper's motor at `torque` N·m."""
        kp, kd = np.append(arm.YAM.kp, 0.0), np.append(arm.YAM.kd, 0.02)
        self.exchange(q_des, np.zeros(7), np.append(hold(self.q[:6]), torque), kp, kd)

    def exchange(
        self, q_des: np.ndarray, dq_des: np.ndarray, tau: np.ndarray, kp: np.ndarray, kd: np.ndarray
    ) -> None:
        """One cycle: the motors get their set-points (7,), and `q`, `dq`, `tau`, temperatures are renewed.

        Raises:
            BusError: the bus is down or off.
        """
        frames = {}
        for k, motor in enumerate(self._ids):
            turn = self._stroke if k == 6 else 1.0
            position = q_des[k] * turn + (self._closed if k == 6 else 0.0)
            frames[motor] = dm_motor.pack_command(
                self._kinds[motor], position, dq_des[k] * turn, kp[k] / turn, kd[k] / turn, tau[k])
        answers = self.bus.exchange(frames, self._kinds, ANSWER_S)
        for k, motor in enumerate(self._ids):
            if motor in answers:
                self._take(k, answers[motor])
            else:
                self._missed[k] += 1

    @property
    def is_fresh(self) -> bool:
        """True when what every motor said is of the last two cycles."""
        return bool((self._missed < 2).all())

    @property
    def missed(self) -> int:
        """Answers that did not come in this cycle."""
        return int((self._missed > 0).sum())

    def problem(self) -> str:
        """What keeps the arm from being moved, with the remedy; "" for nothing."""
        for k, name in enumerate(self.names):
            where = f"motor {self._ids[k]} ({name}) on {self.bus.channel}"
            code = int(self._codes[k])
            if self._missed[k] >= SILENT_CYCLES:
                return f"{where} does not answer; check cable and power, then call clear_errors"
            if code != ENABLED:
                what, remedy = ERRORS.get(code, ("is switched off", "find out who did it"))
                return f"{where}: {what}; {remedy}, then call clear_errors"
            if max(self.mos_c[k], self.rotor_c[k]) >= arm.TEMPERATURE_MAX_C:
                return f"{where} has {max(self.mos_c[k], self.rotor_c[k]):.0f} °C; let it cool, then call clear_errors"
        return ""

    def _take(self, k: int, feedback: dm_motor.Feedback) -> None:
        turn, offset = (self._stroke, self._closed) if k == 6 else (1.0, 0.0)
        self.q[k], self.dq[k] = (feedback.position - offset) / turn, feedback.velocity / turn
        self.tau[k], self.mos_c[k], self.rotor_c[k] = feedback.torque, feedback.mos_c, feedback.rotor_c
        self._codes[k], self._missed[k] = feedback.code, 0
