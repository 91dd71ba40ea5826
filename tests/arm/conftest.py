"""The probe of tests/nodes in an arm's namespace."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

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


@pytest.fixture
def probes() -> Iterator[Callable[[str], Probe]]:
    """Probes in any namespace, each in a ROS context of its own."""
    made: list[tuple[Probe, rclpy.Context]] = []

    def make(namespace: str) -> Probe:
        context = rclpy.Context()
        rclpy.init(context=context)
        made.append((Probe(context, namespace), context))
        return made[-1][0]

    yield make
    for node, context in made:
        node.end()
        context.try_shutdown()
