"""Stands in for the operator: resets the world, hands the policy control, judges from ground truth, next.

Subscribes ground_truth/task (10 Hz), action_chunk (to know that the policy answers), provenance, authority and
episode/event. Calls sim/reset, sim/run, episode/start, episode/success, episode/failure, episode/timeout, hand_back.
Publishes evaluation (latched JSON: episodes, successes, seed). Lives without a recorder. Counts in the file `result`,
so a new start goes on where it was. Time limits are on sim time under the policy's authority: a person has all the
time.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from policies.atomic import replace_file
from retake.ros import qos
from retake.ros.diagnostics import Diagnostics
from retake.ros.parameters import declare
from retake.ros.spin import STEADY, run
from sim.tasks import task_spec

TICK_S = 0.02
WAIT_S = 2.0  # wall time for a service to appear or to answer, before it is asked again or done without
Steps = Generator[None, None, Any]


@dataclass(frozen=True)
class Parameters:
    """Parameters of the evaluator."""

    episodes: int = 0  # 0: for ever
    result: str = "build/episodes.json"
    lockstep: bool = False
    task: str = "g1_box"


@dataclass(frozen=True)
class Episode:
    """One finished episode; `why`: success, fallen, dropped, timeout, operator, restarted. Seconds of the robot's clock
    and of the wall's, from the moment the world ran."""

    seed: int
    outcome: str
    why: str
    time_s: float
    wall_s: float
    interventions: int = 0  # how often a person took over


class Evaluator(Node):
    """One script as a generator; a timer lets it go on. Every `yield` waits one tick."""

    def __init__(self) -> None:
        super().__init__("evaluator")
        self.parameters = declare(self, Parameters)
        self._diagnostics = Diagnostics(self)
        self._limit_ns = task_spec(self.parameters.task).max_episode_s * 1e9
        self._result = Path(self.parameters.result)
        self._episodes = self._load()
        self._truth: dict[str, Any] = {}
        self._warm = False
        self._reference_stamp_ns = 0
        self._authority = "none"
        self._interventions = 0
        self._event: dict[str, Any] = {}
        self._called = {name: self.create_client(Trigger, name) for name in (
            "sim/reset", "sim/run", "episode/start", "episode/success", "episode/failure", "episode/timeout",
            "hand_back")}
        self._evaluation = self.create_publisher(String, "evaluation", qos.LATCHED)
        self.create_subscription(String, "ground_truth/task", self._on_truth, qos.STREAM)
        self.create_subscription(JointTrajectory, "action_chunk", self._on_chunk, qos.STREAM)
        self.create_subscription(DiagnosticStatus, "provenance", self._on_provenance, qos.STREAM)
        self.create_subscription(String, "authority", self._on_authority, qos.LATCHED)
        self.create_subscription(String, "episode/event", self._on_event, qos.LATCHED)
        self._script = self._run_all()
        self.create_timer(TICK_S, self._tick, clock=STEADY)

    def _tick(self) -> None:
        try:
            next(self._script)
        except StopIteration:
            rclpy.try_shutdown()  # all episodes are done; `run` returns 0

    def _run_all(self) -> Steps:
        yield from self._until(lambda: self._warm and bool(self._truth), "the first action_chunk and ground_truth/task")
        while self.parameters.episodes == 0 or len(self._episodes) < self.parameters.episodes:
            episode = yield from self._run_one()
            self._episodes.append(episode)
            self._save()
            print(f"seed {episode.seed}: {episode.why}, {episode.time_s:.1f} s", flush=True)

    def _run_one(self) -> Steps:
        start = yield from self._reset()
        yield from self._call("episode/start", needed=False)
        # authority has seen the new world, so handing back cannot be undone by it
        yield from self._until(lambda: self._reference_stamp_ns >= start["stamp_ns"], "authority in the new world")
        yield from self._call("hand_back")
        yield from self._call("sim/run")
        self._interventions = 0
        began = time.monotonic()
        outcome, why = yield from self._watch(start["seed"])
        wall_s = time.monotonic() - began
        if why != "operator":
            yield from self._call(f"episode/{'timeout' if why == 'timeout' else outcome}", needed=False)
        time_s = (self._truth["stamp_ns"] - start["stamp_ns"]) / 1e9
        return Episode(start["seed"], outcome, why, time_s, wall_s, self._interventions)

    def _reset(self) -> Steps:
        """Ask for worlds until one comes that was not judged yet: a simulator that was started anew begins again."""
        judged = {episode.seed for episode in self._episodes}
        while True:
            answer = yield from self._call("sim/reset")
            start = json.loads(answer.message)
            if start["seed"] not in judged:
                break
        yield from self._until(lambda: self._truth["seed"] == start["seed"], f"the world of seed {start['seed']}")
        self._event = {}
        return start

    def _watch(self, seed: int) -> Steps:
        spent_ns, last_ns = 0, self._truth["stamp_ns"]
        while True:
            yield
            truth = self._truth
            if truth["seed"] != seed or truth["stamp_ns"] < last_ns:
                return "failure", "restarted"
            spent_ns += truth["stamp_ns"] - last_ns if self._authority == "policy" else 0
            last_ns = truth["stamp_ns"]
            if self._event.get("event") in ("success", "failure", "discarded"):
                return self._event["event"], "operator"
            if truth["success"]:
                return "success", "success"
            if truth["failure"]:
                return "failure", truth["failure"]
            if spent_ns > self._limit_ns:
                return "failure", "timeout"

    def _call(self, name: str, needed: bool = True) -> Steps:
        """The answer of a Trigger service; asked again until it succeeds, or None after one try if not `needed`."""
        client = self._called[name]
        while True:
            deadline = time.monotonic() + WAIT_S
            while not client.service_is_ready() and time.monotonic() < deadline:
                yield
            future = client.call_async(Trigger.Request())
            while not future.done() and time.monotonic() < deadline:
                yield
            answer = future.result() if future.done() else None
            if answer is not None and answer.success:
                self._diagnostics.trouble(name, None)
                return answer
            client.remove_pending_request(future)
            said = "does not answer" if answer is None else f"refuses: {answer.message}"
            self._diagnostics.trouble(name, f"{name} {said}")
            if not needed:
                return None
            for _ in range(10):
                yield

    def _until(self, is_so: Callable[[], bool], what: str) -> Steps:
        deadline = time.monotonic() + WAIT_S
        while not is_so():
            if time.monotonic() > deadline:
                self._diagnostics.trouble("waiting", f"waiting for {what}")
            yield
        self._diagnostics.trouble("waiting", None)

    def _load(self) -> list[Episode]:
        if not self._result.is_file():
            return []
        return [Episode(**episode) for episode in json.loads(self._result.read_text())["episodes"]]

    def _save(self) -> None:
        self._result.parent.mkdir(parents=True, exist_ok=True)
        episodes = [asdict(episode) for episode in self._episodes]
        replace_file(self._result, json.dumps({"episodes": episodes}, indent=1))
        successes = sum(episode.outcome == "success" for episode in self._episodes)
        self._evaluation.publish(String(data=json.dumps(
            {"episodes": len(self._episodes), "successes": successes, "seed": self._episodes[-1].seed})))

    def _on_truth(self, message: String) -> None:
        self._truth = json.loads(message.data)

    def _on_chunk(self, _message: JointTrajectory) -> None:
        self._warm = True

    def _on_provenance(self, message: DiagnosticStatus) -> None:
        self._reference_stamp_ns = next(int(pair.value) for pair in message.values if pair.key == "stamp_ns")

    def _on_authority(self, message: String) -> None:
        before, self._authority = self._authority, message.data
        self._interventions += before == "policy" and message.data == "teleop"

    def _on_event(self, message: String) -> None:
        self._event = json.loads(message.data)


def main(args: list[str] | None = None) -> int:
    """Run the node."""
    return run(Evaluator, args)


if __name__ == "__main__":
    sys.exit(main())
