"""unitree_hg LowState_ and LowCmd_ as fixed records over NumPy: what the G1 says and hears on DDS, 500 times a second.

Facts, from Unitree's SDK2: 35 motor slots, of which the G1 uses the first 29 in the order of controllers.g1; IMU
quaternion w x y z; CRC-32 with polynomial 0x04c11db7, most significant bit first, start 0xffffffff, no final xor, over
the little-endian 32-bit words of the C struct without its last word. The C struct has four bytes more than CDR: there
the first motor's slot begins at a multiple of 4, in CDR right behind the byte before it. Padding is not sent and counts
as zero, so it is masked when a CRC is checked and never written when one is made.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

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

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))  # each byte, its bits in the other order


class WireError(ValueError):
    """A message that is not what its type says: torn, of another layout, or with a wrong CRC."""


def crc32(words: np.ndarray) -> int:
    """Unitree's CRC of uint32 words (n,). zlib's is the same polynomial from the other end, so bits are reversed."""
    reverse = zlib.crc32(words.astype(">u4").tobytes().translate(_REVERSED)) ^ 0xFFFFFFFF
    return int.from_bytes(reverse.to_bytes(4, "little").translate(_REVERSED), "big")


class _Layout:
    """Where a message's CDR words go in the C struct, for its CRC."""

    def __init__(self, name: str, dtype: np.dtype, first_motor: int, slot: int) -> None:
        """`first_motor`: offset of slot 0 in CDR, counted from 4 bytes before its q; `slot`: size of one."""
        self.name, self.size = name, dtype.itemsize + len(HEADER)
        self._split = first_motor // 4  # the CDR word that also holds the first motor's mode
        self._mode_shift = 16  # where in that word
        self._words = np.zeros(dtype.itemsize // 4, np.uint32)  # one word more than CDR, without the CRC
        self._mask = np.full_like(self._words, 0xFFFFFFFF)
        modes = np.arange(SLOTS) * (slot // 4) + self._split + 1
        self._mask[modes] = 0xFF
        self._mask[self._split] = 0xFFFF
        if self._split:
            self._mask[2] = 0xFFFF  # LowState: mode_pr, mode_machine, padding

    def crc(self, body: np.ndarray) -> int:
        """CRC of the CDR words (n,) of a message, its last word left out."""
        split, words = self._split, self._words
        words[: split + 1] = body[: split + 1]
        words[split + 1] = body[split] >> self._mode_shift
        words[split + 2 :] = body[split + 1 : -1]
        words &= self._mask
        return crc32(words)

    def checked(self, data: bytes) -> None:
        """Raise WireError unless `data` is one whole message of this type with the right CRC."""
        if len(data) != self.size:
            raise WireError(f"{self.name} of {len(data)} bytes, allowed are {self.size}: another robot or firmware")
        if data[:4] not in _HEADERS:
            raise WireError(f"{self.name} begins with {data[:4].hex()}, allowed is little-endian CDR {HEADER.hex()}")
        body = np.frombuffer(data, "<u4", offset=len(HEADER))
        made, sent = self.crc(body), int(body[-1])
        if made != sent:
            raise WireError(f"{self.name} with CRC {sent:#010x}, its content has {made:#010x}: damaged on the way")


STATE_LAYOUT = _Layout("LowState", LOW_STATE, 68, MOTOR_STATE.itemsize)
CMD_LAYOUT = _Layout("LowCmd", LOW_CMD, 0, MOTOR_CMD.itemsize)


def decode_state(data: bytes) -> np.ndarray:
    """The record, dtype LOW_STATE, of a serialised LowState; a view of `data`.

    Raises:
        WireError: another size, byte order or CRC.
    """
    STATE_LAYOUT.checked(data)
    return np.frombuffer(data, LOW_STATE, 1, len(HEADER))[0]


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


def command_encoder() -> Encoder:
    """An encoder of LowCmd."""
    return Encoder(CMD_LAYOUT, LOW_CMD)


def state_encoder() -> Encoder:
    """An encoder of LowState."""
    return Encoder(STATE_LAYOUT, LOW_STATE)


BUTTONS = ("R1", "L1", "start", "select", "R2", "L2", "F1", "F2", "A", "B", "X", "Y", "up", "right", "down", "left")
REMOTE_BYTES = slice(len(HEADER) + 2028, len(HEADER) + 2068)  # of a serialised LowState
_STICKS = {"lx": 4, "rx": 8, "ry": 12, "ly": 20}  # byte offset of a float in -1..1


@dataclass(frozen=True)
class Remote:
    """The wireless remote: names of the buttons held, and sticks (right and up positive, -1..1)."""

    buttons: frozenset[str] = frozenset()
    lx: float = 0.0
    ly: float = 0.0
    rx: float = 0.0
    ry: float = 0.0

    def encode(self) -> bytes:
        """The 40 bytes in LowState.

        Raises:
            ValueError: a button that is not there, a stick beyond -1..1.
        """
        unknown = sorted(self.buttons - set(BUTTONS))
        if unknown:
            raise ValueError(f"the remote has no {', '.join(unknown)}; it has {', '.join(BUTTONS)}")
        data = bytearray(40)
        data[0:2] = b"\x55\x51"  # a remote that is on is never all zeros
        data[2:4] = sum(1 << BUTTONS.index(name) for name in self.buttons).to_bytes(2, "little")
        for name, offset in _STICKS.items():
            value = getattr(self, name)
            if not -1.0 <= value <= 1.0:
                raise ValueError(f"stick {name} at {value}, allowed is -1 to 1")
            data[offset : offset + 4] = np.float32(value).tobytes()
        return bytes(data)


def decode_remote(data: bytes) -> Remote:
    """The remote from its 40 bytes."""
    keys = int.from_bytes(data[2:4], "little")
    held = frozenset(name for i, name in enumerate(BUTTONS) if keys >> i & 1)
    sticks = {name: float(np.frombuffer(data, "<f4", 1, offset)[0]) for name, offset in _STICKS.items()}
    return Remote(held, **sticks)
