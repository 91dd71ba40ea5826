"""One episode of a policy in one process: what the graph in lockstep does, with its own parts and none of its messages.

The world under its own controller, the authority's core with its chunk player and limiter at every reference tick,
pictures through the wire's JPEG. They are drawn only where an inference is due, which is most of what makes this fast.
Times are those of the graph: who is handed back at the world's first tick starts at the next observation; an answer
counts `latency_s` after its observation; the judge looks at ground truth ten times a second. So one policy and seed
give one course of events, here and there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from controllers.action_chunk import Refused
from controllers.authority_core import AuthorityCore, Provenance
from policies.chunk import chunk_times_ns
from policies.executed import Executed
from policies.inference import Answer
from policies.observation import Observation
from policies.predictor import Predictor
from retake.cameras.codec import to_jpeg
from sim.cameras import CameraRig
from sim.control_loop import ControlLoop
from sim.tasks import task_spec

INFERENCE_FRAMES = 6  # an observation is every sixth camera frame, as in the graph
LATENCY_S = 0.1  # from an observation until its chunk counts, as in the graph in lockstep
JUDGE_NS = 100_000_000


class Execution(Protocol):
    """How a policy's chunks follow each other; policies/execution.py has it."""

    @property
    def policy(self) -> Predictor: ...

    def begin(self) -> None:
        """The policy has authority from now on; nothing from before counts."""

    def answer(self, observation: Observation, executed: Executed, latency_s: float) -> Answer:
        """The chunk for an observation, given what was executed up to it and how late the chunk will count."""


class Person(Protocol):
    """Who watches the policy and may help it."""

    @property
    def drives(self) -> bool: ...
    @property
    def has_ended(self) -> bool: ...
    def act(self, core: AuthorityCore, now_ns: int, measured: np.ndarray, reference: np.ndarray, said: str) -> None:
        """What their hands do before a tick is answered: the pose the robot has, and of the tick before the reference
        (dim,) and what the authority said."""


@dataclass(frozen=True)
class RolloutResult:
    """One episode. `why`: success, fallen, dropped, timeout; `time_s` of the robot's clock from the first tick on.

    `held_ticks`: reference ticks after the first chunk without a point of a chunk to play. `refused`: observations and
    chunks that were not taken; `refusal` is the newest reason.
    """

    seed: int
    outcome: str
    why: str
    time_s: float
    held_ticks: int
    refused: int
    refusal: str
    executed: Executed

    @property
    def falls(self) -> int:
        """1 where the robot fell."""
        return int(self.why == "fallen")


class Rollout:
    """World, controller and cameras of one task, built once for many episodes; use it in the thread that made it."""

    def __init__(self, task: str, cameras: tuple[str, ...], latency_s: float = LATENCY_S, noise: bool = False) -> None:
        """`cameras`: those the policy looks through, in its order; `noise`: of the sensors, off in the graph too.

        Raises:
            ValueError: the task or a camera is unknown, or the latency is negative.
        """
        spec = task_spec(task)
        if unknown := [name for name in cameras if name not in spec.rig.cameras]:
            raise ValueError(f"{task} has no camera {', '.join(unknown)}; allowed: {', '.join(spec.rig.cameras)}")
        if not latency_s >= 0.0:
            raise ValueError(f"latency {latency_s} s; allowed: 0 and more")
        self.rig, self.cameras, self.latency_s = spec.rig, cameras, latency_s
        self.task = spec.make(noise, 0)
        self.drawing = CameraRig(view=spec.view)
        # who wants to know: the render state of every camera frame; the measured pose and reference of every tick
        self.on_frame: Callable[[np.ndarray, int], None] | None = None
        self.on_tick: Callable[[int, np.ndarray, np.ndarray], None] | None = None
        self._loop = ControlLoop(self.task.world)
        self._step_ns, self._camera_ns = round(self.rig.control_dt * 1e9), round(self.rig.camera_dt * 1e9)
        self._inference_ns = INFERENCE_FRAMES * self._camera_ns
        self._start_ns = round(self.task.world.start_time_s * 1e9)
        self._limit_ns = round(spec.max_episode_s * 1e9)

    def run(self, seed: int, execution: Execution) -> RolloutResult:
        """The episode of `seed`."""
        self.begin(seed)
        why, _ = self.attempt(execution)
        return self.result(why)

    def begin(self, seed: int) -> None:
        """The world of `seed`, at its first tick; nobody commands."""
        self.task.randomise(seed)
        self._loop.reset()
        self._seed, self.core = seed, AuthorityCore(self.rig)
        self._person: Person | None = None
        self._pending: tuple[int, tuple[int, np.ndarray, np.ndarray]] | None = None  # when a chunk counts, and it
        self._executed: list[tuple[int, np.ndarray, int]] = []  # stamp, reference, stamp of the chunk
        self._held_ticks, self._refused, self._refusal = 0, 0, ""
        self.provenance = Provenance(self.stamp_ns, "hold")  # of the newest reference
        self.task.update()
        self._tick()

    def attempt(self, execution: Execution, person: Person | None = None) -> tuple[str, float]:
        """Hand back to the policy and let it go on until success, failure or its time is over: why, and after how many
        seconds since the hand-back. A `person` may take over, which takes none of its time, and end it: `ended`."""
        self._take_over()
        execution.begin()
        self._person, began_ns, helped_ns = person, self.stamp_ns, 0
        while True:
            self.step(execution)
            elapsed_ns = self.stamp_ns - began_ns
            if person is not None:
                helped_ns += self._step_ns * person.drives
                if person.has_ended:
                    return "ended", elapsed_ns * 1e-9
            if (self.stamp_ns - self._start_ns) % JUDGE_NS:
                continue
            why = "success" if self.task.success() else self.task.failure()
            if why or elapsed_ns - helped_ns > self._limit_ns:
                return why or "timeout", elapsed_ns * 1e-9

    def _take_over(self) -> None:
        """Who comes now commands; stopped in between, so that no chunk from before counts."""
        for request in (self.core.stop, self.core.release_stop, self.core.hand_back):
            request()
        self._pending = None

    def play(self, actions: np.ndarray, dt_s: float) -> None:
        """A course of actions (n, dim), `dt_s` apart, the first one now, through the authority and without a policy."""
        self._take_over()
        self._advance()
        offsets_ns = np.arange(len(actions)) * round(dt_s * 1e9)
        self.core.offer_chunk(self.stamp_ns, offsets_ns, actions)
        ends_ns = self.stamp_ns + int(offsets_ns[-1])
        while self.stamp_ns < ends_ns:
            self._advance()

    def result(self, why: str) -> RolloutResult:
        """What has happened since `begin`."""
        outcome, time_s = "success" if why == "success" else "failure", (self.stamp_ns - self._start_ns) * 1e-9
        return RolloutResult(
            self._seed, outcome, why, time_s, self._held_ticks, self._refused, self._refusal, self.executed)

    @property
    def stamp_ns(self) -> int:
        """Of the robot's clock."""
        return self._start_ns + self._loop.steps * self._step_ns

    @property
    def reference(self) -> np.ndarray:
        """(dim,) the newest one."""
        return self._executed[-1][1]

    @property
    def executed(self) -> Executed:
        """Every reference since `begin`."""
        stamps, references, chunks = zip(*self._executed, strict=True)
        return Executed(np.array(stamps), np.array(references), np.array(chunks))

    @property
    def measured(self) -> np.ndarray:
        """(dim,) the pose the robot had at the newest tick."""
        return self._measured

    @property
    def sensors(self) -> Any:
        """What the robot measures now."""
        return self._loop.sensors

    def pictures(self, cameras: tuple[str, ...]) -> tuple[bytes, ...]:
        """JPEG of what each camera sees now."""
        drawn = self.drawing.draw(self.task.world.render_state(), cameras)
        return tuple(to_jpeg(drawn[name]) for name in cameras)

    def step(self, execution: Execution) -> None:
        """One control_dt of everything, and an observation where one is due."""
        self._advance()
        if self.stamp_ns % self._inference_ns == 0 and self._pending is None:  # one inference at a time
            self._observe(execution)

    def _advance(self) -> None:
        """One control_dt without the policy."""
        self._loop.follow(self.reference)
        if self._loop.reference_due:
            self.task.update()
            self._tick()
        if self.on_frame is not None and self.stamp_ns % self._camera_ns == 0:
            self.on_frame(self.task.world.render_state(), self.stamp_ns)

    def _observe(self, execution: Execution) -> None:
        state_ns = self._executed[-1][0]
        observation = Observation(self.stamp_ns, self.pictures(self.cameras), self._measured, state_ns)
        done = execution.answer(observation, self.executed, self.latency_s)
        if done.chunk is None:
            return self._refuse(done.refusal)
        config = execution.policy.config
        chunk = observation.stamp_ns, chunk_times_ns(config.chunk_size, config.chunk_dt_ns), done.chunk
        self._pending = self.stamp_ns + round(self.latency_s * 1e9), chunk

    def _tick(self) -> None:
        """The authority's reference for now."""
        now = self.stamp_ns
        if self._pending is not None and now >= self._pending[0]:
            chunk, self._pending = self._pending[1], None
            try:
                self.core.offer_chunk(*chunk)
            except Refused as refused:
                self._refuse(str(refused))
        self._measured = self._loop.measured_action
        if self._person is not None:
            self._person.act(self.core, now, self._measured, self.reference, self.provenance.reason)
        reference, provenance = self.core.tick(now, self._measured)
        self.provenance = provenance
        self._held_ticks += provenance.source == "hold" and provenance.chunk_stamp_ns > 0
        self._executed.append((now, reference, provenance.chunk_stamp_ns))
        if self.on_tick is not None:
            self.on_tick(now, self._measured, reference)

    def _refuse(self, reason: str) -> None:
        self._refused += 1
        self._refusal = reason

    def close(self) -> None:
        """Gives the OpenGL context back."""
        self.drawing.close()
