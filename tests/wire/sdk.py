"""Unitree's messages as its SDK has them: IDL dataclasses through cyclonedds' own serialiser, and the C structs whose
words the CRC runs over. Written apart from retake.unitree.wire, so that the two can be held against each other."""

import ctypes
import random
from dataclasses import dataclass

import cyclonedds.idl as idl
import cyclonedds.idl.annotations as annotate
import cyclonedds.idl.types as types


@dataclass
@annotate.final
@annotate.autoid("sequential")
class IMUState_(idl.IdlStruct, typename="unitree_hg.msg.dds_.IMUState_"):
    quaternion: types.array[types.float32, 4]
    gyroscope: types.array[types.float32, 3]
    accelerometer: types.array[types.float32, 3]
    rpy: types.array[types.float32, 3]
    temperature: types.int16


@dataclass
@annotate.final
@annotate.autoid("sequential")
class MotorState_(idl.IdlStruct, typename="unitree_hg.msg.dds_.MotorState_"):
    mode: types.uint8
    q: types.float32
    dq: types.float32
    ddq: types.float32
    tau_est: types.float32
    temperature: types.array[types.int16, 2]
    vol: types.float32
    sensor: types.array[types.uint32, 2]
    motorstate: types.uint32
    reserve: types.array[types.uint32, 4]


@dataclass
@annotate.final
@annotate.autoid("sequential")
class MotorCmd_(idl.IdlStruct, typename="unitree_hg.msg.dds_.MotorCmd_"):
    mode: types.uint8
    q: types.float32
    dq: types.float32
    tau: types.float32
    kp: types.float32
    kd: types.float32
    reserve: types.uint32


@dataclass
@annotate.final
@annotate.autoid("sequential")
class LowState_(idl.IdlStruct, typename="unitree_hg.msg.dds_.LowState_"):
    version: types.array[types.uint32, 2]
    mode_pr: types.uint8
    mode_machine: types.uint8
    tick: types.uint32
    imu_state: IMUState_
    motor_state: types.array[MotorState_, 35]
    wireless_remote: types.array[types.uint8, 40]
    reserve: types.array[types.uint32, 4]
    crc: types.uint32


@dataclass
@annotate.final
@annotate.autoid("sequential")
class LowCmd_(idl.IdlStruct, typename="unitree_hg.msg.dds_.LowCmd_"):
    mode_pr: types.uint8
    mode_machine: types.uint8
    motor_cmd: types.array[MotorCmd_, 35]
    reserve: types.array[types.uint32, 4]
    crc: types.uint32


class CImu(ctypes.Structure):
    _fields_ = [("quaternion", ctypes.c_float * 4), ("gyroscope", ctypes.c_float * 3),
                ("accelerometer", ctypes.c_float * 3), ("rpy", ctypes.c_float * 3), ("temperature", ctypes.c_int16)]


class CMotorState(ctypes.Structure):
    _fields_ = [("mode", ctypes.c_uint8), ("q", ctypes.c_float), ("dq", ctypes.c_float), ("ddq", ctypes.c_float),
                ("tau_est", ctypes.c_float), ("temperature", ctypes.c_int16 * 2), ("vol", ctypes.c_float),
                ("sensor", ctypes.c_uint32 * 2), ("motorstate", ctypes.c_uint32), ("reserve", ctypes.c_uint32 * 4)]


class CMotorCmd(ctypes.Structure):
    _fields_ = [("mode", ctypes.c_uint8), ("q", ctypes.c_float), ("dq", ctypes.c_float), ("tau", ctypes.c_float),
                ("kp", ctypes.c_float), ("kd", ctypes.c_float), ("reserve", ctypes.c_uint32)]


class CLowState(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32 * 2), ("mode_pr", ctypes.c_uint8), ("mode_machine", ctypes.c_uint8),
                ("tick", ctypes.c_uint32), ("imu_state", CImu), ("motor_state", CMotorState * 35),
                ("wireless_remote", ctypes.c_uint8 * 40), ("reserve", ctypes.c_uint32 * 4), ("crc", ctypes.c_uint32)]


class CLowCmd(ctypes.Structure):
    _fields_ = [("mode_pr", ctypes.c_uint8), ("mode_machine", ctypes.c_uint8), ("motor_cmd", CMotorCmd * 35),
                ("reserve", ctypes.c_uint32 * 4), ("crc", ctypes.c_uint32)]


C_OF = {IMUState_: CImu, MotorState_: CMotorState, MotorCmd_: CMotorCmd, LowState_: CLowState, LowCmd_: CLowCmd}


def to_c(message: idl.IdlStruct) -> ctypes.Structure:
    """The C struct with the message's fields; padding is zero."""
    struct = C_OF[type(message)]()
    for name, _ in struct._fields_:
        value, field = getattr(message, name), getattr(struct, name)
        if type(value) in C_OF:
            setattr(struct, name, to_c(value))
        elif isinstance(field, ctypes.Array):
            for i, item in enumerate(value):
                field[i] = to_c(item) if type(item) in C_OF else item
        else:
            setattr(struct, name, value)
    return struct


def plain_crc(message: idl.IdlStruct) -> int:
    """The CRC, bit after bit, over the words of the C struct without its last."""
    crc = 0xFFFFFFFF
    data = bytes(to_c(message))
    for start in range(0, len(data) - 4, 4):
        word = int.from_bytes(data[start : start + 4], "little")
        for bit in range(31, -1, -1):
            top = crc >> 31
            crc = (crc << 1) & 0xFFFFFFFF
            if top:
                crc ^= 0x04C11DB7
            if word >> bit & 1:
                crc ^= 0x04C11DB7
    return crc


def _floats(source: random.Random, count: int) -> list[float]:
    return [ctypes.c_float(source.uniform(-3, 3)).value for _ in range(count)]


def random_state(seed: int) -> LowState_:
    """A LowState whose every field is set, with its CRC."""
    source = random.Random(seed)
    imu = IMUState_(_floats(source, 4), *(_floats(source, 3) for _ in range(3)), source.randrange(-99, 99))
    motors = [
        MotorState_(source.randrange(256), *_floats(source, 4), [source.randrange(-99, 99) for _ in range(2)],
                    _floats(source, 1)[0], [source.randrange(2**32) for _ in range(2)], source.randrange(2**32),
                    [source.randrange(2**32) for _ in range(4)])
        for _ in range(35)
    ]  # fmt: skip
    state = LowState_([source.randrange(2**32), 7], 1, 5, source.randrange(2**32), imu, motors,
                      [source.randrange(256) for _ in range(40)], [source.randrange(2**32) for _ in range(4)], 0)
    state.crc = plain_crc(state)
    return state


def command() -> LowCmd_:
    """A LowCmd of zeros, as the SDK's default; its CRC is not set."""
    return LowCmd_(0, 0, [MotorCmd_(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0) for _ in range(35)], [0] * 4, 0)


def random_command(seed: int) -> LowCmd_:
    """A LowCmd whose every field is set, with its CRC."""
    source = random.Random(seed)
    motors = [MotorCmd_(source.randrange(256), *_floats(source, 5), source.randrange(2**32)) for _ in range(35)]
    message = LowCmd_(1, 5, motors, [source.randrange(2**32) for _ in range(4)], 0)
    message.crc = plain_crc(message)
    return message
