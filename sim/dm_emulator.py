"""DM motors at the other end of a CAN bus: they answer as the real ones do, and their joints are those of an ArmWorld.

Each motor keeps the newest MIT frame, damps when none has come for its timeout, and can be made to fail: an error code,
silence, heat. Until every motor has had its first frame the arm rests on its stand. One thread steps the physics with
the wall's clock and answers in between.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

import can
import numpy as np

from controllers import arm
from retake.arms import dm_motor
from retake.arms.dm_bus import open_bus
from retake.arms.dm_motor import ANSWER_OFFSET, DISABLED, ENABLED, LOST_COMMUNICATION, MOTOR_TYPES, Feedback, MotorType
from sim.arm_world import PHYSICS_DT, ArmWorld

GRIPPER_CLOSED = 0.4  # rad of the gripper's motor where the fingers meet: unknown to the driver until it has homed
DAMPING = 1.0  # N·m·s/rad of a motor that damps
LATE_STEPS_MAX = 25
STAND_KP, STAND_KD = 3000.0, 50.0
POLL_S = 0.0003  # the buses are asked this often: a motor answers within 0.1 ms of its frame


@dataclass
class EmulatedMotor:
    """One motor's state; arrays of the chain hold its command."""

    motor: int
    kind: MotorType
    code: int = DISABLED
    heard_s: float = -1.0
    is_mute: bool = False
    lost_zero: float = 0.0  # rad that it counts too much
    mos_c: int = 35
    rotor_c: int = 40
    registers: dict[int, int | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        timeout = round(arm.MOTOR_TIMEOUT_S / dm_motor.TIMEOUT_UNIT_S)
        self.registers = {
            dm_motor.CTRL_MODE: dm_motor.MIT_MODE, dm_motor.TIMEOUT: timeout, dm_motor.PMAX: float(self.kind.p_max),
            dm_motor.VMAX: float(self.kind.v_max), dm_motor.TMAX: float(self.kind.t_max),
        }  # fmt: skip


class MotorChain:
    """The seven motors of one arm of a world, on one bus. `receive` and `tick` belong to the world's thread."""

    def __init__(self, bus: can.BusABC, world: ArmWorld, index: int, is_leader: bool = False) -> None:
        """`index`: which of the world's arms."""
        self.bus, self._world, self._part = bus, world, slice(7 * index, 7 * index + 7)
        count = 6 if is_leader else 7
        self.motors = {motor: EmulatedMotor(motor, MOTOR_TYPES[kind]) for motor, kind in arm.YAM_MOTORS[:count]}
        self.trigger: float | None = 0.0 if is_leader else None  # rad; None: no handle
        self.buttons = (False, False)
        self._index = {motor: k for k, motor in enumerate(self.motors)}
        self.command = np.zeros((5, 7))  # q_des, dq_des, tau_ff, kp, kd in the rig's units
        self._stand = np.zeros((5, 7))
        self.switch_on()

    def switch_on(self) -> None:
        """Power after none: every motor is off, and the arm rests on its stand where it is."""
        self._resting = set(self.motors)  # those without a first frame
        for motor in self.motors.values():
            motor.code, motor.is_mute = DISABLED, False
        self._stand[0], self._stand[3], self._stand[4] = self._world.sensors().q[self._part], STAND_KP, STAND_KD
        self._stand[3, 6] = self._stand[4, 6] = 0.0  # the fingers are free

    def switch_off(self) -> None:
        """No power: silence."""
        for motor in self.motors.values():
            motor.is_mute = True

    def answer(self, message: can.Message) -> None:
        """React to one frame."""
        data, motor_id = bytes(message.data), message.arbitration_id
        if motor_id == arm.HANDLE_ID and self.trigger is not None:
            answer = dm_motor.pack_handle(self.trigger, self.buttons)
            self.bus.send(can.Message(arbitration_id=motor_id + 1, data=answer, is_extended_id=False))
        if motor_id == dm_motor.REGISTERS_ID:
            motor = self.motors.get(data[0])
            if motor is not None and not motor.is_mute and data[2] == dm_motor.READ and data[3] in motor.registers:
                answer = dm_motor.register_answer(motor.motor, data[3], motor.registers[data[3]])
                self._send(motor, answer)
            return
        motor = self.motors.get(motor_id)
        if motor is None or motor.is_mute or len(data) != 8:
            return
        motor.heard_s = time.monotonic()
        if data[:7] == b"\xff" * 7 and data[7] >= dm_motor.CLEAR:
            self._special(motor, data[7])
        elif motor.code == ENABLED:
            self._take(motor, data)
        self._send(motor, dm_motor.pack_feedback(motor.kind, self._feedback(motor)))

    def tick(self, now_s: float) -> np.ndarray:
        """(5, 7) what the motors do now: those that are off let go, those that nobody talks to damp."""
        law = (self._stand if self._resting else self.command).copy()
        for motor in self.motors.values():
            k = self._index[motor.motor]
            timeout = float(motor.registers[dm_motor.TIMEOUT]) * dm_motor.TIMEOUT_UNIT_S
            if motor.code == ENABLED and timeout > 0 and now_s - motor.heard_s > timeout:
                motor.code = LOST_COMMUNICATION
            if motor.code != ENABLED and not self._resting:
                law[:, k] = 0.0
                law[4, k] = DAMPING if motor.code == LOST_COMMUNICATION else 0.0
        return law

    def _special(self, motor: EmulatedMotor, code: int) -> None:
        if code == dm_motor.ENABLE and motor.code in (DISABLED, ENABLED):
            motor.code = ENABLED
            self.command[:, self._index[motor.motor]] = 0.0
        elif code == dm_motor.DISABLE:
            motor.code = DISABLED
        elif code == dm_motor.CLEAR:
            motor.code = DISABLED

    def _take(self, motor: EmulatedMotor, data: bytes) -> None:
        position, velocity, kp, kd, torque = dm_motor.unpack_command(motor.kind, data)
        self._resting.discard(motor.motor)
        k, turn, zero = self._index[motor.motor], *self._gear(motor)
        self.command[:, k] = (position - zero) / turn, velocity / turn, torque, kp * turn, kd * turn

    @staticmethod
    def _gear(motor: EmulatedMotor) -> tuple[float, float]:
        """rad of the motor per unit of the joint, and its angle at the joint's zero."""
        is_gripper = motor.motor == arm.YAM_MOTORS[6][0]
        return (arm.GRIPPER_TURN, GRIPPER_CLOSED) if is_gripper else (1.0, motor.lost_zero)

    def _feedback(self, motor: EmulatedMotor) -> Feedback:
        sensors = self._world.sensors()
        k, turn, zero = self._index[motor.motor], *self._gear(motor)
        q, dq, tau = (array[self._part][k] for array in (sensors.q, sensors.dq, sensors.tau_est))
        return Feedback(motor.motor, motor.code, q * turn + zero, dq * turn, tau, motor.mos_c, motor.rotor_c)

    def _send(self, motor: EmulatedMotor, data: bytes) -> None:
        self.bus.send(can.Message(arbitration_id=motor.motor + ANSWER_OFFSET, data=data, is_extended_id=False))


class EmulatedArms(threading.Thread):
    """A world of arms on CAN buses, running with the wall's clock until `stop`."""

    def __init__(self, world: ArmWorld, interface: str, channels: list[str], are_leaders: bool = False) -> None:
        """`are_leaders`: a handle in the place of each gripper."""
        super().__init__(name="emulated arms", daemon=True)
        self.world, self.stop = world, threading.Event()
        buses = [open_bus(interface, channel) for channel in channels]
        self.chains = [MotorChain(bus, world, k, are_leaders) for k, bus in enumerate(buses)]
        self.lock = threading.Lock()  # held while the world is stepped or answers

    def run(self) -> None:
        due = time.monotonic()
        while not self.stop.is_set():
            due += PHYSICS_DT
            late = time.monotonic() - due
            if late > LATE_STEPS_MAX * PHYSICS_DT:
                due += late  # the world slips
            self._answer_until(due)
            with self.lock:
                law = np.concatenate([chain.tick(time.monotonic()) for chain in self.chains], axis=1)
                self.world.step_motor_law(*law)
        for chain in self.chains:
            chain.bus.shutdown()

    def _answer_until(self, due: float) -> None:
        """Serve the buses until the next physics step is due."""
        while True:
            is_idle = True
            for chain in self.chains:
                while (message := chain.bus.recv(0.0)) is not None:
                    is_idle = False
                    if not message.is_error_frame:
                        with self.lock:
                            chain.answer(message)
            left = due - time.monotonic()
            if left <= 0:
                return
            if is_idle:
                time.sleep(min(left, POLL_S))
