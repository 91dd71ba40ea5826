"""A G1 on the wire, as in tests/wire."""

from tests.wire.conftest import domain, make_robot, world

__all__ = ["domain", "make_robot", "world"]
