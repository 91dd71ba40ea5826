"""Nodes in this process, real messages: two or more nodes on one executor, stepped by the test."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
os.environ.setdefault("ROS_DOMAIN_ID", "14")

import rclpy
from rclpy.experimental import EventsExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile

from retake.ros import qos


class Probe(Node):
    """The test's own node: publishes, and keeps what it hears."""

    def __init__(self, context: rclpy.Context, namespace: str = "g1") -> None:
        super().__init__("probe", namespace=namespace, context=context)
        self.heard: dict[str, list[Any]] = {}
        self._executor_ = EventsExecutor(context=context)
        self._nodes: list[Node] = []
        self.add(self)

    def add(self, node: Node) -> Node:
        """Serve `node` together with the probe."""
        self._executor_.add_node(node)
        self._nodes.append(node)
        return node

    def end(self) -> None:
        """Take every node out of the graph, so that the next test finds it empty."""
        for node in self._nodes:
            self._executor_.remove_node(node)
            node.destroy_node()
        self._executor_.shutdown()

    def listen(self, kind: type, topic: str, profile: QoSProfile = qos.STREAM) -> list[Any]:
        """All messages of a topic from now on."""
        heard = self.heard.setdefault(topic, [])
        self.create_subscription(kind, topic, heard.append, profile)
        return heard

    def until(self, condition: Callable[[], Any], timeout_s: float = 10.0) -> None:
        """Serve callbacks until `condition()` holds; fails the test when it does not come true."""
        end = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end, "it did not happen in time"
            self._executor_.spin_once(timeout_sec=0.02)

    def serve(self, seconds: float) -> None:
        """Serve callbacks for some wall time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._executor_.spin_once(timeout_sec=0.01)

    def call(self, kind: type, name: str) -> Any:
        """A service's response."""
        client = self.create_client(kind, name)
        self.until(client.service_is_ready)
        future = client.call_async(kind.Request())
        self.until(future.done)
        return future.result()


@pytest.fixture
def probe() -> Iterator[Probe]:
    context = rclpy.Context()
    rclpy.init(context=context)
    node = Probe(context)
    yield node
    node.end()
    del node
    gc.collect()  # the endpoints of a node live as long as any callback that knows it
    context.try_shutdown()
    context.destroy()


def options(probe: Probe, **parameters: Any) -> dict[str, Any]:
    """Constructor arguments for a node under test."""
    overrides = [Parameter(name, value=value) for name, value in parameters.items()]
    return {"context": probe.context, "namespace": probe.get_namespace(), "parameter_overrides": overrides}
