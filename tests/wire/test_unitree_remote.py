"""The wireless remote's 40 bytes."""

from __future__ import annotations

import pytest

from retake.unitree import remote as remotes


def test_the_remote_round_trips_and_refuses_what_it_has_not():
    remote = remotes.Remote(frozenset({"L2", "B"}), lx=0.5, ly=-1.0, rx=0.25, ry=1.0)
    data = remote.encode()
    assert (data[2], data[3]) == (0x20, 0x02)  # gamepad.hpp: L2 is bit 5, B is bit 9
    assert remotes.decode_remote(data) == remote
    assert remotes.decode_remote(bytes(40)) == remotes.Remote()
    with pytest.raises(ValueError, match="has no L9; it has R1"):
        remotes.Remote(frozenset({"L9"})).encode()
    with pytest.raises(ValueError, match="stick ly at 2"):
        remotes.Remote(ly=2.0).encode()
