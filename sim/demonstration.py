"""One demonstration: the scripted expert through the graph's controller and cameras, recorded as the graph would be."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from policies.episode_file import episode_folder
from sim.cameras import CameraRig
from sim.control_loop import ControlLoop
from sim.episode_log import EXPERT_ACTION, EpisodeLog
from sim.tasks import Expert, Noise, task_spec

TRUTH_S = 0.1
SETTLE_FRAMES = 10  # also whole reference ticks; unrecorded: in the graph the robot stands first
APPROACH_FRAMES = 20  # unrecorded, to a perturbed starting pose


@dataclass(frozen=True)
class Variation:
    """How demonstrations differ beyond their scenes; 0 and False are off."""

    noise: float = 0.0  # scale of sim.reference_noise
    start_spread: float = 0.0  # scale of the starting pose's range
    sensor_noise: bool = False


class Demonstrator:
    """World, controller, cameras and task, built once for many episodes."""

    def __init__(self, variation: Variation, task: str = "g1_box") -> None:
        self._variation, self._spec = variation, task_spec(task)
        self._task = self._spec.make(variation.sensor_noise, 0)
        self._world = self._task.world
        self._loop = ControlLoop(self._world)
        self._rig = CameraRig(view=self._spec.view)
        robot = self._spec.rig
        self.max_episode_s = self._task.max_episode_s
        self._step_ns, self._start_ns = round(robot.control_dt * 1e9), round(self._world.start_time_s * 1e9)
        self._camera_steps, self._truth_steps = (round(dt / robot.control_dt) for dt in (robot.camera_dt, TRUTH_S))

    def record(self, seed: int, root: Path, by: str = "policy") -> dict:
        """Records the episode of `seed` into a new folder under `root`; returns its episode.json. `by`: who is said to
        have authority, teleop where the expert stands for a person."""
        rng = np.random.default_rng([seed, 0xDA27])
        self._task.randomise(seed)
        self._loop.reset()
        self._approach(rng)
        meta = {"task": self._task.name, "seed": seed, "policy_hash": "expert",
                "demonstration": asdict(self._variation), "authority": [[self._stamp_ns, by]]}
        log = EpisodeLog(episode_folder(root, seed), meta, self._rig, self._spec.rig)
        with log.writer:
            expert = self._spec.make_expert(self._task, self._loop.reference, seed)
            self._play(expert, self._spec.make_noise(rng, self._variation.noise), log)
            success, failure = self._task.success(), self._task.failure()
            log.writer.close("success" if success else "failure", "expert", out_of_time=not (success or failure))
        return log.writer.meta

    @property
    def _stamp_ns(self) -> int:
        return self._start_ns + self._loop.steps * self._step_ns

    def _play(self, expert: Expert, noise: Noise, log: EpisodeLog) -> None:
        task, loop = self._task, self._loop
        label = executed = loop.reference
        while True:
            stamp_ns, due = self._stamp_ns, loop.reference_due
            if due:
                task.update()
                if self._ended():
                    log.ground_truth(task.ground_truth(), stamp_ns)
                    return
                label = expert.act(loop.measured_action, self._spec.rig.reference_dt)
                executed = noise.disturb(label)
                log.joints(loop.sensors, stamp_ns)
                log.vector("measured_action", loop.measured_action, stamp_ns)
            if loop.steps % self._camera_steps == 0:
                log.pictures(self._world.render_state(), stamp_ns)
            if loop.steps % self._truth_steps == 0:
                log.ground_truth(task.ground_truth(), stamp_ns)
            loop.advance(executed)
            if due:
                log.vector("reference", loop.reference, stamp_ns)
                log.vector(EXPERT_ACTION, label, stamp_ns)

    def _ended(self) -> bool:
        task = self._task
        return task.success() or bool(task.failure()) or self._world.time >= self.max_episode_s

    def _approach(self, rng: np.random.Generator) -> None:
        """Lets the robot settle and drives it to a random pose near the one it starts in, before recording begins."""
        for _ in range(SETTLE_FRAMES * self._camera_steps):
            self._loop.advance(self._loop.reference)
        if self._variation.start_spread == 0:
            return
        pose = self._spec.start_pose(self._loop.reference, rng, self._variation.start_spread)
        for _ in range(APPROACH_FRAMES * self._camera_steps):
            self._loop.advance(pose)
