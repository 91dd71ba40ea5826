"""Plays the cameras of a recorded episode: the same JPEGs and calibrations, at the times between them as recorded.

Publishes camera/<name>/color/image_raw/compressed and color/camera_info of every camera in the recording, byte by byte
as they were, but stamped as if they were taken now; depth too where it was recorded. Subscribes nothing. At the end it
begins anew, or with `loop` false publishes no more. Diagnostics (1 Hz): frames, and how late the latest went out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage

from policies.episode_file import LOG_NAME, LogMessage, read_messages, read_meta
from retake.cameras.clock import NS_PER_MS
from retake.errors import UserError
from retake.ros import qos
from retake.ros.conversions import stamp_ns, time_message
from retake.ros.diagnostics import Diagnostics
from retake.ros.parameters import declare
from retake.ros.spin import STEADY, run

KINDS = {"compressed": CompressedImage, "compressedDepth": CompressedImage, "camera_info": CameraInfo}
POLL_S = 0.002
PAUSE_NS = 200 * NS_PER_MS  # between the last frame and the first of the next round


@dataclass(frozen=True)
class Parameters:
    """Parameters of the replay."""

    episode: str  # folder of a recorded episode
    loop: bool = True


class CameraReplay(Node):
    """Sends what is due at each tick of one timer."""

    def __init__(self, **node_options: Any) -> None:
        super().__init__("camera_replay", **node_options)
        self._settings = declare(self, Parameters)
        self._file = Path(self._settings.episode) / LOG_NAME
        self._topics = camera_topics(Path(self._settings.episode))
        self._outputs: dict[str, Publisher] = {}
        for topic, name in self._topics.items():
            self._outputs[topic] = self.create_publisher(KINDS[topic.rpartition("/")[2]], name, qos.SEND)
        self._diagnostics = Diagnostics(self)
        self._messages: Iterator[LogMessage] = iter(())
        self._next: LogMessage | None = None
        self._begin(0)
        self._timer = self.create_timer(POLL_S, self._send_due, clock=STEADY)
        self.get_logger().info(f"started: {self._settings}, {len(self._topics)} topics")

    def _begin(self, pause_ns: int) -> None:
        """Start a round; recorded time t goes out at steady time t + shift, stamped with the node's clock then."""
        self._messages = read_messages(self._file, self._topics)
        self._next = next(self._messages, None)
        if self._next is None:
            raise UserError(f"{self._file} holds no camera's message; choose another episode")
        self._shift_ns = time.monotonic_ns() + pause_ns - self._next.publish_ns
        self._stamps_ns = self.get_clock().now().nanoseconds + pause_ns - self._next.publish_ns

    def _send_due(self) -> None:
        now = time.monotonic_ns()
        while self._next is not None and self._next.publish_ns + self._shift_ns <= now:
            message, self._next = self._next, next(self._messages, None)
            self._send(message)
            self._diagnostics.set("late_ms", (now - message.publish_ns - self._shift_ns) // NS_PER_MS)
            if self._next is None and self._settings.loop:
                self._begin(PAUSE_NS)

    def _send(self, recorded: LogMessage) -> None:
        publisher = self._outputs[recorded.topic]
        message = deserialize_message(recorded.data, publisher.msg_type)
        # all messages of one frame have one recorded stamp, hence one new one
        message.header.stamp = time_message(stamp_ns(message.header.stamp) + self._stamps_ns)
        publisher.publish(message)
        self._diagnostics.count(self._topics[recorded.topic])


def camera_topics(folder: Path) -> dict[str, str]:
    """Topics of the cameras in a recording, with their names relative to the robot's namespace.

    Raises:
        UserError: no episode there, or one without cameras.
    """
    try:
        recorded = read_meta(folder)["messages"]
    except (OSError, ValueError) as error:
        raise UserError(f"cannot play {folder}: {error}") from error
    topics = {}
    for topic in recorded:
        _, found, name = topic.partition("/camera/")
        if found and topic.rpartition("/")[2] in KINDS:
            topics[topic] = f"camera/{name}"
    if not topics:
        raise UserError(f"{folder} holds no camera; it holds: {', '.join(sorted(recorded)) or 'nothing'}; "
                        "choose an episode that was recorded with cameras (`retake episodes` lists them)")
    return topics


def main(args: list[str] | None = None) -> int:
    """Run the node until interrupted."""
    return run(CameraReplay, args)


if __name__ == "__main__":
    raise SystemExit(main())
