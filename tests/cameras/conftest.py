"""Camera nodes in this process, real messages, as in tests/nodes."""

from tests.nodes.conftest import probe

__all__ = ["probe"]
