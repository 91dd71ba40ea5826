"""Frames of Damiao's DM motors in MIT mode: numbers to bytes and back. No bus, no ROS.

Standard CAN frames of 8 bytes at 1 Mbit/s. A command goes to the motor's id, its answer comes from id + 0x10 (the
master id that i2rt gives its motors). Sources: Damiao's manuals of the DM-J4310-2EC and DM-J4340-2EC; ranges and ids as
i2rt's own driver has them.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

KP_MAX, KD_MAX = 500.0, 5.0
ANSWER_OFFSET = 0x10
REGISTERS_ID = 0x7FF
ENABLE, DISABLE, SET_ZERO, CLEAR = 0xFC, 0xFD, 0xFE, 0xFB
READ = 0x33
TIMEOUT, CTRL_MODE, PMAX, VMAX, TMAX = 9, 10, 21, 22, 23  # registers; TIMEOUT in 50 µs
MIT_MODE = 1
TIMEOUT_UNIT_S = 50e-6

DISABLED, ENABLED, LOST_COMMUNICATION = 0x0, 0x1, 0xD
ERRORS = {
    0x8: ("over voltage", "check the power supply"),
    0x9: ("under voltage", "check the power supply and the emergency stop"),
    0xA: ("over current", "free the joint"),
    0xB: ("power stage too hot", "let it cool"),
    0xC: ("winding too hot", "let it cool"),
    LOST_COMMUNICATION: ("lost communication", "check the CAN cable"),
    0xE: ("overload", "free the joint"),
}  # code: what, what to do


@dataclass(frozen=True)
class MotorType:
    """What the motor's 16- and 12-bit numbers span: plus and minus rad, rad/s, N·m."""

    name: str
    p_max: float
    v_max: float
    t_max: float


MOTOR_TYPES = {t.name: t for t in (MotorType("DM4340", 12.5, 10.0, 28.0), MotorType("DM4310", 12.5, 30.0, 10.0))}


@dataclass(frozen=True, slots=True)
class Feedback:
    """One answer: rad, rad/s, N·m, degrees Celsius; `code` is ENABLED, DISABLED or one of ERRORS."""

    motor: int
    code: int
    position: float
    velocity: float
    torque: float
    mos_c: int
    rotor_c: int


def _to_int(value: float, low: float, high: float, bits: int) -> int:
    """The nearest of 2^bits steps from low to high; what is outside becomes the end."""
    return round((min(max(value, low), high) - low) * ((1 << bits) - 1) / (high - low))


def _to_float(number: int, span: float, bits: int) -> float:
    return number * 2.0 * span / ((1 << bits) - 1) - span


def pack_command(kind: MotorType, position: float, velocity: float, kp: float, kd: float, torque: float) -> bytes:
    """The MIT frame: the motor makes torque + kp (position - p) + kd (velocity - v)."""
    number = _to_int(position, -kind.p_max, kind.p_max, 16) << 48
    number |= _to_int(velocity, -kind.v_max, kind.v_max, 12) << 36
    number |= _to_int(kp, 0.0, KP_MAX, 12) << 24
    number |= _to_int(kd, 0.0, KD_MAX, 12) << 12
    return (number | _to_int(torque, -kind.t_max, kind.t_max, 12)).to_bytes(8, "big")


def unpack_command(kind: MotorType, data: bytes) -> tuple[float, float, float, float, float]:
    """position, velocity, kp, kd, torque of an MIT frame: what the motor understands."""
    number = int.from_bytes(data, "big")
    return (
        _to_float(number >> 48, kind.p_max, 16),
        _to_float(number >> 36 & 0xFFF, kind.v_max, 12),
        (number >> 24 & 0xFFF) * KP_MAX / 0xFFF,
        (number >> 12 & 0xFFF) * KD_MAX / 0xFFF,
        _to_float(number & 0xFFF, kind.t_max, 12),
    )


def special(code: int) -> bytes:
    """ENABLE, DISABLE, SET_ZERO or CLEAR."""
    return b"\xff" * 7 + bytes([code])


def pack_feedback(kind: MotorType, feedback: Feedback) -> bytes:
    """A motor's answer; for the other end of the wire."""
    p = _to_int(feedback.position, -kind.p_max, kind.p_max, 16)
    v = _to_int(feedback.velocity, -kind.v_max, kind.v_max, 12)
    t = _to_int(feedback.torque, -kind.t_max, kind.t_max, 12)
    head = bytes([feedback.code << 4 | feedback.motor & 0xF])
    return head + (p << 24 | v << 12 | t).to_bytes(5, "big") + bytes([feedback.mos_c, feedback.rotor_c])


def unpack_feedback(kind: MotorType, data: bytes) -> Feedback:
    """A motor's answer.

    Raises:
        ValueError: it is not 8 bytes long.
    """
    if len(data) != 8:
        raise ValueError(f"an answer of {len(data)} bytes, a motor's has 8")
    number = int.from_bytes(data[1:6], "big")
    return Feedback(
        data[0] & 0xF, data[0] >> 4, _to_float(number >> 24, kind.p_max, 16),
        _to_float(number >> 12 & 0xFFF, kind.v_max, 12), _to_float(number & 0xFFF, kind.t_max, 12), data[6], data[7],
    )  # fmt: skip


def read_request(motor: int, register: int) -> bytes:
    """Ask a motor for a register; goes to REGISTERS_ID."""
    return bytes([motor, 0, READ, register, 0, 0, 0, 0])


def register_answer(motor: int, register: int, value: int | float) -> bytes:
    """What the motor answers: little-endian uint32, or float32 for a float."""
    return bytes([motor, 0, READ, register]) + struct.pack("<f" if isinstance(value, float) else "<I", value)


def register_value(data: bytes, register: int) -> int | float | None:
    """The value in an answer to `read_request` for `register`; None when it is not one."""
    if len(data) != 8 or data[2] != READ or data[3] != register:
        return None
    value: int | float = struct.unpack("<f" if register in (PMAX, VMAX, TMAX) else "<I", data[4:])[0]
    return value


# i2rt's teaching handle: asked with HANDLE_REQUEST it answers device, position and velocity in 1/4096 turns, buttons.
HANDLE_REQUEST = bytes([0xFF, 0x02])
_HANDLE = struct.Struct("!BhhB")
HANDLE_BYTES = _HANDLE.size
_TURN = 2.0 * math.pi / 4096


def pack_handle(position: float, buttons: tuple[bool, bool]) -> bytes:
    """What a handle answers: its trigger at `position` rad; for the other end of the wire."""
    return _HANDLE.pack(1, round(position / _TURN), 0, buttons[0] | buttons[1] << 1)


def unpack_handle(data: bytes) -> tuple[float, tuple[bool, bool]]:
    """The trigger, rad, and the two buttons."""
    _, position, _, buttons = _HANDLE.unpack(data)
    return position * _TURN, (bool(buttons & 1), bool(buttons & 2))
