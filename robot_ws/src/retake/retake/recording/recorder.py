"""Records every topic of the robot, one folder per episode, as it happens.

Subscribes every topic of the interface, serialized (see `retake.recording.taps`). Services episode/start,
episode/success, episode/failure, episode/timeout, episode/discard (Trigger); publishes episode/event (latched JSON:
episode, event, path), diagnostics.
A killed recorder costs at most 0.5 s; what it left is finished at the next start, with the outcome "aborted".
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import Trigger

from controllers.rigs import rig_of
from retake.errors import UserError
from retake.recording.episode import RESERVE_BYTES, ClockLine, Recording, free_bytes, prepare_root, seed_of
from retake.recording.taps import Received, Taps
from retake.ros import qos
from retake.ros.diagnostics import Diagnostics
from retake.ros.parameters import declare
from retake.ros.realtime import RECORDER
from retake.ros.spin import STEADY, run
from retake.ros.topics import LATCHED, recorded_topics

POLL_S = 0.05
REPORT_S = 1.0
ENDINGS = {"success": "success", "failure": "failure", "timeout": "failure", "discard": "discarded"}


@dataclass(frozen=True)
class Parameters:
    """Parameters of the recorder."""

    robot: str = field(default="g1", metadata={"description": "whose action channels and cameras"})
    root: str = field(default="data/episodes", metadata={"description": "folder with one folder per episode"})
    task: str = field(default="g1_box", metadata={"description": "written into episode.json"})
    judge: str = field(default="operator", metadata={"description": "who calls episode/success and episode/failure"})
    min_free_gb: float = field(default=1.0, metadata={"description": "an episode starts with this much disk, GB"})
    lockstep: bool = field(default=False, metadata={"description": "written into episode.json"})


class Recorder(Node):
    """Polls its taps; between episodes what it takes is only counted."""

    def __init__(self) -> None:
        super().__init__("recorder")
        self.parameters = declare(self, Parameters)
        self._rig = rig_of(self.parameters.robot)
        self._root = Path(self.parameters.root)
        repaired, refused = prepare_root(self._root)
        for name in repaired:
            self.get_logger().info(f"episode {name} was not ended; repaired, outcome aborted")
        for text in refused:
            self.get_logger().warning(text)
        self._diagnostics = Diagnostics(self)
        self._taps = Taps(self, recorded_topics(self._rig.cameras))
        self._recording: Recording | None = None
        self._ended = "no episode was recorded yet"
        self._line = ClockLine(time.time_ns(), self._now_ns())
        self._lost_before: Counter[str] = Counter()  # the episode
        self._reported: tuple[Counter[str], Counter[str]] = Counter(), Counter()  # counts and losses
        self._event = self.create_publisher(String, "episode/event", qos.LATCHED)
        self.create_service(Trigger, "episode/start", self._answer(self._start))
        for service, outcome in ENDINGS.items():
            self.create_service(Trigger, f"episode/{service}",
                                self._answer(partial(self._end, outcome, service == "timeout")))
        self.create_timer(POLL_S, self._poll, clock=STEADY)
        self.create_timer(REPORT_S, self._report, clock=STEADY)

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    def _answer(self, act: Callable[[], str]) -> Callable[[Trigger.Request, Trigger.Response], Trigger.Response]:
        def serve(_request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            try:
                response.message, response.success = act(), True
            except (UserError, ValueError, OSError) as error:
                response.message = str(error)
                self.get_logger().warning(response.message)
            return response
        return serve

    def _start(self) -> str:
        if self._recording is not None:
            raise UserError(f"episode {self._recording.folder.name} is being recorded; end it with episode/success, "
                            "episode/failure or episode/discard")
        free_gb = free_bytes(self._root) / 1e9
        if free_gb < self.parameters.min_free_gb:
            raise UserError(f"{free_gb:.2f} GB are free at {self._root}, an episode wants "
                            f"{self.parameters.min_free_gb:g}; delete old episodes, or set root to another disk")
        if self._now_ns() == 0:
            raise UserError("no /clock has come yet; try again in a second, or start the graph with `retake up`")
        self._poll()  # what came before belongs to no episode
        truth = self._taps.last.get("ground_truth/task")
        recording = self._recording = Recording(self._root, seed_of(truth.data) if truth else None, {
            "robot": self._rig.name, "task": self.parameters.task,
            "action_channels": list(self._rig.layout.channels), "lockstep": self.parameters.lockstep})
        self._lost_before = self._taps.lost()
        self._write([last._replace(received_ns=time.time_ns())
                     for name in LATCHED if (last := self._taps.last.get(name)) is not None])
        self._say("started", recording.folder)
        return recording.folder.name

    def _end(self, outcome: str, out_of_time: bool) -> str:
        self._poll()
        recording, self._recording = self._recording, None
        if recording is None:
            raise UserError(f"no episode is being recorded ({self._ended}); start one with episode/start")
        self._ended = f"{recording.folder.name} ended as {outcome}"
        try:
            recording.end(outcome, self.parameters.judge, self._lost(), out_of_time)
        except OSError as error:
            self._ended += f", unfinished ({error.strerror}); make room at {self._root}, the next start repairs it"
            raise UserError(self._ended) from error
        finally:
            self._say(outcome, recording.folder)
        return recording.folder.name

    def _say(self, event: str, folder: Path) -> None:
        self.get_logger().info(f"episode {folder.name}: {event}")
        if self.context.ok():
            text = json.dumps({"episode": folder.name, "event": event, "path": str(folder)})
            self._event.publish(String(data=text))

    def _poll(self) -> None:
        batch = self._taps.take()
        self._line.read(time.time_ns(), self._now_ns())
        self._write(batch)

    def _write(self, batch: list[Received]) -> None:
        if self._recording is None:
            return
        try:
            self._recording.write(batch, self._line)
        except OSError as error:
            self._give_up(self._recording, f"cannot write to {self._root} ({error.strerror}); make room there")

    def _lost(self) -> dict[str, int]:
        return dict(self._taps.lost() - self._lost_before)

    def _give_up(self, recording: Recording, why: str) -> None:
        """End the episode as aborted, whatever the disk still takes; the rest is repaired at the next start."""
        self._recording = None
        self._ended = f"{recording.folder.name} was aborted: {why}"
        self.get_logger().error(self._ended)
        try:
            recording.end("aborted", "recorder", self._lost())
        except OSError as error:
            self.get_logger().error(f"{recording.folder.name} is readable but unfinished ({error.strerror})")
        self._say("aborted", recording.folder)

    def _report(self) -> None:
        counts, lost = self._taps.counts(), self._taps.lost()
        (counts_before, lost_before), self._reported = self._reported, (counts, lost)
        for topic, count in counts.items():
            self._diagnostics.set(f"{topic}_hz", f"{(count - counts_before[topic]) / REPORT_S:.0f}")
        backlog_s, self._taps.backlog_s = self._taps.backlog_s, 0.0
        free, recording = free_bytes(self._root), self._recording
        for name, value in (("episode", recording.folder.name if recording else ""), ("lost", sum(lost.values())),
                            ("megabytes", f"{recording.bytes_written / 1e6:.1f}" if recording else "0"),
                            ("backlog_ms", f"{backlog_s * 1e3:.0f}"), ("free_gb", f"{free / 1e9:.1f}")):
            self._diagnostics.set(name, value)
        slow = f"{backlog_s:.1f} s behind; the disk or the processor is too slow"
        self._diagnostics.trouble("backlog", slow if backlog_s > 1.0 else None)
        gone = ", ".join(f"{count} of {topic}" for topic, count in (lost - lost_before).items())
        self._diagnostics.trouble("lost", f"lost {gone}: the processor is too slow" if gone else None)
        if recording is not None and free < RESERVE_BYTES:
            self._give_up(recording, f"{free / 1e6:.0f} MB are free at {self._root}; make room there")

    def close(self) -> None:
        """End what is being recorded, as aborted."""
        if self._recording is not None:
            self._give_up(self._recording, "the recorder was stopped")


def main(args: list[str] | None = None) -> int:
    """Run the node; Ctrl-C ends the episode as aborted."""
    made: list[Recorder] = []

    def recorder() -> Recorder:
        made.append(Recorder())
        return made[0]

    try:
        return run(recorder, args, priority=RECORDER)
    finally:
        for node in made:
            node.close()


if __name__ == "__main__":
    raise SystemExit(main())
