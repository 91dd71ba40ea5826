"""The messages that observations are made of, for the nodes that answer them: subscribed, paired, missed.

In: camera/<name>/color/image_raw/compressed (CAMERA) and measured_action (STREAM). A state that is not this robot's is
refused; a picture or a state that keeps a due observation waiting is said after 2 s.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage
from trajectory_msgs.msg import JointTrajectory

from controllers.rigs import Rig
from policies.observation import Observation, ObservationPairing
from retake.ros import conversions, qos
from retake.ros.diagnostics import Diagnostics

INFERENCE_FRAMES = 6  # an observation is every sixth camera frame
SILENCE_S = 2.0  # wall time that a due frame may wait before it is said


class Observing:
    """Calls back in the executor's thread. `wanted` are the cameras of the policy, in its order; empty: no policy yet.
    Any thread may set it; the next message then starts a new pairing."""

    def __init__(self, node: Node, rig: Rig, diagnostics: Diagnostics, on_observation: Callable[[Observation], None],
                 on_restart: Callable[[], None], on_state: Callable[[np.ndarray], None] = lambda _: None,
                 frames: int = INFERENCE_FRAMES) -> None:
        """`on_restart`: the world began anew at `world_start_ns`; what was asked before is about another one. `frames`
        of a camera from one observation to the next."""
        self._node, self._rig, self._diagnostics, self._frames = node, rig, diagnostics, frames
        self._on_observation, self._on_restart, self._on_state = on_observation, on_restart, on_state
        self.wanted: tuple[str, ...] = ()
        self.world_start_ns = 0
        self._listening: set[str] = set()  # to these cameras
        self._pairing: ObservationPairing | None = None
        self._lockstep = False
        self._restarts = 0  # of the pairing, that were told
        self._waiting_since: float | None = None

    def subscribe(self, cameras: tuple[str, ...], lockstep: bool = False) -> None:
        """Listen to these cameras, whichever of them are wanted, and to the state. Once."""
        self._lockstep = lockstep
        self.listen(cameras)
        self._node.create_subscription(JointTrajectory, "measured_action", self._on_measured, qos.STREAM)

    def listen(self, cameras: tuple[str, ...]) -> None:
        """Listen to these cameras too; in the executor's thread."""
        for camera in cameras:
            if camera not in self._listening:
                self._listening.add(camera)
                topic = f"camera/{camera}/color/image_raw/compressed"
                self._node.create_subscription(CompressedImage, topic, self._image_callback(camera), qos.CAMERA)

    @property
    def cameras(self) -> tuple[str, ...]:
        """Whose pictures observations have now."""
        return () if self._pairing is None else self._pairing.cameras

    def report(self) -> None:
        """Say what is missing, and how many due frames were overtaken."""
        pairing, now = self._pairing, time.monotonic()
        missing = () if pairing is None else pairing.missing
        self._diagnostics.set("dropped.incomplete", 0 if pairing is None else pairing.n_incomplete)
        since = self._waiting_since = (self._waiting_since or now) if missing else None
        late = since is not None and now - since > SILENCE_S
        self._diagnostics.trouble("waiting", f"no chunk: {', '.join(missing)} does not answer" if late else None)

    def _image_callback(self, camera: str) -> Callable[[CompressedImage], None]:
        def on_image(message: CompressedImage) -> None:
            self._diagnostics.count(f"camera.{camera}")
            pairing = self._current()
            if pairing is not None and camera in pairing.cameras:
                stamp_ns = conversions.stamp_ns(message.header.stamp)
                self._take(pairing.add_image(camera, stamp_ns, bytes(message.data)))

        return on_image

    def _on_measured(self, message: JointTrajectory) -> None:
        self._diagnostics.count("measured_action")
        try:
            state = conversions.action_from(message, self._rig)
        except ValueError as error:
            self._diagnostics.refuse("measured_action", str(error))
            return
        self._on_state(state)
        if (pairing := self._current()) is None:
            return
        stamp_ns = conversions.stamp_ns(message.header.stamp)
        observation = pairing.add_state(stamp_ns, state)
        if pairing.n_restarts != self._restarts:
            self._restarts, self.world_start_ns = pairing.n_restarts, stamp_ns
            self._on_restart()
            self._node.get_logger().info(f"the world restarted at {stamp_ns / 1e9:.3f} s")
        self._take(observation)

    def _current(self) -> ObservationPairing | None:
        """The pairing of the wanted cameras."""
        wanted = self.wanted
        if wanted and (self._pairing is None or self._pairing.cameras != wanted):
            period_ns = self._frames * round(self._rig.camera_dt * 1e9)
            self._pairing, self._restarts = ObservationPairing(wanted, self._lockstep, period_ns), 0
        return self._pairing

    def _take(self, observation: Observation | None) -> None:
        if observation is not None:
            age_ns = observation.stamp_ns - observation.state_stamp_ns
            self._diagnostics.set("state_age_ms", f"{age_ns / 1e6:.1f}")
            self._on_observation(observation)
