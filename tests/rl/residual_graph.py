"""Authority, policy server and a residual in lockstep on real messages, in one executor, with a robot that follows."""

from __future__ import annotations

import itertools
import json
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import rclpy
import torch
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.experimental import EventsExecutor
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from controllers.rigs import YAM
from policies.act import ActPolicy
from policies.checkpoint import save_checkpoint
from policies.episode_file import EpisodeWriter, has_header
from policies.normalise import Normaliser
from policies.policy import PolicyConfig
from policies.rl import config as configs
from policies.rl.episode import About
from policies.rl.learner import Learner
from policies.rl.weights import publish
from retake.control.authority import AuthorityNode
from retake.policy.policy_server import PolicyServer
from retake.policy.residual import ResidualNode
from retake.ros import conversions, qos
from retake.ros.topics import recorded_topics

DOMAIN = 67
MS = 1_000_000
TICK, FRAME, STEP, START = 20 * MS, 60 * MS, 120 * MS, 3_600 * MS
TICKS = 70  # 1.4 s
LAYOUT, CAMERAS = YAM.layout, ("wrist", "front")
RATES = LAYOUT.rate_names[:6]
RANGE = (0.02,) * 3 + (0.1,) * 3


def write_base(folder: Path) -> Path:
    """An untrained policy, which keeps about where it is."""
    torch.manual_seed(1)
    names = LAYOUT.channels
    config = PolicyConfig(names, names, CAMERAS, 32, 24, chunk_dt_ns=FRAME, n_keypoints=4, context_dim=16,
                          hidden_dim=16, n_blocks=1)  # fmt: skip
    centre = Normaliser(names, YAM.home_action, np.full(len(names), 0.01))
    save_checkpoint(folder, ActPolicy(config, centre, centre).eval(), "yam", "arm_insert", {})
    return folder


def write(run: Path, base: Path, learnt: bool, /, **changes) -> str:
    """Weights of a run on that base: as at step 0, or with a last layer of some size."""
    sha256 = json.loads((base / "policy.json").read_text())["sha256"]
    told = {"robot": "yam", "task": "arm_insert", "channels": RATES, "observation": sha256, "base": sha256,
            "run": "run", "action_range": RANGE, "step_s": 0.12, **changes}  # fmt: skip
    learner = Learner(replace(configs.residual(16 + 8 + 7, 6), unanimous=False))  # critics that have learnt nothing
    if learnt:
        learner.n_updates = 5_000
        torch.nn.init.constant_(learner.actor.net.weights[-1], 0.3)
    run.mkdir(exist_ok=True)
    publish(run, learner, About(**told))
    return sha256


def options(**parameters: object) -> dict[str, object]:
    told = {"robot": "yam", "lockstep": True, **parameters}
    return {"namespace": "yam", "parameter_overrides": [Parameter(name, value=value) for name, value in told.items()]}


class Graph:
    """The three nodes, and a robot whose pose is its reference of the tick before."""

    def __init__(self, base: Path, run: Path | None) -> None:
        rclpy.init(domain_id=DOMAIN)
        self.peer = rclpy.create_node("peer", namespace="yam")
        self.nodes = [self.peer, AuthorityNode(**options(residual=run is not None)),
                      PolicyServer(**options(policy=str(base)))]  # fmt: skip
        if run is not None:
            self.nodes.append(ResidualNode(**options(policy=str(base), residual=str(run))))
        self.executor = EventsExecutor()
        for node in self.nodes:
            self.executor.add_node(node)
        self.references: list[np.ndarray] = []
        self.sources: list[dict[str, str]] = []
        self.enabled: list[bool] = []
        self.told: list[dict] = []
        peer = self.peer
        peer.create_subscription(JointTrajectory, "reference", self._on_reference, qos.STREAM)
        peer.create_subscription(DiagnosticStatus, "provenance", self._on_provenance, qos.STREAM)
        peer.create_subscription(Bool, "residual/enabled", lambda m: self.enabled.append(m.data), qos.LATCHED)
        peer.create_subscription(String, "residual", lambda m: self.told.append(json.loads(m.data)), qos.LATCHED)
        self.state = peer.create_publisher(JointTrajectory, "measured_action", qos.STREAM)
        self.teleop = peer.create_publisher(JointTrajectory, "teleop_action", qos.STREAM)
        self.event = peer.create_publisher(String, "episode/event", qos.LATCHED)
        topics = [f"camera/{name}/color/image_raw/compressed" for name in CAMERAS]
        self.images = [peer.create_publisher(CompressedImage, topic, qos.CAMERA) for topic in topics]
        readers = 2 if run else 1
        self.spin(lambda: self.state.get_subscription_count() == 1 + readers
                  and all(p.get_subscription_count() == readers for p in self.images)
                  and peer.count_publishers("/yam/reference") and self.enabled and (self.told or not run))  # fmt: skip

    def _on_reference(self, message: JointTrajectory) -> None:
        self.references.append(conversions.action_from(message, YAM))

    def _on_provenance(self, message: DiagnosticStatus) -> None:
        self.sources.append({pair.key: pair.value for pair in message.values})

    def spin(self, until: Callable[[], object], timeout_s: float = 30.0) -> None:
        end = time.monotonic() + timeout_s
        while not until():
            assert time.monotonic() < end, "it did not happen in time"
            self.executor.spin_once(timeout_sec=0.05)

    def call(self, name: str) -> Trigger.Response:
        client = self.peer.create_client(Trigger, name)
        self.spin(client.service_is_ready)
        future = client.call_async(Trigger.Request())
        self.spin(future.done)
        return future.result()

    def drive(self, ticks: int) -> None:
        """A person takes over, moves the hand 1 mm a tick to the left, and hands back."""
        assert self.call("take_over").success
        hand = self.references[-1].copy()
        for _ in range(ticks):
            hand[1] += 0.001
            stamp = START + len(self.references) * TICK
            self.teleop.publish(conversions.action_message(hand, stamp, YAM, "joy"))
            self.run(1)
        assert self.call("hand_back").success

    def run(self, ticks: int = TICKS, off_at: int = -1) -> np.ndarray:
        """References (ticks, dim); the policy has the robot from the first on, the switch is turned off at `off_at`."""
        for k in range(len(self.references), len(self.references) + ticks):
            stamp = START + k * TICK
            if stamp % FRAME == 0:
                self._look(stamp)
            pose = self.references[-1] if self.references else YAM.home_action
            if k == off_at:
                assert self.call("residual/off").success
            self.state.publish(conversions.action_message(pose, stamp, YAM))
            self.spin(lambda k=k: len(self.references) == len(self.sources) == k + 1)
            if k == 0:
                assert self.call("hand_back").success
        return np.array(self.references)

    def _look(self, stamp: int) -> None:
        for i, publisher in enumerate(self.images):
            picture = np.random.default_rng([stamp, i]).integers(0, 255, (24, 32, 3), np.uint8)
            message = CompressedImage(format="jpeg", data=cv2.imencode(".jpg", picture)[1].tobytes())
            message.header.stamp = conversions.time_message(stamp)
            publisher.publish(message)

    def record(self, folder: Path) -> EpisodeWriter:
        """Write from now on what the recorder would; the caller closes it."""
        meta = {"robot": "yam", "task": "arm_insert", "seed": 3, "action_channels": list(LAYOUT.channels),
                "lockstep": True}  # fmt: skip
        writer, counter = EpisodeWriter(folder, meta), itertools.count(START)
        kinds = {name: recorded_topics(CAMERAS)[name] for name in (
            "measured_action", "reference", "provenance", "action_chunk", "residual",
            *(f"camera/{name}/color/image_raw/compressed" for name in CAMERAS))}  # fmt: skip

        def write(topic: str, kind: type, data: bytes) -> None:
            arrived, msgtype = next(counter), f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"
            stamp = arrived
            if has_header(msgtype):
                sec, nanosec = struct.unpack_from("<iI", data, 4)
                stamp = sec * 1_000_000_000 + nanosec
            writer.write_raw(f"/yam/{topic}", msgtype, data, stamp, arrived)

        for topic, kind in kinds.items():
            profile = qos.LATCHED if topic == "residual" else qos.STREAM
            self.peer.create_subscription(kind, topic, partial(write, topic, kind), profile, raw=True)
        self.spin(lambda: all(p.get_subscription_count() == 3 for p in self.images))
        return writer

    def close(self) -> None:
        self.executor.shutdown()
        for node in self.nodes:
            node.destroy_node()
        rclpy.try_shutdown()


@contextmanager
def graph(base: Path, run: Path | None = None) -> Iterator[Graph]:
    made = None
    try:
        made = Graph(base, run)
        yield made
    finally:
        if made is not None:
            made.close()
        rclpy.try_shutdown()
