"""The terminal a person types in: keys one by one, as they come, over SSH and Wayland alike. Pure but for the terminal.

A terminal says that a key is down only by repeating it, and the first repeat comes 250 to 500 ms after the press.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import termios

from retake.errors import UserError

PASTE = 16  # keys at once, not all the same: nobody types that fast
ESCAPES = {
    b"\x1b[5~": "PgUp", b"\x1b[6~": "PgDn", b"\x1b[H": "Home", b"\x1b[F": "End", b"\x1bOH": "Home", b"\x1bOF": "End",
    b"\x1b[1~": "Home", b"\x1b[4~": "End", b"\x1b[7~": "Home", b"\x1b[8~": "End",
}  # fmt: skip


def keys_of(data: bytes) -> list[str]:
    """The keys in what a terminal sent: characters, names of ESCAPES, `Esc`; an unknown sequence is no key."""
    keys, i = [], 0
    while i < len(data):
        if data[i : i + 1] != b"\x1b":
            keys.append(data[i : i + 1].decode("ascii", "replace"))
            i += 1
            continue
        known = next((e for e in ESCAPES if data.startswith(e, i)), None)
        if known is not None:
            keys.append(ESCAPES[known])
            i += len(known)
        elif data[i + 1 : i + 2] in (b"[", b"O"):
            i += 2
            while i < len(data) and not 0x40 <= data[i] <= 0x7E:  # a sequence ends with a letter or ~
                i += 1
            i += 1
        else:
            keys.append("Esc")
            i += 1
    return keys


def is_paste(keys: list[str]) -> bool:
    """True for text that was pasted, or typed while nobody listened: it must not move a robot."""
    return len(keys) > PASTE and len(set(keys)) > 1


class Terminal:
    """Unbuffered input of a terminal until `close`; Ctrl-C still ends the program."""

    def __init__(self, fd: int) -> None:
        if not os.isatty(fd):
            raise UserError("the keyboard needs a terminal; run `retake teleop keyboard` in one")
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)
        self._before = termios.tcgetattr(fd)
        mode = termios.tcgetattr(fd)
        mode[0] &= ~(termios.IXON | termios.ICRNL)  # Ctrl-S would stop our output, and with it this node
        mode[3] &= ~(termios.ICANON | termios.ECHO)
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 0, 0  # read returns at once
        mode[6][termios.VSUSP] = b"\0"  # Ctrl-Z would leave the terminal without echo
        termios.tcsetattr(fd, termios.TCSAFLUSH, mode)  # what was typed before is not meant for the robot
        atexit.register(self.close)

    def read(self) -> list[str]:
        """The keys since the last call.

        Raises:
            UserError: the terminal is gone.
        """
        gone = "the terminal is gone: the robot holds; start the keyboard in another one"
        if any(event & (select.POLLHUP | select.POLLERR) for _, event in self._poll.poll(0)):
            raise UserError(gone)  # its read says nothing, as if nobody typed
        try:
            return keys_of(os.read(self._fd, 4096))
        except OSError as error:
            raise UserError(gone) from error

    def write(self, text: str) -> None:
        """Show text; a terminal that is gone shows none, and the next `read` says so."""
        with contextlib.suppress(OSError):
            os.write(self._fd, text.encode())

    def close(self) -> None:
        """As it was before."""
        atexit.unregister(self.close)
        with contextlib.suppress(termios.error, OSError):  # it is gone, and its mode with it
            termios.tcsetattr(self._fd, termios.TCSANOW, self._before)
