"""The codec beside openpi's own, and everything that it must not read."""

import pickle

import msgpack
import numpy as np
import pytest

from policies.openpi_wire import MAX_BYTES, WireError, pack, unpack


def array(data: bytes, dtype: object, shape: object) -> bytes:
    return msgpack.packb({"a": {b"__ndarray__": True, b"data": data, b"dtype": dtype, b"shape": shape}})


MESSAGE = {
    "observation/state": np.arange(5, dtype=np.float32), "picture": np.arange(24, dtype=np.uint8).reshape(2, 4, 3),
    "turned": np.arange(6.0).reshape(2, 3).T, "number": np.float64(1.5), "prompt": "lift",
    "nested": {"n": [1, 2.5, None]},
}  # fmt: skip


def same(a, b) -> None:
    for key, value in MESSAGE.items():
        np.testing.assert_array_equal(a[key], b[key])
        if isinstance(value, np.ndarray):
            assert a[key].dtype == b[key].dtype == value.dtype


def test_what_is_packed_is_read_again():
    same(unpack(pack(MESSAGE)), MESSAGE)


def test_it_is_what_openpi_writes_and_reads():
    theirs = pytest.importorskip("openpi_client.msgpack_numpy")
    assert pack(MESSAGE) == theirs.packb(MESSAGE)
    same(theirs.unpackb(pack(MESSAGE)), unpack(theirs.packb(MESSAGE)))


@pytest.mark.parametrize(("data", "says"), [
    (array(b"\0" * 8, "|O", [1]), "no objects"), (array(b"\0" * 8, "O", [1]), "no objects"),
    (array(b"\0" * 8, "|V8", [1]), "allowed"), (array(b"\0" * 8, [["a", "<f8"]], [1]), "no records"),
    (array(b"\0" * 8, ">f8", [1]), "allowed"), (array(b"\0" * 7, "<f8", [1]), "exactly 8"),
    (array(b"\0" * 8, "<f8", [2**62, 4]), "exactly"), (array(b"", "<f8", [0]), "at least 1"),
    (array(b"\0" * 8, "<f8", [-1]), "at least 1"), (array(b"\0" * 8, "<f8", [1.0]), "at least 1"),
    (array(b"\0" * 8, "<f8", 1), "axes"), (array("text", "|u1", [4]), "str bytes"),
    (array(b"\0" * 8, None, [1]), "allowed"), (array(b"\0", "|u1", [1] * 5), "axes"),
    (msgpack.packb({b"__npgeneric__": True, b"data": 300, b"dtype": "|u1"}), "no |u1"),
    (msgpack.packb({b"__npgeneric__": True, b"data": [1], b"dtype": "<f8"}), "a number"),
    (pickle.dumps({"observation/state": [1.0]}), "no message"), (pickle.dumps(np.zeros(3)), "no message"),
    (pack(MESSAGE)[:-3], "no message"), (pack(MESSAGE) + b"\0", "no message"), (b"", "no message"),
    (b"\x91" * 100_000, "no message"), (b"\xdd\xff\xff\xff\xff" * 20, "no message"), (b"\xc1", "no message"),
    (msgpack.packb(msgpack.ExtType(5, b"code")), "no message"),
    (msgpack.packb(msgpack.Timestamp(1, 2)), "no message"), (msgpack.packb({1: 2}), "no message"),
    (b"\xa4\xff\xfe\xfd\xfc", "no message"), (bytes(MAX_BYTES + 1), f"allowed: {MAX_BYTES}"),
])  # fmt: skip
def test_refuses(data, says):
    with pytest.raises(WireError, match=says.replace("|", r"\|")):
        unpack(data)


@pytest.mark.parametrize("value", [np.array([object()]), np.zeros(2, complex), {"a": {1, 2}}, {"a": object()}, 2**70])
def test_refuses_to_send(value):
    with pytest.raises(WireError, match="allowed"):
        pack(value)
