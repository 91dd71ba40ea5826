"""Messages of the openpi websocket protocol: msgpack with NumPy arrays, read without ever building an object.

An array travels as a map with the byte keys `__ndarray__`, `data`, `dtype`, `shape`, a NumPy scalar as `__npgeneric__`,
`data`, `dtype`. Only the numbers in DTYPES are read; what a message may hold is bounded before memory is taken for it.
"""

from __future__ import annotations

import math
from typing import Any

import msgpack
import numpy as np

MAX_BYTES = 16 * 2**20  # 4 pictures of 1280x960 are 15 MB; openpi's own have 0.6 MB
MAX_ITEMS, MAX_TEXT, MAX_AXES = 4096, 65536, 4
DTYPES = {name: np.dtype(name) for name in ("|b1", "|u1", "|i1", "<u2", "<i2", "<f2", "<u4", "<i4", "<f4", "<u8", "<i8",
                                            "<f8")}  # fmt: skip
ARRAY, SCALAR = b"__ndarray__", b"__npgeneric__"


class WireError(ValueError):
    """A message that is not read; the text says what, what is allowed and what to do."""


def pack(value: Any) -> bytes:
    """A message of maps, lists, text, numbers and NumPy arrays as bytes.

    Raises:
        WireError: it holds anything else.
    """
    try:
        return msgpack.packb(value, default=_encode)
    except (TypeError, OverflowError) as error:
        raise WireError(f"cannot send this message ({error}); allowed: maps, lists, text, numbers, arrays") from error


def unpack(data: bytes) -> Any:
    """What `pack` was given; arrays are read-only views into `data`.

    Raises:
        WireError: too long, torn, or it holds what is not allowed.
    """
    if len(data) > MAX_BYTES:
        raise WireError(f"a message of {len(data)} bytes; allowed: {MAX_BYTES}; send smaller pictures")
    try:
        return msgpack.unpackb(
            data, object_hook=_decode, max_str_len=MAX_TEXT, max_bin_len=MAX_BYTES, max_array_len=MAX_ITEMS,
            max_map_len=MAX_ITEMS, max_ext_len=0,
        )  # fmt: skip
    except WireError:
        raise
    except (ValueError, TypeError, msgpack.UnpackException) as error:  # torn, too deep, an extension, bad UTF-8
        raise WireError(
            f"{len(data)} bytes are no message ({error}); allowed: msgpack of maps, lists, text, numbers and NumPy "
            "arrays; does the other end speak openpi's websocket protocol?"
        ) from error


def plain(text: str, length: int = 300) -> str:
    """What the other end wrote, in one line, for a person's terminal: its start, without control characters."""
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else "?" for c in line[:length])


def _encode(value: Any) -> dict[bytes, Any]:
    if isinstance(value, np.ndarray | np.generic) and value.dtype.str in DTYPES:
        if isinstance(value, np.ndarray):
            return {ARRAY: True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}
        return {SCALAR: True, b"data": value.item(), b"dtype": value.dtype.str}
    kind = f"array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
    raise TypeError(f"it holds a {kind}")


def _decode(found: dict) -> Any:
    """Called for each map, the inner ones first."""
    if ARRAY in found:
        return _array(found.get(b"data"), found.get(b"dtype"), found.get(b"shape"))
    if SCALAR in found:
        return _scalar(found.get(b"data"), found.get(b"dtype"))
    return found


def _array(data: Any, name: Any, shape: Any) -> np.ndarray:
    dtype = _dtype(name)
    if not isinstance(shape, list) or len(shape) > MAX_AXES or any(type(n) is not int or n < 1 for n in shape):
        raise WireError(f"an array of shape {str(shape)[:80]}; allowed: at most {MAX_AXES} axes of at least 1")
    wanted = math.prod(shape) * dtype.itemsize
    if not isinstance(data, bytes) or len(data) != wanted:
        have = len(data) if isinstance(data, bytes) else type(data).__name__
        raise WireError(f"an array of shape {shape} and type {name} with {have} bytes; allowed: exactly {wanted}")
    return np.frombuffer(data, dtype).reshape(shape)


def _scalar(data: Any, name: Any) -> Any:
    """A number of that type. Text is text whatever its length: NumPy's has a type for each."""
    if isinstance(data, str):
        return data
    dtype = _dtype(name)
    if not isinstance(data, bool | int | float):
        raise WireError(f"a scalar of type {name} that is {type(data).__name__}; allowed: a number")
    try:
        return dtype.type(data)
    except (OverflowError, ValueError) as error:
        raise WireError(f"{data} is no {name} ({error}); send a number of its type") from error


def _dtype(name: Any) -> np.dtype:
    if not isinstance(name, str) or name not in DTYPES:
        raise WireError(f"an array of type {str(name)[:40]!r}; allowed: {', '.join(DTYPES)}; no objects, no records")
    return DTYPES[name]
