"""A policy's own episodes, recorded as the recorder records the graph: its failures too, which a verifier needs, and
what a person does who watches it and takes over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from policies.episode_file import episode_folder
from policies.execution import ChunkExecution
from sim.episode_log import EpisodeLog
from sim.evaluation import chosen_for
from sim.intervention import Operator
from sim.rollout import Execution, Rollout

TRUTH_NS = 100_000_000


class PolicyRecorder:
    """World, controller, cameras and policy, built once for many episodes."""

    def __init__(
        self, rollout: Rollout, execution: Execution, policy_hash: str, operator: Operator | None = None
    ) -> None:
        """`policy_hash`: the name under which the policy goes into the recordings. `operator`: who watches it."""
        self._rollout, self._execution, self._hash, self._operator = rollout, execution, policy_hash, operator

    @classmethod
    def of(cls, policy: str, task: str, style: str = "") -> PolicyRecorder:
        """For a policy as in sim/evaluation.py; `style`: how a scripted person helps it (sim/teleoperator.py), if one
        shall.

        Raises:
            ValueError: it cannot be used for this task, or nobody knows how to help.
        """
        chosen = chosen_for(policy, task)
        operator = Operator(task, style) if style else None
        rollout = Rollout(task, chosen.policy.config.cameras)
        return cls(rollout, ChunkExecution(chosen.policy), chosen.sha256[:16], operator)

    def record(self, seed: int, root: Path) -> dict:
        """Records the episode of `seed` into a new folder under `root`; returns its episode.json."""
        rollout, operator = self._rollout, self._operator
        rollout.begin(seed)
        meta: dict[str, Any] = {"task": rollout.task.name, "seed": seed, "policy_hash": self._hash}
        if operator is not None:
            operator.begin(rollout.task, seed)
            meta["operator"] = operator.about
        log = EpisodeLog(episode_folder(root, seed), meta, rollout.drawing, rollout.rig)
        ticks = _Ticks(rollout, log)
        rollout.on_frame, rollout.on_tick = log.pictures, ticks.add
        try:
            self._play(log, ticks)
        finally:
            rollout.on_frame = rollout.on_tick = None  # the next episode has another log
        return log.writer.meta

    def _play(self, log: EpisodeLog, ticks: _Ticks) -> None:
        rollout, operator = self._rollout, self._operator
        with log.writer:
            ticks.add(rollout.stamp_ns, rollout.measured, rollout.reference)
            log.pictures(rollout.task.world.render_state(), rollout.stamp_ns)
            why, _ = rollout.attempt(self._execution, operator)
            log.ground_truth(rollout.task.ground_truth(), rollout.stamp_ns)
            if operator is not None and operator.gave_up:
                log.writer.close("discarded", "operator")
            else:  # an episode that ends with the help goes on in the next one: truncated
                outcome, is_cut = "success" if why == "success" else "failure", why in ("timeout", "ended")
                log.writer.close(outcome, "operator" if why == "ended" else "evaluator", out_of_time=is_cut)


class _Ticks:
    """What is logged at every reference tick."""

    def __init__(self, rollout: Rollout, log: EpisodeLog) -> None:
        self._rollout, self._log = rollout, log

    def add(self, stamp_ns: int, measured: np.ndarray, reference: np.ndarray) -> None:
        log, core = self._log, self._rollout.core
        log.joints(self._rollout.sensors, stamp_ns)
        log.vector("measured_action", measured, stamp_ns)
        log.vector("reference", reference, stamp_ns)
        if (wanted := core.policy_action()) is not None:
            log.vector("policy_action", wanted, stamp_ns)
        log.change("authority", core.authority.value, stamp_ns)
        log.change("segment", self._rollout.provenance.segment, stamp_ns)
        log.provenance(self._rollout.provenance)
        if stamp_ns % TRUTH_NS == 0:
            log.ground_truth(self._rollout.task.ground_truth(), stamp_ns)
