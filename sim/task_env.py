"""Any task as a Gymnasium environment: same world, controller and cameras as the ROS graph, in one process.

One step is one camera period. The action is where the reference shall be at its end, as one point of an action chunk
is; on the way there the reference is interpolated and its speed limited, as the authority does.
"""

from __future__ import annotations

from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium import spaces

from controllers.rigs import Rig
from sim.cameras import SPECTATOR, CameraRig, View
from sim.control_loop import ControlLoop


class Task(Protocol):
    """A world with something to do in it, judged from ground truth."""

    name: str
    rig: Rig
    max_episode_s: float
    held_out_seed: int
    world: Any

    def randomise(self, seed: int) -> Any: ...
    def update(self) -> None: ...
    def success(self) -> bool: ...
    def failure(self) -> str: ...
    def ground_truth(self) -> dict[str, Any]: ...


class TaskEnv(gymnasium.Env):
    """Reward 1 at success, else 0.

    Observation: `state` (dim,) the pose the robot has in the rig's channels; `q` rad, `dq` rad/s, `tau` N·m, (joints,)
    in the rig's order; with `cameras` the pictures by name, (height, width, 3) uint8 RGB.
    Ends at success and when success has become impossible (info `failure` says why); truncated after max_episode_s.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 15}

    def __init__(self, task: Task, view: View, cameras: bool = False, render_mode: str | None = None,
                 width: int = 320, height: int = 240) -> None:
        """`width` x `height` of the pictures."""
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"unknown render_mode {render_mode!r}; allowed: None, rgb_array")
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "render_fps": round(1 / task.rig.camera_dt)}
        self._cameras = cameras
        self._rig = CameraRig(width, height, view) if cameras or render_mode else None
        self.task, self.rig, self._world = task, task.rig, task.world
        self.loop = ControlLoop(task.world)
        self._steps = round(task.rig.camera_dt / task.rig.control_dt)
        layout = task.rig.layout
        self.action_space = spaces.Box(layout.lower.astype(np.float32), layout.upper.astype(np.float32))
        joints = len(task.rig.joint_names)
        entries: dict[str, spaces.Space] = {
            name: spaces.Box(-np.inf, np.inf, (size,), np.float64)
            for name, size in (("state", layout.dim), ("q", joints), ("dq", joints), ("tau", joints))
        }
        if cameras:
            entries |= {name: spaces.Box(0, 255, (height, width, 3), np.uint8) for name in view.mounts}
        self.observation_space = spaces.Dict(entries)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict, dict]:
        """Start the scene of `seed`, the same as in the graph; without one, a scene that evaluation never uses."""
        super().reset(seed=seed)
        self.task_seed = int(self.np_random.integers(self.task.held_out_seed)) if seed is None else seed
        self.task.randomise(self.task_seed)
        self.loop.reset()
        self._target = self.loop.reference
        return self._observation(), self._info()

    def step(self, action: np.ndarray) -> tuple[dict, float, bool, bool, dict]:
        """Advance one camera period towards `action` (dim,) in the rig's channels."""
        start, self._target = self._target, self.rig.layout.validated(action)
        for k in range(self._steps):
            target = start
            if self.loop.reference_due:
                self.task.update()
                target = self.rig.layout.interpolate(start, self._target, k / self._steps)
            self.loop.advance(target)
        info = self._info()
        terminated = bool(info["success"] or info["failure"])
        truncated = not terminated and self._world.time >= self.task.max_episode_s
        return self._observation(), float(info["success"]), terminated, truncated, info

    def render(self) -> np.ndarray | None:
        """A spectator's view, (height, width, 3) uint8 RGB."""
        if self.render_mode is None or self._rig is None:
            return None
        return self._rig.draw(self._world.render_state(), (SPECTATOR,))[SPECTATOR]

    def close(self) -> None:
        if self._rig is not None:
            self._rig.close()
            self._rig = None

    def _observation(self) -> dict[str, np.ndarray]:
        sensors = self.loop.sensors
        observation = {"state": self.loop.measured_action, "q": sensors.q.copy(), "dq": sensors.dq.copy(),
                       "tau": sensors.tau_est.copy()}
        if self._cameras and self._rig is not None:
            observation |= self._rig.draw(self._world.render_state())
        return observation

    def _info(self) -> dict[str, Any]:
        task = self.task
        return {"seed": self.task_seed, "time_s": self._world.time, "success": bool(task.success()),
                "failure": task.failure(), "ground_truth": task.ground_truth()}
