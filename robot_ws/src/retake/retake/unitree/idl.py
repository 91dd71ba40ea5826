"""Unitree's messages as DDS types, so that endpoints match those of its SDK and its robots.

LowState_ and LowCmd_ serve discovery only: their samples pass as bytes (retake.unitree.wire). The others are rare and
go through cyclonedds' own serialiser. Field names and order are Unitree's.
"""

# mypy: disable-error-code="call-arg"
# no `from __future__ import annotations`: cyclonedds reads these annotations as objects

from dataclasses import dataclass, field
from typing import Any, TypeVar

import cyclonedds.idl as idl
import cyclonedds.idl.annotations as annotate
import cyclonedds.idl.types as types

T = TypeVar("T")


def _final(cls: T) -> T:
    """A final struct with sequential member ids, as `idlc` makes it."""
    return annotate.final(annotate.autoid("sequential")(cls))


def _hg(name: str) -> str:
    return f"unitree_hg.msg.dds_.{name}_"


def _api(name: str) -> str:
    return f"unitree_api.msg.dds_.{name}_"


@dataclass
@_final
class IMUState_(idl.IdlStruct, typename=_hg("IMUState")):
    quaternion: types.array[types.float32, 4]
    gyroscope: types.array[types.float32, 3]
    accelerometer: types.array[types.float32, 3]
    rpy: types.array[types.float32, 3]
    temperature: types.int16


@dataclass
@_final
class MotorState_(idl.IdlStruct, typename=_hg("MotorState")):
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
@_final
class MotorCmd_(idl.IdlStruct, typename=_hg("MotorCmd")):
    mode: types.uint8
    q: types.float32
    dq: types.float32
    tau: types.float32
    kp: types.float32
    kd: types.float32
    reserve: types.uint32


@dataclass
@_final
class LowState_(idl.IdlStruct, typename=_hg("LowState")):
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
@_final
class LowCmd_(idl.IdlStruct, typename=_hg("LowCmd")):
    mode_pr: types.uint8
    mode_machine: types.uint8
    motor_cmd: types.array[MotorCmd_, 35]
    reserve: types.array[types.uint32, 4]
    crc: types.uint32


def _zeros(count: int) -> Any:
    return field(default_factory=lambda: [0] * count)


@dataclass
@_final
class BmsState_(idl.IdlStruct, typename=_hg("BmsState")):
    version_high: types.uint8 = 0
    version_low: types.uint8 = 0
    fn: types.uint8 = 0
    cell_vol: types.array[types.uint16, 40] = _zeros(40)
    bmsvoltage: types.array[types.uint32, 3] = _zeros(3)
    current: types.int32 = 0
    soc: types.uint8 = 0
    soh: types.uint8 = 0
    temperature: types.array[types.int16, 12] = _zeros(12)
    cycle: types.uint16 = 0
    manufacturer_date: types.uint16 = 0
    bmsstate: types.array[types.uint32, 5] = _zeros(5)
    reserve: types.array[types.uint32, 3] = _zeros(3)


@dataclass
@_final
class RequestIdentity_(idl.IdlStruct, typename=_api("RequestIdentity")):
    id: types.int64
    api_id: types.int64


@dataclass
@_final
class RequestLease_(idl.IdlStruct, typename=_api("RequestLease")):
    id: types.int64


@dataclass
@_final
class RequestPolicy_(idl.IdlStruct, typename=_api("RequestPolicy")):
    priority: types.int32
    noreply: bool


@dataclass
@_final
class RequestHeader_(idl.IdlStruct, typename=_api("RequestHeader")):
    identity: RequestIdentity_
    lease: RequestLease_
    policy: RequestPolicy_


@dataclass
@_final
class Request_(idl.IdlStruct, typename=_api("Request")):
    header: RequestHeader_
    parameter: str
    binary: types.sequence[types.uint8]


@dataclass
@_final
class ResponseStatus_(idl.IdlStruct, typename=_api("ResponseStatus")):
    code: types.int32


@dataclass
@_final
class ResponseHeader_(idl.IdlStruct, typename=_api("ResponseHeader")):
    identity: RequestIdentity_
    status: ResponseStatus_


@dataclass
@_final
class Response_(idl.IdlStruct, typename=_api("Response")):
    header: ResponseHeader_
    data: str
    binary: types.sequence[types.uint8]
