"""Answers camera frames with action chunks of a policy.

In, beside what observations are made of (retake/policy/observing.py): reference and provenance, which say what was
really executed, authority and episode/event. Out: `action_chunk` (STREAM) for every sixth frame, with the observation's
stamp, and `training_distance` (5 Hz, of each tenth state; 1 is the edge of what it was trained on; policies/home.py).
When a picture or a state is missing, old or refused there is no chunk: the authority's lease applies. How chunks follow
each other is policies/execution.py. Inference runs in a worker and the newest observation wins; with `lockstep` it runs
in the callback, and equal messages give equal chunks. With `reload` a checkpoint that is written into the folder while
this runs takes over between two episodes, when the policy has no authority; `policy` (LATCHED) says whose chunks come.
"""

from __future__ import annotations

import sys
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from rclpy.node import Node
from std_msgs.msg import Float64, String
from trajectory_msgs.msg import JointTrajectory

from controllers.rigs import rig_of
from policies.checkpoint import DESCRIPTION
from policies.chunk import chunk_times_ns
from policies.executed import Executed
from policies.execution import MODES, ChunkExecution, ExpectedLatency
from policies.inference import Answer, InferenceWorker, warm_up
from policies.observation import Observation
from policies.policy_choice import Chosen, Reranking, User, choose
from retake.errors import UserError
from retake.policy.executed import ExecutedReferences
from retake.policy.observing import Observing
from retake.policy.replacement import Replacement
from retake.ros import conversions, qos
from retake.ros.diagnostics import Diagnostics
from retake.ros.parameters import declare
from retake.ros.spin import STEADY, run

LOCKSTEP_LATENCY_S = 0.1  # the authority uses a chunk so long after its observation, whenever it came
HOME_EVERY = 10  # states
REPORT_S = 0.2
AUTO = "auto"


@dataclass(frozen=True)
class Parameters:
    """ROS parameters of the node."""

    policy: str = field(metadata={"description": "folder of a checkpoint, lerobot:FOLDER or package.module:Class"})
    robot: str = field(default="g1", metadata={"description": "robot that the policy must be for"})
    channels: str = field(default="", metadata={"description": "lerobot: OURS=THEIRS of names that differ"})
    execution: str = field(default=AUTO, metadata={"description": f"{AUTO} (the policy's own), {', '.join(MODES)}"})
    rerank: int = field(default=1, metadata={"description": "chunks drawn, of which the critic chooses one"})
    critic: str = field(default="", metadata={"description": "folder of `retake train-value`"})
    reload: bool = field(default=False, metadata={"description": "take over new checkpoints between episodes"})
    lockstep: bool = field(
        default=False, metadata={"description": "answer in the callback, only on the inference grid"}
    )
    threads: int = field(default=1, metadata={"description": "CPU threads of torch"})

    def __post_init__(self) -> None:
        rig_of(self.robot)
        if not 1 <= self.threads <= 64:
            raise ValueError(f"threads {self.threads}; allowed: 1 to 64")


@dataclass(frozen=True)
class Ready:
    """A policy that is warm. `offsets_ns`: when the points of its chunks are due after the observation."""

    chosen: Chosen
    execution: ChunkExecution
    offsets_ns: list[int]
    warm_s: float


class PolicyServer(Node):
    """Hands observations to the policy, publishes what it answers."""

    def __init__(self, **node_options: Any) -> None:
        super().__init__("policy_server", **node_options)
        self.parameters = parameters = declare(self, Parameters)
        self._rig = rig_of(parameters.robot)
        torch.set_num_threads(parameters.threads)
        self._ready = self._load()
        self._latency = ExpectedLatency(self._ready.warm_s + self._rig.camera_dt)  # the worker's
        self._states = 0

        self.diagnostics = Diagnostics(self)
        self._distance = self.create_publisher(Float64, "training_distance", qos.SEND)
        self._chunk_publisher = self.create_publisher(JointTrajectory, "action_chunk", qos.SEND)
        self._policy = self.create_publisher(String, "policy", qos.LATCHED)
        self._answers: deque[Answer] = deque(maxlen=100)  # the worker appends, the report timer takes
        self._worker = None if parameters.lockstep else InferenceWorker(self._answer_newest)
        self._waiting: Observation | None = None  # in lockstep, for the tick that it belongs to
        self._executed = ExecutedReferences(self, self._rig, self.diagnostics, self._answer_waiting)
        self._observing = Observing(self, self._rig, self.diagnostics, self._on_observation, self._on_restart,
                                    self._on_state)
        self._observing.subscribe(self._ready.chosen.policy.config.cameras, parameters.lockstep)
        folder = self._ready.chosen.folder
        self._replacement = None if not parameters.reload or folder is None else Replacement(
            self, self.diagnostics, folder / DESCRIPTION, self._load, self._replace)  # fmt: skip
        self.create_timer(REPORT_S, self._report, clock=STEADY)
        self._begin(self._ready)

    def _load(self) -> Ready:
        """Checked, warm and not at work yet; also called by the thread of Reload.

        Raises:
            ValueError: the policy must not be used.
        """
        rig, parameters = self._rig, self.parameters
        user = User(rig.name, tuple(rig.layout.channels), rig.cameras, rig.home_action)
        reranking = Reranking(parameters.rerank, parameters.critic)
        chosen = choose(parameters.policy, user, parameters.channels, reranking)
        mode = "" if parameters.execution == AUTO else parameters.execution
        execution, config = ChunkExecution(chosen.policy, mode), chosen.policy.config
        warm_s = warm_up(chosen.policy, rig.home_action)
        return Ready(chosen, execution, chunk_times_ns(config.chunk_size, config.chunk_dt_ns).tolist(), warm_s)

    def _begin(self, ready: Ready) -> None:
        """This policy answers from now on."""
        self._ready, chosen, config = ready, ready.chosen, ready.chosen.policy.config
        self._observing.listen(config.cameras)
        self._observing.wanted = config.cameras
        self._policy.publish(String(data=chosen.sha256[:16]))
        self.diagnostics.set("policy_sha256", chosen.sha256)
        self.get_logger().info(
            f"policy {chosen.sha256[:12]} for {chosen.task}, cameras {', '.join(config.cameras)} at "
            f"{config.width}x{config.height}, {ready.execution.mode}, {self.parameters.threads} threads, "
            f"{1000 * ready.warm_s:.0f} ms a chunk, {'lockstep' if self.parameters.lockstep else 'real time'}"
        )

    # Inputs

    def _on_state(self, state: np.ndarray) -> None:
        self._states += 1
        home = self._ready.chosen.home
        if home is not None and self._states % HOME_EVERY == 0:
            self._distance.publish(Float64(data=home.distance(state)))

    def _on_observation(self, observation: Observation) -> None:
        if self._worker is not None:
            return self._worker.submit(observation)
        self._waiting = observation
        self._answer_waiting()

    def _on_restart(self) -> None:
        self._executed.restart()
        self._ready.execution.begin()
        self._waiting = None
        if self._worker is not None:
            self._worker.clear()

    # Answers

    def _answer_waiting(self) -> None:
        """In lockstep: when the authority has answered the tick of the observation, so that it is always the same."""
        waiting = self._waiting
        if waiting is not None and self._executed.has(waiting.state_stamp_ns):
            self._waiting = None
            self._answer(waiting, self._executed.upto(waiting.state_stamp_ns), LOCKSTEP_LATENCY_S)

    def _answer_newest(self, observation: Observation) -> None:
        """In the worker."""
        stamp_ns = self._answer(observation, self._executed.upto(), self._latency.seconds)
        age_s = (self.get_clock().now().nanoseconds - stamp_ns) * 1e-9
        if 0.0 <= age_s <= self._ready.offsets_ns[-1] * 1e-9:  # else the clock has jumped, or it came for nothing
            self._latency.add(age_s + self._rig.reference_dt)  # it counts at the authority's next tick

    def _answer(self, observation: Observation, executed: Executed, latency_s: float) -> int:
        """Publish at once, from the worker in real time: rcl's publish is thread-safe, and waking the executor would
        add its delay. An answer to the world before a restart is dropped, as is that of a policy that was replaced."""
        ready = self._ready
        done = ready.execution.answer(observation, executed, latency_s)
        self._answers.append(done)
        stamp_ns = observation.stamp_ns
        if done.chunk is not None and self._observing.world_start_ns <= stamp_ns and ready is self._ready:
            message = conversions.chunk_message(ready.offsets_ns, done.chunk, stamp_ns, self._rig)
            self._chunk_publisher.publish(message)
        return stamp_ns

    def _report(self) -> None:
        while self._answers:
            done = self._answers.popleft()
            self.diagnostics.count("action_chunk" if done.chunk is not None else "refused_observation")
            self.diagnostics.set("inference_ms", f"{1000 * done.inference_s:.1f}")
            if done.refusal:
                self.diagnostics.refuse("observation", done.refusal)
        self._observing.report()
        if self._worker is not None:
            self.diagnostics.set("dropped.overtaken", self._worker.n_overtaken)
            latency_s = self._latency.seconds
            self.diagnostics.set("expected_latency_ms", f"{1000 * latency_s:.0f}")
            self.diagnostics.set("playing_speed", f"{self._ready.execution.speed(latency_s):.2f}")
            if not self._worker.is_alive:
                raise UserError("the inference has failed; its reason is above; this node starts again")
        if self._replacement is not None:
            self._replacement.report()

    def _replace(self, ready: Ready) -> None:
        """By another checkpoint, in between."""
        if ready.chosen.sha256 != self._ready.chosen.sha256:
            self._begin(ready)

    def destroy_node(self) -> None:
        if self._worker is not None:
            self._worker.close()
        super().destroy_node()


def main() -> int:
    return run(PolicyServer)


if __name__ == "__main__":
    sys.exit(main())
