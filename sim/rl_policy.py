"""A trained chunk policy as the base, and as eyes: seen is what its frozen encoders find in the pictures, and what the
robot measures. Nothing here knows where things are.

Pictures are drawn where somebody looks at them, and go through the wire's JPEG as the policy's do. Chunks follow each
other as in the graph: an answer counts LATENCY_S after its observation, and its play blends into the one before.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from controllers.action_chunk import Chunk
from controllers.chunk_player import BLEND_NS
from policies.checkpoint import load_checkpoint
from policies.chunk import chunk_times_ns
from policies.executed import Executed
from policies.execution import ChunkExecution
from policies.frames import decode_frame
from policies.observation import Observation
from policies.rl.observation import feature_dim, features
from retake.cameras.codec import to_jpeg
from sim.cameras import CameraRig
from sim.control_loop import ControlLoop
from sim.rollout import INFERENCE_FRAMES, LATENCY_S
from sim.task_env import Task
from sim.tasks import task_spec

LATENCY_NS = round(LATENCY_S * 1e9)


class Eyes:
    """The observation. `jpegs`: what each camera has seen last."""

    def __init__(self, task: Task, checkpoint: Path) -> None:
        """Raises CheckpointError for a checkpoint of another robot or other channels."""
        self._rig, self._task = task.rig, task
        loaded = load_checkpoint(checkpoint, task.rig.name, task.rig.layout.channels)
        self.policy = loaded.policy
        self.name = self.sha256 = loaded.sha256
        self.dim = feature_dim(self.policy, task.rig.layout)
        self.pose_dim = len(self.policy.config.state_channels)
        self._drawing = CameraRig(view=task_spec(task.name).view)
        self._step_ns = round(self._rig.control_dt * 1e9)

    def __call__(self, loop: ControlLoop) -> np.ndarray:
        """(dim,) float32; see policies/rl/observation.py."""
        config, stamp_ns = self.policy.config, (loop.steps + 1) * self._step_ns  # 0 would say that there is no chunk
        drawn = self._drawing.draw(self._task.world.render_state(), config.cameras)
        self.jpegs = {name: to_jpeg(drawn[name]) for name in config.cameras}
        pose = loop.measured_action
        self._seen = Observation(stamp_ns, tuple(self.jpegs.values()), pose, stamp_ns)
        pictures = [decode_frame(jpeg, config.width, config.height) for jpeg in self.jpegs.values()]
        return features(self.policy, self._rig.layout, pictures, pose, loop.reference)

    def close(self) -> None:
        """Gives the OpenGL context back."""
        self._drawing.close()


class PolicyBase(Eyes):
    """Base and observation at once, since both begin with the same pictures."""

    def __init__(self, task: Task, checkpoint: Path) -> None:
        """As Eyes."""
        super().__init__(task, checkpoint)
        self._execution = ChunkExecution(self.policy)
        self._camera_ns = round(self._rig.camera_dt * 1e9)

    def begin(self, seed: int) -> None:
        """No chunk from before counts; what is random in the next ones comes from what is seen."""
        self._execution.begin()
        self._played: Chunk | None = None

    def chunk(self, reference: np.ndarray) -> np.ndarray:
        """(INFERENCE_FRAMES, dim): where it would have the reference at the next camera frames, after what was seen
        last. Without a chunk from before the first one counts at once.

        Raises:
            ValueError: the policy has no answer to what was seen.
        """
        layout, config, seen = self._rig.layout, self.policy.config, self._seen
        before_ns = 0 if self._played is None else self._played.stamp_ns
        executed = Executed(np.array([seen.stamp_ns]), reference[None], np.array([before_ns]))
        done = self._execution.answer(seen, executed, LATENCY_S)
        if done.chunk is None:
            raise ValueError(done.refusal)
        offsets_ns = chunk_times_ns(config.chunk_size, config.chunk_dt_ns)
        newest = Chunk.checked(seen.stamp_ns, offsets_ns, done.chunk, layout)
        before, self._played = self._played or newest, newest
        points = []
        for k in range(1, INFERENCE_FRAMES + 1):
            due_ns = seen.stamp_ns + k * self._camera_ns
            s = np.clip((due_ns - seen.stamp_ns - LATENCY_NS) / BLEND_NS, 0.0, 1.0)
            points.append(layout.interpolate(before.at(due_ns), newest.at(due_ns), s * s * (3.0 - 2.0 * s)))
        return np.array([layout.validated(point) for point in points])
