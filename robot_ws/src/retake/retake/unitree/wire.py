"""unitree_hg LowState_ and LowCmd_ as fixed records over NumPy: what the G1 says and hears on DDS, 500 times a second.

Facts, from Unitree's SDK2: 35 motor slots, of which the G1 uses the first 29 in the order of controllers.g1; IMU
quaternion w x y z; CRC-32 with polynomial 0x04c11db7, most significant bit first, start 0xffffffff, no final xor, over
the little-endian 32-bit words of the C struct without its last word. The C struct has four bytes more than CDR: there
the first motor's slot begins at a multiple of 4, in CDR right behind the byte before it. Padding is not sent and counts
as zero, so it is masked when a CRC is checked and never written when one is made.
"""

from __future__ import annotations

import numpy as np

from controllers.compiled import compiled

HEADER = b"\x00\x01\x00\x00"  # CDR, little-endian
_HEADERS = (HEADER, b"\x00\x07\x00\x00")  # XCDR2 lays these messages out in the same way
SLOTS = 35
ENABLE = 1  # a motor's mode; 0 lets it go limp
SERIES = 0  # mode_pr: ankles and waist by pitch and roll, not by the two motors of their linkages

_MOTOR_STATE = {
    "mode": ("u1", 0), "q": ("<f4", 4), "dq": ("<f4", 8), "ddq": ("<f4", 12), "tau_est": ("<f4", 16),
    "temperature": (("<i2", 2), 20), "vol": ("<f4", 24), "sensor": (("<u4", 2), 28), "motorstate": ("<u4", 36),
    "reserve": (("<u4", 4), 40),
}  # fmt: skip
_MOTOR_CMD = {
    "mode": ("u1", 0), "q": ("<f4", 4), "dq": ("<f4", 8), "tau": ("<f4", 12), "kp": ("<f4", 16), "kd": ("<f4", 20),
    "reserve": ("<u4", 24),
}  # fmt: skip


def _record(fields: dict, size: int) -> np.dtype:
    formats, offsets = zip(*fields.values(), strict=True)
    return np.dtype({"names": list(fields), "formats": formats, "offsets": offsets, "itemsize": size})


MOTOR_STATE, MOTOR_CMD = _record(_MOTOR_STATE, 56), _record(_MOTOR_CMD, 28)
# `motor` begins 4 bytes before the first motor's q; the `mode` of slot 0 lies elsewhere, in `first_mode`.
LOW_STATE = _record({
    "version": (("<u4", 2), 0), "mode_pr": ("u1", 8), "mode_machine": ("u1", 9), "tick": ("<u4", 12),
    "quaternion": (("<f4", 4), 16), "gyroscope": (("<f4", 3), 32), "accelerometer": (("<f4", 3), 44),
    "rpy": (("<f4", 3), 56), "imu_temperature": ("<i2", 68), "first_mode": ("u1", 70),
    "motor": ((MOTOR_STATE, SLOTS), 68), "wireless_remote": (("u1", 40), 2028), "reserve": (("<u4", 4), 2068),
    "crc": ("<u4", 2084),
}, 2088)  # fmt: skip
LOW_CMD = _record({
    "mode_pr": ("u1", 0), "mode_machine": ("u1", 1), "first_mode": ("u1", 2), "motor": ((MOTOR_CMD, SLOTS), 0),
    "reserve": (("<u4", 4), 980), "crc": ("<u4", 996),
}, 1000)  # fmt: skip

POLYNOMIAL = 0x04C11DB7
_MODE_SHIFT = 16  # where the first motor's mode is in its CDR word
_MOTOR_0, _IMU_0 = 18, 4  # words of a LowState's body: the first motor's q, the quaternion
_SLOT_STATE, _SLOT_CMD = 14, 7  # words of a motor's slot
_FINE, _DAMAGED, _NOT_FINITE = 0, 1, 2
_TICK, _MODE_MACHINE = len(HEADER) + 12, len(HEADER) + 9  # bytes of a serialised LowState


def _tables() -> np.ndarray:
    """(4, 256) uint32: the CRC of a byte that 0, 1, 2, 3 zero bytes follow."""
    tables = np.zeros((4, 256), np.uint32)
    for byte in range(256):
        crc = byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ POLYNOMIAL if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
        tables[0, byte] = crc
    for k in range(1, 4):
        before = tables[k - 1]
        tables[k] = (before << 8) ^ tables[0][before >> 24]
    return tables


_TABLES = _tables()


class WireError(ValueError):
    """A message that is not what its type says: torn, of another layout, or with a wrong CRC."""


@compiled
def _crc(body, split, mask):
    """CRC of a message from its CDR words (n,), the last left out; `split` and `mask` (n,) as in _Layout."""
    crc = np.uint32(0xFFFFFFFF)
    for i in range(mask.size):
        if i <= split:
            word = body[i]
        elif i == split + 1:
            word = body[split] >> np.uint32(_MODE_SHIFT)
        else:
            word = body[i - 1]
        crc ^= word & mask[i]
        crc = (_TABLES[3, crc >> np.uint32(24)] ^ _TABLES[2, crc >> np.uint32(16) & np.uint32(255)]
               ^ _TABLES[1, crc >> np.uint32(8) & np.uint32(255)] ^ _TABLES[0, crc & np.uint32(255)])
    return crc


@compiled
def _read_state(body, split, mask, joints, imu):
    """Check a LowState's words and take its numbers out, see `read_state`."""
    if _crc(body, split, mask) != body[-1]:
        return _DAMAGED
    numbers, total = body.view(np.float32), 0.0
    for i in range(joints.shape[1]):
        slot = _MOTOR_0 + _SLOT_STATE * i
        joints[0, i], joints[1, i], joints[2, i] = numbers[slot], numbers[slot + 1], numbers[slot + 3]
        total += joints[0, i] + joints[1, i] + joints[2, i]
    for i in range(imu.size):
        imu[i] = numbers[_IMU_0 + (i + 1 & 3 if i < 4 else i)]  # w x y z to x y z w
        total += imu[i]
    return _FINE if total - total == 0.0 else _NOT_FINITE


@compiled
def _put_setpoints(body, split, mask, rows, first):
    """Set-points (5, n) of the motors from `first` on, and the CRC, into a LowCmd's words."""
    numbers = body.view(np.float32)
    for i in range(rows.shape[1]):
        slot = 1 + _SLOT_CMD * (first + i)
        for k in range(5):
            numbers[slot + k] = rows[k, i]
    body[-1] = _crc(body, split, mask)


class _Layout:
    """Where a message's CDR words go in the C struct, for its CRC."""

    def __init__(self, name: str, dtype: np.dtype, first_motor: int, slot: int) -> None:
        """`first_motor`: offset of slot 0 in CDR, counted from 4 bytes before its q; `slot`: size of one."""
        self.name, self.size = name, dtype.itemsize + len(HEADER)
        self.split = first_motor // 4  # the CDR word that also holds the first motor's mode
        self.mask = np.full(dtype.itemsize // 4, 0xFFFFFFFF, np.uint32)  # of the C words, one more than CDR, less CRC
        modes = np.arange(SLOTS) * (slot // 4) + self.split + 1
        self.mask[modes] = 0xFF
        self.mask[self.split] = 0xFFFF
        if self.split:
            self.mask[2] = 0xFFFF  # LowState: mode_pr, mode_machine, padding

    def crc(self, body: np.ndarray) -> int:
        """CRC of the CDR words (n,) uint32 of a message, its last word left out."""
        return int(_crc(body, self.split, self.mask))

    def body_of(self, data: bytes) -> np.ndarray:
        """The CDR words of a serialised message; raises WireError unless it has this type's size and byte order."""
        if len(data) != self.size:
            raise WireError(f"{self.name} of {len(data)} bytes, allowed are {self.size}: another robot or firmware")
        if data[:4] not in _HEADERS:
            raise WireError(f"{self.name} begins with {data[:4].hex()}, allowed is little-endian CDR {HEADER.hex()}")
        return np.frombuffer(data, "<u4", -1, len(HEADER))

    def damaged(self, body: np.ndarray) -> WireError:
        """What is wrong with words whose CRC does not fit."""
        return WireError(f"{self.name} with CRC {int(body[-1]):#010x}, its content has {self.crc(body):#010x}: "
                         "damaged on the way")

    def checked(self, data: bytes) -> None:
        """Raise WireError unless `data` is one whole message of this type with the right CRC."""
        body = self.body_of(data)
        if self.crc(body) != int(body[-1]):
            raise self.damaged(body)


STATE_LAYOUT = _Layout("LowState", LOW_STATE, 68, MOTOR_STATE.itemsize)
CMD_LAYOUT = _Layout("LowCmd", LOW_CMD, 0, MOTOR_CMD.itemsize)


def decode_state(data: bytes) -> np.ndarray:
    """The record, dtype LOW_STATE, of a serialised LowState; a view of `data`.

    Raises:
        WireError: another size, byte order or CRC.
    """
    STATE_LAYOUT.checked(data)
    return np.frombuffer(data, LOW_STATE, 1, len(HEADER))[0]


def read_state(data: bytes, joints: np.ndarray, imu: np.ndarray) -> tuple[int, int]:
    """Check a serialised LowState; fill `joints` (3, n) q, dq, tau_est, and `imu` (10,) attitude x y z w, gyro, accel.

    One compiled pass, for 500 times a second; `decode_state` gives all fields. Returns tick (ms) and mode_machine.

    Raises:
        WireError: another size, byte order or CRC, or a number that is not finite.
    """
    body = STATE_LAYOUT.body_of(data)
    code = _read_state(body, STATE_LAYOUT.split, STATE_LAYOUT.mask, joints, imu)
    if code == _DAMAGED:
        raise STATE_LAYOUT.damaged(body)
    if code == _NOT_FINITE:
        raise WireError("LowState has numbers that are not finite")
    return int.from_bytes(data[_TICK : _TICK + 4], "little"), data[_MODE_MACHINE]


def decode_command(data: bytes) -> np.ndarray:
    """The record, dtype LOW_CMD, of a serialised LowCmd; a view of `data`. Raises as `decode_state`."""
    CMD_LAYOUT.checked(data)
    return np.frombuffer(data, LOW_CMD, 1, len(HEADER))[0]


def motor_modes(record: np.ndarray) -> np.ndarray:
    """(35,) uint8 modes of a record's motors."""
    modes = record["motor"]["mode"].copy()
    modes[0] = record["first_mode"]
    return modes


class Encoder:
    """One message in a buffer of its own: set `record`'s fields, then `encode`. What is not set stays zero."""

    def __init__(self, layout: _Layout, dtype: np.dtype) -> None:
        self._layout = layout
        self._data = bytearray(HEADER + bytes(dtype.itemsize))
        self._body = np.frombuffer(self._data, "<u4", offset=len(HEADER))
        self.record = np.frombuffer(self._data, dtype, 1, len(HEADER))[0]
        self.motors = self.record["motor"]  # (35,) views; set modes with `set_modes`

    def set_modes(self, mode: int, count: int) -> None:
        """The first `count` motors have `mode`, the others 0."""
        modes = np.where(np.arange(SLOTS) < count, mode, 0)
        self.record["first_mode"] = modes[0]
        self.motors["mode"][1:] = modes[1:]

    def encode(self) -> bytes:
        """The serialised message, with its CRC."""
        self._body[-1] = self._layout.crc(self._body)
        return bytes(self._data)


class CommandEncoder(Encoder):
    """LowCmd."""

    def __init__(self) -> None:
        super().__init__(CMD_LAYOUT, LOW_CMD)

    def encode_setpoints(self, rows: np.ndarray, first: int = 0) -> bytes:
        """The message with q, dq, tau, kp, kd (5, n) for the motors from `first` on; the others stay as they were."""
        if rows.shape[0] != 5 or not 0 <= first <= SLOTS - rows.shape[1]:
            raise ValueError(f"set-points {rows.shape} from motor {first}; allowed are (5, n) within {SLOTS} motors")
        _put_setpoints(self._body, self._layout.split, self._layout.mask, rows, first)
        return bytes(self._data)


def command_encoder() -> CommandEncoder:
    """An encoder of LowCmd."""
    return CommandEncoder()


def state_encoder() -> Encoder:
    """An encoder of LowState."""
    return Encoder(STATE_LAYOUT, LOW_STATE)
