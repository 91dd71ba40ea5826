"""The probe of tests/nodes in an arm's namespace."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import rclpy

from tests.nodes.conftest import Probe


@pytest.fixture
def yam_probe() -> Iterator[Probe]:
    context = rclpy.Context()
    rclpy.init(context=context)
    node = Probe(context, "yam")
    yield node
    node.end()
    del node
    gc.collect()  # the endpoints of a node live as long as any callback that knows it
    context.try_shutdown()
    context.destroy()
