"""A robot that goes where it is told, the real authority, and one teleoperation device between a person and them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

os.environ.setdefault("ROS_DOMAIN_ID", "61")

import numpy as np
import pytest
import rclpy
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from controllers.rigs import Rig, rig_of
from retake.control.authority import AuthorityNode
from retake.ros import conversions, qos
from retake.ros.spin import STEADY
from retake.teleop.device import TeleopDevice
from tests.nodes.conftest import Probe, options

TICK_S = 0.02


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A device beside an authority runs against the clock, with leases of 300 ms: not beside other work."""
    for item in items:
        if "tests/teleop/" in item.path.as_posix() and "bench" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.heavy)



class Bench:
    """One robot with its authority; `add` puts a device beside it."""

    def __init__(self, probe: Probe, rig: Rig) -> None:
        self.probe, self.rig, self.pose, self._now = probe, rig, rig.home_action.copy(), 0
        self.device: TeleopDevice | None = None
        self.again: Callable[[], None] = lambda: None  # what the person does when the device says it is lost
        self.authority = probe.listen(String, "authority", qos.LATCHED)
        self.actions = probe.listen(JointTrajectory, "teleop_action")
        self.rewinds = probe.listen(JointTrajectory, "rewind_action")
        self._measured = probe.create_publisher(JointTrajectory, "measured_action", qos.STREAM)
        probe.create_subscription(JointTrajectory, "reference", self._on_reference, qos.STREAM)
        self.node = probe.add(AuthorityNode(**options(probe, robot=rig.name)))
        self._timer = probe.create_timer(TICK_S, self._tick, clock=STEADY)
        probe.until(lambda: self.authority and probe.count_publishers("reference"))

    def _on_reference(self, message: JointTrajectory) -> None:
        self.pose = conversions.action_from(message, self.rig)

    def _tick(self) -> None:
        now = self.probe.get_clock().now().nanoseconds
        # a test machine that stands still for a while must not look like another run of the world
        self._now = min(now, self._now + 300_000_000) if self._now else now
        self._measured.publish(conversions.action_message(self.pose, self._now, self.rig))

    def add(self, make: Callable[..., TeleopDevice], **parameters: object) -> TeleopDevice:
        """A device's node, known to everybody."""
        device = make(**options(self.probe, robot=self.rig.name, **parameters))
        self.device = device
        self.probe.add(device)
        self.probe.until(lambda: device._measured is not None and device._grant.authority != ""
                         and device._calls._clients[f"{device.name}/take_over"].service_is_ready())  # fmt: skip
        return device

    def says(self, authority: str) -> None:
        """Wait for the authority."""
        self.probe.until(lambda: self.authority[-1].data == authority)

    def channel(self, name: str) -> float:
        """Where the robot is."""
        return float(self.pose[self.rig.layout.channels.index(name)])

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait as a person does: on a busy machine the dead man may fall open, and is then closed again."""

        def is_so() -> bool:
            if not condition() and self.device is not None and said(self.device):
                self.again()
            return condition()

        self.probe.until(is_so, 30.0)

    def goes(self, name: str, above: float | None = None, below: float | None = None) -> None:
        """Wait until a channel of the robot has passed a value."""
        self.until(lambda: (above is None or self.channel(name) > above)
                   and (below is None or self.channel(name) < below))  # fmt: skip

    def is_silent(self) -> None:
        """Nothing is published any more, and the robot comes to rest."""

        def is_quiet() -> bool:
            before = len(self.actions), len(self.rewinds)
            self.probe.serve(0.3)
            return (len(self.actions), len(self.rewinds)) == before

        self.probe.until(is_quiet)  # what was under way, and authority's lease
        count = len(self.actions), len(self.rewinds)
        self.probe.serve(0.3)
        rest = self.pose
        self.probe.serve(0.1)
        assert (len(self.actions), len(self.rewinds)) == count
        np.testing.assert_allclose(self.pose, rest, atol=1e-9)

    def newest(self) -> np.ndarray:
        """The newest teleop action (dim,)."""
        return conversions.action_from(self.actions[-1], self.rig)


@pytest.fixture
def bench() -> Iterator[Callable[[str], Bench]]:
    """Makes the robot of that name."""
    made: list[tuple[Probe, rclpy.Context]] = []

    def make(name: str) -> Bench:
        context = rclpy.Context()
        rclpy.init(context=context)
        probe = Probe(context, name)
        made.append((probe, context))
        return Bench(probe, rig_of(name))

    yield make
    for probe, context in made:
        probe.end()
        context.try_shutdown()


def said(device: TeleopDevice) -> str:
    """What the device's trouble is, empty when it has none."""
    return device.diagnostics._trouble.get(device.name, "")


def refused(device: TeleopDevice, name: str) -> int:
    """How many inputs of that name were refused."""
    return device.diagnostics.refused.get(name, 0)
