"""The g1_box task as a Gymnasium environment: same world, controller and cameras as the ROS graph, in one process.

One step is one camera period, 66 ms. The action is where the reference shall be at its end, as one point of an action
chunk is; on the way there the reference is interpolated and its speed limited, as the authority does.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from controllers import channels, g1
from sim.cameras import CAMERA_PERIOD_S, CAMERAS, SPECTATOR, CameraRig
from sim.control_loop import ControlLoop
from sim.g1_box import HELD_OUT_SEED, MAX_EPISODE_S, G1BoxTask
from sim.g1_world import G1World

CONTROL_STEPS = round(CAMERA_PERIOD_S / g1.CONTROL_DT)


class G1BoxEnv(gymnasium.Env):
    """Lift the box from the stand and set it on the shelf. Reward 1 at success, else 0.

    Observation: `state` (17,) the pose the robot has in ACTION_CHANNELS, `q` (29,) rad and `dq` (29,) rad/s in
    JOINT_NAMES' order, and with `cameras` the pictures `head` and `chest`, (height, width, 3) uint8 RGB.
    Ends at success, at a fall, when the box is dropped; truncated after MAX_EPISODE_S.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": round(1 / CAMERA_PERIOD_S)}

    def __init__(self, cameras: bool = False, render_mode: str | None = None, noise: bool = False,
                 command_delay: int = 0, width: int = 320, height: int = 240) -> None:
        """`noise` and `command_delay` (control steps) as in G1World; `width` x `height` of the pictures."""
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"unknown render_mode {render_mode!r}; allowed: None, rgb_array")
        self.render_mode = render_mode
        self._cameras = cameras
        self._rig = CameraRig(width, height) if cameras or render_mode else None
        self._world = G1World(noise=noise, command_delay=command_delay)
        self._task = G1BoxTask(self._world)
        self._loop = ControlLoop(self._world)
        self.action_space = spaces.Box(g1.ACTION_LOWER.astype(np.float32), g1.ACTION_UPPER.astype(np.float32))
        entries: dict[str, spaces.Space] = {
            name: spaces.Box(-np.inf, np.inf, (size,), np.float64)
            for name, size in (("state", g1.ACTION_DIM), ("q", g1.NUM_JOINTS), ("dq", g1.NUM_JOINTS))
        }
        if cameras:
            entries |= {name: spaces.Box(0, 255, (height, width, 3), np.uint8) for name in CAMERAS}
        self.observation_space = spaces.Dict(entries)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict, dict]:
        """Start the scene of `seed`, the same as in the graph; without one, a scene that evaluation never uses."""
        super().reset(seed=seed)
        self.task_seed = int(self.np_random.integers(HELD_OUT_SEED)) if seed is None else seed
        self._task.randomise(self.task_seed)
        self._loop.reset()
        self._target = self._loop.reference
        return self._observation(), self._info()

    def step(self, action: np.ndarray) -> tuple[dict, float, bool, bool, dict]:
        """Advance CAMERA_PERIOD_S towards `action` (17,) in ACTION_CHANNELS, poses in odom."""
        start, self._target = self._target, channels.validated(action)
        for k in range(CONTROL_STEPS):
            target = start
            if self._loop.reference_due:
                self._task.update()
                target = channels.interpolate(start, self._target, k / CONTROL_STEPS)
            self._loop.advance(target)
        info = self._info()
        terminated = info["success"] or info["fallen"] or info["dropped"]
        truncated = not terminated and self._world.time >= MAX_EPISODE_S
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
        sensors = self._loop.sensors
        observation = {"state": self._loop.measured_action, "q": sensors.q.copy(), "dq": sensors.dq.copy()}
        if self._cameras and self._rig is not None:
            observation |= self._rig.draw(self._world.render_state())
        return observation

    def _info(self) -> dict[str, Any]:
        task = self._task
        return {"seed": self.task_seed, "time_s": self._world.time, "success": bool(task.success()),
                "fallen": bool(task.fallen()), "dropped": bool(task.dropped()), "ground_truth": task.ground_truth()}
