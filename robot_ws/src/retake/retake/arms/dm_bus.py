"""DM motors on a CAN bus through python-can: ask, answer, and every fault by its name with the remedy."""

from __future__ import annotations

import time
from collections.abc import Mapping

import can

from controllers import arm
from retake.arms import dm_motor
from retake.arms.dm_motor import ANSWER_OFFSET, REGISTERS_ID, Feedback, MotorType
from retake.errors import UserError

BITRATE = 1_000_000
ERROR_BUS_OFF = 0x40  # in the id of an error frame, linux/can/error.h
ANSWER_S = 0.02  # to a single question
TRIES = 3
SCANNED_IDS = range(1, 16)


class BusError(UserError):
    """The bus or a motor on it cannot be used; the text says which and what to do."""


def open_bus(interface: str, channel: str) -> can.BusABC:
    """A bus by python-can's name; multicast, which carries emulated motors between processes, stays on this machine."""
    if interface == "udp_multicast":
        return can.Bus(interface=interface, channel=channel, hop_limit=0)
    return can.Bus(interface=interface, channel=channel, bitrate=BITRATE)


class MotorBus:
    """One CAN bus; all its methods belong to one thread."""

    def __init__(self, interface: str, channel: str) -> None:
        """`interface` as python-can calls it: socketcan for hardware.

        Raises:
            BusError: there is no such bus, or it is down.
        """
        self.channel = channel
        try:
            self._bus = open_bus(interface, channel)
        except (can.CanError, OSError, ValueError) as error:
            raise BusError(f"CAN bus {channel} cannot be opened ({error}); plug the adapter in and run: "
                           f"sudo ip link set {channel} up type can bitrate {BITRATE}") from error
        self.bus_errors = 0
        self._clear_input()

    def close(self) -> None:
        """Leave the bus."""
        self._bus.shutdown()

    def read(self, motor: int, register: int) -> int | float | None:
        """A register's value, None when the motor does not answer."""
        for _ in range(TRIES):
            self._send(REGISTERS_ID, dm_motor.read_request(motor, register))
            deadline = time.monotonic() + ANSWER_S
            while (message := self._receive(deadline)) is not None:
                value = dm_motor.register_value(bytes(message.data), register)
                if message.arbitration_id == motor + ANSWER_OFFSET and value is not None and message.data[0] == motor:
                    return value
        return None

    def command(self, motor: int, kind: MotorType, data: bytes) -> Feedback | None:
        """Send a frame to one motor; its answer, or None."""
        for _ in range(TRIES):
            answers = self.exchange({motor: data}, {motor: kind}, ANSWER_S)
            if answers:
                return answers[motor]
        return None

    def exchange(
        self, frames: Mapping[int, bytes], kinds: Mapping[int, MotorType], timeout_s: float
    ) -> dict[int, Feedback]:
        """Send one frame to each motor and collect the answers that come within `timeout_s`.

        Raises:
            BusError: the bus is down or off, or an answer is not a motor's.
        """
        self._clear_input()  # an answer that came too late belongs to another question
        for motor, data in frames.items():
            self._send(motor, data)
        answers: dict[int, Feedback] = {}
        deadline = time.monotonic() + timeout_s
        while len(answers) < len(frames) and (message := self._receive(deadline)) is not None:
            motor = message.arbitration_id - ANSWER_OFFSET
            if motor not in frames:
                continue
            try:
                feedback = dm_motor.unpack_feedback(kinds[motor], bytes(message.data))
            except ValueError as error:
                raise BusError(f"motor {motor} on {self.channel} sends {error}; is it a DM motor?") from None
            if feedback.motor != motor:
                raise BusError(f"motor {feedback.motor} on {self.channel} answers as {motor}: two motors have that "
                               "master id; give each its own with Damiao's tool")
            answers[motor] = feedback
        return answers

    def handle(self, timeout_s: float = ANSWER_S) -> tuple[float, tuple[bool, bool]] | None:
        """A teaching handle's trigger, rad, and its two buttons; None when it does not answer in time."""
        self._send(arm.HANDLE_ID, dm_motor.HANDLE_REQUEST)
        deadline = time.monotonic() + timeout_s
        while (message := self._receive(deadline)) is not None:
            if message.arbitration_id == arm.HANDLE_ID + 1 and len(message.data) == dm_motor.HANDLE_BYTES:
                return dm_motor.unpack_handle(bytes(message.data))
        return None

    def present(self) -> list[int]:
        """The ids that answer; slow, for an error's text."""
        return [motor for motor in SCANNED_IDS if self.read(motor, dm_motor.CTRL_MODE) is not None]

    def _clear_input(self) -> None:
        while self._receive(0.0) is not None:
            pass

    def _send(self, arbitration_id: int, data: bytes) -> None:
        try:
            self._bus.send(can.Message(arbitration_id=arbitration_id, data=data, is_extended_id=False))
        except (can.CanError, OSError) as error:
            raise BusError(f"CAN bus {self.channel} is down ({error}); check adapter, cable and power, then run: "
                           f"sudo ip link set {self.channel} up type can bitrate {BITRATE}") from error

    def _receive(self, deadline: float) -> can.Message | None:
        """The next frame before `deadline` (s, monotonic), or None."""
        while True:
            try:
                message = self._bus.recv(max(0.0, deadline - time.monotonic()))
            except (can.CanError, OSError) as error:
                raise BusError(f"CAN bus {self.channel} is down ({error}); check adapter and cable") from error
            if message is None or not message.is_error_frame:
                return message
            self.bus_errors += 1
            if message.arbitration_id & ERROR_BUS_OFF:
                raise BusError(f"CAN bus {self.channel} is off after too many errors; check cable, termination (120 "
                               f"ohm at both ends), bit rate, then run: sudo ip link set {self.channel} down && "
                               f"sudo ip link set {self.channel} up type can bitrate {BITRATE}")
