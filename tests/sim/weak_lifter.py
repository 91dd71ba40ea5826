"""A policy of g1_box that gets stuck: the scripted expert's plan, up to a waypoint, and there it stays. No network, so
that tests of helping it need no training."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from controllers.rigs import G1
from policies.chunk import CHUNK_DT_NS
from policies.executed import Executed
from policies.inference import Answer
from policies.observation import Observation
from policies.policy import PolicyConfig
from sim.expert import BoxExpert
from sim.g1_box import G1BoxTask


class WeakLifter:
    """`until`: the waypoint that it does not go to."""

    def __init__(self, task: G1BoxTask, until: str) -> None:
        self.policy = SimpleNamespace(config=PolicyConfig(G1.layout.channels, G1.layout.channels, G1.cameras))
        self._task, self._until = task, until

    def begin(self) -> None:
        self._expert = BoxExpert(self._task.scene, self._task.seed)
        self._stuck_s, self._start_ns = self._expert.start_of(self._until), None

    def answer(self, observation: Observation, executed: Executed, latency_s: float) -> Answer:
        self._start_ns = self._start_ns or observation.stamp_ns
        since_s = 1e-9 * (observation.stamp_ns - self._start_ns)
        times = since_s + 1e-9 * CHUNK_DT_NS * np.arange(1, self.policy.config.chunk_size + 1)
        return Answer(observation, np.array([self._expert.act(min(t, self._stuck_s)) for t in times]), 0.0)
