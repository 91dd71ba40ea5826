"""Service calls that never wait: the answer, a refusal or its absence comes back through a callback of the executor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

ANSWER_LEASE_S = 2.0
Answered = Callable[[bool, str, float], None]  # success, text, now in s


@dataclass
class _Pending:
    service: str
    future: Future
    due: float  # s, steady clock
    answered: Answered


class Calls:
    """Trigger clients by service name, and the calls under way."""

    def __init__(self, node: Node, services: tuple[str, ...]) -> None:
        self._node = node
        self._clients = {service: node.create_client(Trigger, service) for service in services}
        self._pending: list[_Pending] = []

    def call(self, service: str, now: float, answered: Answered) -> None:
        """Call `service`; `answered(success, text, now)` runs now or in a later `poll`."""
        client = self._clients[service]
        if not client.service_is_ready():
            owner = "recorder" if service.startswith("episode/") else "authority"
            name = self._node.resolve_service_name(service)
            answered(False, f"nobody offers {name}: is the node {owner} running?", now)
            return
        future = client.call_async(Trigger.Request())
        self._pending.append(_Pending(service, future, now + ANSWER_LEASE_S, answered))

    def poll(self, now: float) -> None:
        """Hand over what was answered, and say what was not in time."""
        pending, self._pending = self._pending, []
        for call in pending:
            if call.future.done():
                response = call.future.result()
                call.answered(response.success, response.message or ("done" if response.success else "refused"), now)
            elif now > call.due:
                self._clients[call.service].remove_pending_request(call.future)
                call.answered(False, f"{call.service} did not answer within {ANSWER_LEASE_S:g} s", now)
            else:
                self._pending.append(call)
