"""The authority's side of a learnt residual: its actions in, its switch, and in lockstep the wait for them.

In: residual_action (STREAM; conversions.residual_message) and residual (LATCHED JSON: what the node `residual` uses).
Out: residual/enabled (LATCHED). Services (Trigger): residual/on, residual/off.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

from rclpy.node import Node
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from controllers.authority_core import AuthorityCore
from controllers.residual_player import DELAY_NS
from controllers.rigs import Rig
from retake.ros import conversions, qos
from retake.ros.diagnostics import Diagnostics
from retake.ros.lockstep import Awaited


class ResidualInput:
    """A border around `core.residual`."""

    def __init__(self, node: Node, core: AuthorityCore, rig: Rig, diagnostics: Diagnostics, awaits: bool,
                 advance: Callable[[], None]) -> None:  # fmt: skip
        """`awaits`: in lockstep, and there is a residual; `advance` when something came that a tick waits for."""
        self._node, self._core, self._rig, self._diagnostics, self._advance = node, core, rig, diagnostics, advance
        self._first_ns = -1
        self._period_ns = 0  # from one action to the next; 0: not told yet
        self._enabled = node.create_publisher(Bool, "residual/enabled", qos.CHANGES)
        self._answers = Awaited(node, "residual", awaits, diagnostics, advance)
        node.create_subscription(JointTrajectory, "residual_action", self._on_action, qos.STREAM)
        node.create_subscription(String, "residual", self._on_residual, qos.LATCHED)
        for word, enabled in (("on", True), ("off", False)):
            node.create_service(Trigger, f"residual/{word}", partial(self._switch, enabled))
        self._say()

    def lacks(self, stamp_ns: int, first_ns: int) -> bool:
        """True in lockstep while the action that is due by the tick at `stamp_ns` may still come; `first_ns` was
        the first tick of this world."""
        if first_ns != self._first_ns:
            self._first_ns = first_ns
            self._answers.restart()
        if self._period_ns == 0:
            return self._answers.should_wait()
        due = (stamp_ns - DELAY_NS) // self._period_ns * self._period_ns
        if due < first_ns or self._core.residual.newest_ns >= due:
            return False
        return self._answers.should_wait()

    def _on_action(self, message: JointTrajectory) -> None:
        stamp = conversions.stamp_ns(message.header.stamp)
        try:
            due_ns, displacement = conversions.residual_from(message, self._rig)
            self._core.offer_residual(stamp, stamp + due_ns, displacement, message.header.frame_id)
        except ValueError as error:
            return self._diagnostics.refuse("residual_action", str(error))
        self._diagnostics.count("residual_action")
        self._answers.answered()
        self._advance()

    def _on_residual(self, message: String) -> None:
        try:
            self._period_ns = int(json.loads(message.data)["period_ns"])
        except (ValueError, TypeError, KeyError):
            return self._diagnostics.refuse("residual", f"{message.data[:80]!r} does not say what is used")
        self._advance()

    def _switch(self, enabled: bool, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = self._core.enable_residual(enabled)
        self._node.get_logger().info(response.message)
        self._say()
        return response

    def _say(self) -> None:
        enabled = self._core.residual.enabled
        self._enabled.publish(Bool(data=enabled))
        self._diagnostics.set("residual", "on" if enabled else "off")
