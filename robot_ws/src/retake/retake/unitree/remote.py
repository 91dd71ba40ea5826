"""The G1's wireless remote, as 40 bytes of its LowState: 16 buttons and two sticks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from retake.unitree.wire import HEADER

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
