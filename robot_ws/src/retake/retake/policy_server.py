"""Answers camera frames with action chunks of a trained policy.

Subscribes `camera/<name>/color/image_raw/compressed` (15 Hz, CAMERA) for each camera of the checkpoint and
`measured_action` (50 Hz, STREAM); publishes `action_chunk` (STREAM) every sixth frame with the observation's stamp, and
`training_distance` (5 Hz, of each tenth state; 1 is the edge of what the policy was trained on; see policies/home.py).
When a picture or a state is missing, old or refused there is no chunk: the authority's lease applies. Inference runs in
a worker and the newest observation wins; with `lockstep` it runs in the callback, and equal messages give equal chunks.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Float64, String
from trajectory_msgs.msg import JointTrajectory

from controllers.rigs import rig_of
from policies.checkpoint import load_checkpoint
from policies.chunk import chunk_times_ns
from policies.home import load_home
from policies.inference import Answer, InferenceWorker, answer, warm_up
from policies.observation import Observation, ObservationPairing
from retake import conversions, qos
from retake.diagnostics import Diagnostics
from retake.parameters import declare
from retake.spin import STEADY, run

INFERENCE_FRAMES = 6  # an observation is every sixth camera frame
HOME_EVERY = 10  # states
REPORT_S = 0.2
SILENCE_S = 2.0  # wall time that a due frame may wait before it is said


@dataclass(frozen=True)
class Parameters:
    """ROS parameters of the node."""

    checkpoint: str = field(metadata={"description": "folder with model.safetensors and policy.json"})
    robot: str = field(default="g1", metadata={"description": "robot that the checkpoint must be for"})
    lockstep: bool = field(
        default=False, metadata={"description": "answer in the callback, only on the inference grid"}
    )
    threads: int = field(default=1, metadata={"description": "CPU threads of torch"})

    def __post_init__(self) -> None:
        rig_of(self.robot)
        if not 1 <= self.threads <= 64:
            raise ValueError(f"threads {self.threads}; allowed: 1 to 64")


class PolicyServer(Node):
    """Pairs messages, hands observations to the policy, publishes what it answers."""

    def __init__(self) -> None:
        super().__init__("policy_server")
        self.parameters = parameters = declare(self, Parameters)
        self._rig = rig_of(parameters.robot)
        self.checkpoint = load_checkpoint(Path(parameters.checkpoint), self._rig.name, self._rig.layout.channels)
        config = self.checkpoint.policy.config
        torch.set_num_threads(parameters.threads)
        warm_s = warm_up(self.checkpoint.policy)

        period_ns = INFERENCE_FRAMES * round(self._rig.camera_dt * 1e9)
        self._pairing = ObservationPairing(config.cameras, parameters.lockstep, period_ns)
        self._worker = None if parameters.lockstep else InferenceWorker(self.checkpoint.policy, self._on_answer)
        self._offsets_ns = chunk_times_ns(config.chunk_size, config.chunk_dt_ns).tolist()
        self._answers: deque[Answer] = deque(maxlen=100)  # the worker appends, the report timer takes
        self._world = 0  # n_restarts when the newest observation was made; written by the executor's thread
        self._world_start_ns = 0
        self._waiting_since: float | None = None

        self._home = load_home(Path(parameters.checkpoint), self.checkpoint.policy.state_normaliser)
        self._states = 0
        self._distance = self.create_publisher(Float64, "training_distance", qos.SEND)
        self._chunk_publisher = self.create_publisher(JointTrajectory, "action_chunk", qos.SEND)
        self._policy = self.create_publisher(String, "policy", qos.LATCHED)
        self._policy.publish(String(data=self.checkpoint.sha256[:16]))
        self.diagnostics = Diagnostics(self)
        self.diagnostics.set("policy_sha256", self.checkpoint.sha256)
        for camera in config.cameras:
            topic = f"camera/{camera}/color/image_raw/compressed"
            self.create_subscription(CompressedImage, topic, self._image_callback(camera), qos.CAMERA)
        self.create_subscription(JointTrajectory, "measured_action", self._on_state, qos.STREAM)
        self.create_timer(REPORT_S, self._report, clock=STEADY)
        self.get_logger().info(
            f"policy {self.checkpoint.sha256[:12]} for {self.checkpoint.task}, cameras {', '.join(config.cameras)} at "
            f"{config.width}x{config.height}, {parameters.threads} threads, {1000 * warm_s:.0f} ms a chunk, "
            f"{'lockstep' if parameters.lockstep else 'real time'}"
        )

    def _image_callback(self, camera: str) -> Callable[[CompressedImage], None]:
        def on_image(message: CompressedImage) -> None:
            self.diagnostics.count(f"camera.{camera}")
            stamp_ns = conversions.stamp_ns(message.header.stamp)
            self._take(self._pairing.add_image(camera, stamp_ns, bytes(message.data)))

        return on_image

    def _on_state(self, message: JointTrajectory) -> None:
        self.diagnostics.count("measured_action")
        try:
            state = conversions.action_from(message, self._rig)
        except ValueError as error:
            self.diagnostics.refuse("measured_action", str(error))
            return
        self._states += 1
        if self._home is not None and self._states % HOME_EVERY == 0:
            self._distance.publish(Float64(data=self._home.distance(state)))
        stamp_ns = conversions.stamp_ns(message.header.stamp)
        observation = self._pairing.add_state(stamp_ns, state)
        if self._pairing.n_restarts != self._world:
            self._start_world(stamp_ns)
        self._take(observation)

    def _start_world(self, stamp_ns: int) -> None:
        self._world, self._world_start_ns = self._pairing.n_restarts, stamp_ns
        if self._worker is not None:
            self._worker.clear()
        self.get_logger().info(f"the world restarted at {stamp_ns / 1e9:.3f} s")

    def _take(self, observation: Observation | None) -> None:
        if observation is None:
            return
        self.diagnostics.set("state_age_ms", f"{(observation.stamp_ns - observation.state_stamp_ns) / 1e6:.1f}")
        if self._worker is None:
            self._on_answer(answer(self.checkpoint.policy, observation))
        else:
            self._worker.submit(observation)

    def _on_answer(self, done: Answer) -> None:
        """Publish at once, from the worker in real time: rcl's publish is thread-safe, and waking the executor would
        add its delay. An answer to the world before a restart is dropped."""
        self._answers.append(done)
        stamp_ns, start_ns = done.observation.stamp_ns, self._world_start_ns
        if done.chunk is not None and start_ns <= stamp_ns:
            self._chunk_publisher.publish(conversions.chunk_message(self._offsets_ns, done.chunk, stamp_ns, self._rig))

    def _report(self) -> None:
        while self._answers:
            done = self._answers.popleft()
            self.diagnostics.count("action_chunk" if done.chunk is not None else "refused_observation")
            self.diagnostics.set("inference_ms", f"{1000 * done.inference_s:.1f}")
            if done.refusal:
                self.diagnostics.refuse("observation", done.refusal)
        self.diagnostics.set("dropped.incomplete", self._pairing.n_incomplete)
        self.diagnostics.set("dropped.overtaken", 0 if self._worker is None else self._worker.n_overtaken)
        missing, now = self._pairing.missing, time.monotonic()
        since = self._waiting_since = (self._waiting_since or now) if missing else None
        late = since is not None and now - since > SILENCE_S
        self.diagnostics.trouble("waiting", f"no chunk: {', '.join(missing)} does not answer" if late else None)

    def destroy_node(self) -> None:
        if self._worker is not None:
            self._worker.close()
        super().destroy_node()


def main() -> int:
    return run(PolicyServer)


if __name__ == "__main__":
    sys.exit(main())
