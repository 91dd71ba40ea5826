"""A trained chunk policy as the base, and what it sees as the observation: its own image features, frozen, and what the
robot measures. Nothing here knows where things are.

Pictures are drawn at every control step and encoded once; they go through the wire's JPEG as the policy's do.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from policies.checkpoint import load_checkpoint
from policies.frames import decode_frame
from policies.rl.observation import feature_dim, features
from retake.camera_codec import to_jpeg
from sim.cameras import CameraRig
from sim.control_loop import ControlLoop
from sim.task_env import Task
from sim.tasks import task_spec

EXECUTED_S = 0.4  # of a chunk before the next, as in the graph


class PolicyBase:
    """Base and observation at once, since both begin with the same pictures."""

    def __init__(self, task: Task, checkpoint: Path) -> None:
        """Raises CheckpointError for a checkpoint of another robot or other channels."""
        self._rig, self._task = task.rig, task
        loaded = load_checkpoint(checkpoint, task.rig.name, task.rig.layout.channels)
        self.policy = loaded.policy
        self.name = self.sha256 = loaded.sha256
        self.dim = feature_dim(self.policy, task.rig.layout)
        self._drawing = CameraRig(view=task_spec(task.name).view)

    def begin(self, seed: int) -> None:
        """Its chunks depend on what it sees alone."""

    def __call__(self, loop: ControlLoop) -> np.ndarray:
        """(dim,) float32; see policies/rl/observation.py."""
        config = self.policy.config
        drawn = self._drawing.draw(self._task.world.render_state(), config.cameras)
        self.jpegs = {name: to_jpeg(drawn[name]) for name in config.cameras}  # of this moment
        self._pictures = [decode_frame(jpeg, config.width, config.height) for jpeg in self.jpegs.values()]
        self._state = loop.measured_action
        self._seed = zlib.crc32(b"".join((*self.jpegs.values(), self._state.tobytes())))
        return features(self.policy, self._rig.layout, self._pictures, self._state, loop.reference)

    def chunk(self, reference: np.ndarray) -> np.ndarray:
        """(k, dim): the policy's chunk for what was seen last, at the camera's times."""
        config, layout = self.policy.config, self._rig.layout
        points = self.policy.predict(self._pictures, self._state, self._seed)
        times = np.arange(config.chunk_size + 1) * config.chunk_dt_ns * 1e-9
        points = np.concatenate([reference[None], points])  # what is commanded now, then the chunk
        due = np.arange(1, round(EXECUTED_S / self._rig.camera_dt) + 1) * self._rig.camera_dt
        left = np.minimum(np.searchsorted(times, due, side="right") - 1, config.chunk_size - 1)
        weights = (due - times[left]) / (times[left + 1] - times[left])
        return np.array([layout.validated(layout.interpolate(points[i], points[i + 1], w))
                         for i, w in zip(left, weights, strict=True)])  # fmt: skip

    def close(self) -> None:
        """Gives the OpenGL context back."""
        self._drawing.close()
