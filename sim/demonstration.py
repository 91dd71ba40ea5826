"""One demonstration: the scripted expert through the graph's controller and cameras, recorded as the graph would be."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from controllers import channels, g1, rotations
from policies.episode_file import episode_folder
from sim.cameras import CAMERA_PERIOD_S, CameraRig
from sim.control_loop import ControlLoop
from sim.episode_log import EXPERT_ACTION, EpisodeLog
from sim.expert import BoxExpert
from sim.g1_box import MAX_EPISODE_S, G1BoxTask
from sim.g1_world import START_TIME_S, G1World
from sim.reference_noise import ReferenceNoise

STEP_NS = round(g1.CONTROL_DT * 1e9)
START_NS = round(START_TIME_S * 1e9)
CAMERA_STEPS = round(CAMERA_PERIOD_S / g1.CONTROL_DT)
TRUTH_STEPS = 50  # 10 Hz
SETTLE_STEPS = 10 * CAMERA_STEPS  # 0.66 s, also whole reference ticks; unrecorded: in the graph the robot stands first
APPROACH_STEPS = 20 * CAMERA_STEPS  # 1.32 s, unrecorded, to a perturbed starting pose
# Half ranges of a perturbed start at spread 1: hands (m), their turn (rad), pelvis (m, downwards only), torso (rad).
START_HAND_M, START_TURN, START_HEIGHT_M, START_PITCH = 0.08, 0.25, 0.12, 0.15


@dataclass(frozen=True)
class Variation:
    """How demonstrations differ beyond their scenes; 0 and False are off."""

    noise: float = 0.0  # scale of sim.reference_noise
    start_spread: float = 0.0  # scale of the starting pose's range
    sensor_noise: bool = False


class Demonstrator:
    """World, controller, cameras and task, built once for many episodes."""

    def __init__(self, variation: Variation) -> None:
        self._variation = variation
        self._world = G1World(noise=variation.sensor_noise)
        self._task = G1BoxTask(self._world)
        self._loop = ControlLoop(self._world)
        self._rig = CameraRig()

    def record(self, seed: int, root: Path) -> dict:
        """Records the episode of `seed` into a new folder under `root`; returns its episode.json."""
        rng = np.random.default_rng([seed, 0xDA27])
        self._task.randomise(seed)
        self._loop.reset()
        self._approach(rng)
        meta = {"task": self._task.name, "seed": seed, "policy_hash": "expert",
                "demonstration": asdict(self._variation), "authority": [[self._stamp_ns, "policy"]]}
        log = EpisodeLog(episode_folder(root, seed), meta, self._rig)
        with log.writer:
            self._play(BoxExpert(self._task.scene, seed), ReferenceNoise(rng, self._variation.noise), log)
            log.writer.close("success" if self._task.success() else "failure", "expert")
        return log.writer.meta

    @property
    def _stamp_ns(self) -> int:
        return START_NS + self._loop.steps * STEP_NS

    def _play(self, expert: BoxExpert, noise: ReferenceNoise, log: EpisodeLog) -> None:
        task, loop = self._task, self._loop
        begin, start = loop.steps, loop.reference
        label = executed = start
        while True:
            stamp_ns, due = self._stamp_ns, loop.reference_due
            if due:
                task.update()
                if self._ended():
                    log.ground_truth(task.ground_truth(), stamp_ns)
                    return
                label = expert.act((loop.steps - begin) * g1.CONTROL_DT, start)
                executed = noise.disturb(label)
                log.joints(loop.sensors, stamp_ns)
                log.vector("measured_action", loop.measured_action, stamp_ns)
            if loop.steps % CAMERA_STEPS == 0:
                log.pictures(self._world.render_state(), stamp_ns)
            if loop.steps % TRUTH_STEPS == 0:
                log.ground_truth(task.ground_truth(), stamp_ns)
            loop.advance(executed)
            if due:
                log.vector("reference", loop.reference, stamp_ns)
                log.vector(EXPERT_ACTION, label, stamp_ns)

    def _ended(self) -> bool:
        task = self._task
        return task.success() or task.fallen() or task.dropped() or self._world.time >= MAX_EPISODE_S

    def _approach(self, rng: np.random.Generator) -> None:
        """Lets the robot settle and drives it to a random pose near the one it starts in, before recording begins."""
        for _ in range(SETTLE_STEPS):
            self._loop.advance(self._loop.reference)
        if self._variation.start_spread == 0:
            return
        pose = start_pose(self._loop.reference, rng, self._variation.start_spread)
        for _ in range(APPROACH_STEPS):
            self._loop.advance(pose)


def start_pose(home: np.ndarray, rng: np.random.Generator, spread: float) -> np.ndarray:
    """(17,) action around `home` (17,), each hand for itself."""
    pose = home.copy()
    for position, quat in ((g1.LEFT_POSITION, g1.LEFT_QUAT), (g1.RIGHT_POSITION, g1.RIGHT_QUAT)):
        pose[position] += spread * rng.uniform(-START_HAND_M, START_HAND_M, 3)
        turn = rotations.from_rotvec(spread * rng.uniform(-START_TURN, START_TURN, 3))
        pose[quat] = rotations.multiply(turn, home[quat])
    pose[g1.BASE_HEIGHT] -= spread * rng.uniform(0.0, START_HEIGHT_M)
    pose[g1.TORSO_PITCH] += spread * rng.uniform(-0.3, 1.0) * START_PITCH
    return channels.validated(pose)
