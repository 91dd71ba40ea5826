"""A policy's own episodes, recorded as the recorder records the graph: its failures too, which a verifier needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from policies.episode_file import episode_folder
from policies.execution import ChunkExecution
from sim.episode_log import EpisodeLog
from sim.evaluation import chosen_for
from sim.rollout import Execution, Rollout

TRUTH_NS = 100_000_000


class PolicyRecorder:
    """World, controller, cameras and policy, built once for many episodes."""

    def __init__(self, rollout: Rollout, execution: Execution, policy_hash: str) -> None:
        """`policy_hash`: the name under which the policy goes into the recordings."""
        self._rollout, self._execution, self._hash = rollout, execution, policy_hash

    @classmethod
    def of(cls, policy: str, task: str) -> PolicyRecorder:
        """For a policy as in sim/evaluation.py.

        Raises:
            ValueError: it cannot be used for this task.
        """
        chosen = chosen_for(policy, task)
        rollout = Rollout(task, chosen.policy.config.cameras)
        return cls(rollout, ChunkExecution(chosen.policy), chosen.sha256[:16])

    def record(self, seed: int, root: Path) -> dict:
        """Records the episode of `seed` into a new folder under `root`; returns its episode.json."""
        rollout = self._rollout
        rollout.begin(seed)
        meta = {"task": rollout.task.name, "seed": seed, "policy_hash": self._hash,
                "authority": [[rollout.stamp_ns, "policy"]]}
        log = EpisodeLog(episode_folder(root, seed), meta, rollout.drawing, rollout.rig)
        ticks = _Ticks(rollout, log)
        rollout.on_frame, rollout.on_tick = log.pictures, ticks.add
        try:
            self._play(log, ticks)
        finally:
            rollout.on_frame = rollout.on_tick = None  # the next episode has another log
        return log.writer.meta

    def _play(self, log: EpisodeLog, ticks: _Ticks) -> None:
        rollout = self._rollout
        with log.writer:
            ticks.add(rollout.stamp_ns, rollout.measured, rollout.reference)
            log.pictures(rollout.task.world.render_state(), rollout.stamp_ns)
            why, _ = rollout.attempt(self._execution)
            log.ground_truth(rollout.task.ground_truth(), rollout.stamp_ns)
            log.writer.close("success" if why == "success" else "failure", "evaluator", out_of_time=why == "timeout")


class _Ticks:
    """What is logged at every reference tick."""

    def __init__(self, rollout: Rollout, log: EpisodeLog) -> None:
        self._rollout, self._log = rollout, log

    def add(self, stamp_ns: int, measured: np.ndarray, reference: np.ndarray) -> None:
        log = self._log
        log.joints(self._rollout.sensors, stamp_ns)
        log.vector("measured_action", measured, stamp_ns)
        log.vector("reference", reference, stamp_ns)
        if stamp_ns % TRUTH_NS == 0:
            log.ground_truth(self._rollout.task.ground_truth(), stamp_ns)
