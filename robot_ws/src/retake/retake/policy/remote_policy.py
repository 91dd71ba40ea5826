"""Answers camera frames with action chunks of a policy server elsewhere, over openpi's websocket protocol.

In: what observations are made of (retake/policy/observing.py). Out, as of policy_server: `action_chunk` (STREAM) with
the observation's stamp and `policy` (LATCHED) once the server is connected, agreed about robot, channels and pictures,
and warm. Sending and waiting are a worker's; no answer, no chunk: the authority's lease applies. See
policies/remote_policy.py for what is waited for. The server's token is in RETAKE_POLICY_TOKEN.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from dataclasses import dataclass, field
from functools import partial

from rclpy.node import Node
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from controllers.rigs import rig_of
from policies.chunk import chunk_times_ns
from policies.observation import Observation
from policies.remote_policy import Patience, RemoteAnswer, RemotePolicy
from policies.remote_terms import Robot, Terms, agree
from retake.errors import UserError
from retake.policy.observing import Observing
from retake.policy.remote_choice import TOKEN_VARIABLE, check_address, told_of
from retake.ros import conversions, qos
from retake.ros.diagnostics import Diagnostics
from retake.ros.parameters import declare
from retake.ros.spin import STEADY, run

REPORT_S = 0.2


@dataclass(frozen=True)
class Parameters:
    """ROS parameters of the node. `state`, `images`, `size`, `dt_ms`: for servers that do not say it themselves."""

    address: str = field(metadata={"description": "ws://HOST:PORT or wss://HOST of a policy server"})
    robot: str = field(default="g1", metadata={"description": "robot that the policy must be for"})
    state: str = field(default="", metadata={"description": "key of the state, such as observation/state"})
    images: str = field(default="", metadata={"description": "CAMERA:KEY of each picture, comma-separated"})
    size: str = field(default="", metadata={"description": "WIDTHxHEIGHT of the pictures"})
    dt_ms: float = field(default=0.0, metadata={"description": "time between actions"})
    prompt: str = field(default="", metadata={"description": "sent with each observation"})
    answer_s: float = field(default=Patience.answer_s, metadata={"description": "longest wait for an answer"})

    def __post_init__(self) -> None:
        rig_of(self.robot)


class RemotePolicyNode(Node):
    """Hands observations to the worker, publishes what the server answers."""

    def __init__(self) -> None:
        super().__init__("remote_policy")
        parameters = declare(self, Parameters)
        check_address(parameters.address)
        told = told_of({name: getattr(parameters, name) for name in ("state", "images", "size", "dt_ms", "prompt",
                                                                     "answer_s")})
        self._rig = rig = rig_of(parameters.robot)
        robot = Robot(rig.name, tuple(rig.layout.channels), rig.cameras)
        self._answers: deque[RemoteAnswer] = deque(maxlen=100)  # the worker appends, the report timer takes
        self._agreed: Terms | None = None  # written by the worker
        self._said_trouble = ""

        self._chunk_publisher = self.create_publisher(JointTrajectory, "action_chunk", qos.SEND)
        self._policy = self.create_publisher(String, "policy", qos.LATCHED)
        self.diagnostics = Diagnostics(self)
        self._observing = Observing(self, rig, self.diagnostics, self._on_observation, lambda: self.worker.clear())
        self.worker = RemotePolicy(
            parameters.address, os.environ.get(TOKEN_VARIABLE, ""),
            partial(agree, robot=robot, told=told, address=parameters.address), rig.home_action, self._on_ready,
            self._on_answer, Patience(answer_s=parameters.answer_s),
        )  # fmt: skip
        self._observing.subscribe(rig.cameras)
        self.create_timer(REPORT_S, self._report, clock=STEADY)
        self.get_logger().info(f"asking {parameters.address}, at most {parameters.answer_s:g} s for an answer")

    def _on_observation(self, observation: Observation) -> None:
        self.worker.submit(observation, self._observing.cameras)

    def _on_ready(self, terms: Terms) -> None:
        """In the worker: whose chunks follow, before the first of them."""
        self._agreed, self._observing.wanted = terms, terms.cameras
        self._policy.publish(String(data=terms.name))

    def _on_answer(self, done: RemoteAnswer) -> None:
        """Publish at once, from the worker: rcl's publish is thread-safe. An answer to the world before a restart is
        dropped."""
        self._answers.append(done)
        stamp_ns, terms = done.observation.stamp_ns, self._agreed
        if done.chunk is not None and terms is not None and self._observing.world_start_ns <= stamp_ns:
            offsets_ns = chunk_times_ns(len(done.chunk), terms.chunk_dt_ns).tolist()
            self._chunk_publisher.publish(conversions.chunk_message(offsets_ns, done.chunk, stamp_ns, self._rig))

    def _report(self) -> None:
        while self._answers:
            done = self._answers.popleft()
            self.diagnostics.count("action_chunk" if done.chunk is not None else "refused_answer")
            self.diagnostics.set("round_trip_ms", f"{1000 * done.round_trip_s:.1f}")
            if done.refusal:
                self.diagnostics.refuse("answer", done.refusal)
        self.diagnostics.set("connections", self.worker.n_connections)
        self.diagnostics.set("dropped.overtaken", self.worker.n_overtaken)
        trouble = self.worker.trouble
        if trouble != self._said_trouble:  # another reason is news too
            self.diagnostics.trouble("policy", None)
            self.diagnostics.trouble("policy", trouble or None)
            self._said_trouble = trouble
            if not trouble and self._agreed is not None:
                self.get_logger().info(f"policy {self._agreed.name}, cameras {', '.join(self._agreed.cameras)} at "
                                       f"{self._agreed.width}x{self._agreed.height}")
        self._observing.report()
        if not self.worker.is_alive():
            raise UserError("the thread that asks the server has ended; its reason is above; this node starts again")

    def destroy_node(self) -> None:
        self.worker.close()
        super().destroy_node()


def main() -> int:
    return run(RemotePolicyNode)


if __name__ == "__main__":
    sys.exit(main())
