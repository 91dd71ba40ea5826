"""What a replay asks for at each moment: slowly to where the recording began, then what was executed, at its times.

Pure: arrays in the order of the rig's channels, times in ns from the begin of the replay.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from controllers.rigs import Rig, rig_of
from policies import recorded
from policies.episode_meta import read_meta
from policies.recorded import EMPTY
from retake.errors import UserError
from retake.ros.conversions import by_name

START_TOLERANCE = 0.5  # of the rig's pose_tolerance: further away the robot does not start by itself
APPROACH_SPEED = 0.15  # share of the reference's speed limits on the way to the start


@dataclass(frozen=True)
class Recording:
    """What was executed, `actions` (n, dim) at `stamps_ns` (n,), and the poses that the robot had, alike."""

    rig: Rig
    stamps_ns: np.ndarray
    actions: np.ndarray
    measured_ns: np.ndarray
    measured: np.ndarray

    @property
    def seconds(self) -> float:
        return float(self.stamps_ns[-1] - self.stamps_ns[0]) / 1e9


def read_recording(folder: Path) -> Recording:
    """The motion of an episode; refuses channels that are not the rig's."""
    rig = rig_of(read_meta(folder)["robot"])
    topics = ("reference", "measured_action")
    tracks = recorded.read_tracks(folder, rig.name, dict.fromkeys(topics, recorded.vector))
    arrays = []
    for topic in topics:
        stamps, values, names = recorded.stacked(tracks.get(topic, EMPTY), topic)
        try:
            arrays += [stamps, np.stack([by_name(names, row, rig.layout.channels) for row in values])]
        except ValueError as error:
            raise UserError(f"{folder}: the {topic} of this recording does not fit rig {rig.name}: {error}") from error
    return Recording(rig, *arrays)


def interpolated(rig: Rig, stamps_ns: np.ndarray, values: np.ndarray, at_ns: int) -> np.ndarray:
    """(dim,) of `values` (n, dim) between the two stamps around `at_ns`; the first before all, the last after all."""
    k = int(np.searchsorted(stamps_ns, at_ns))
    if k == 0 or k == len(stamps_ns):
        return values[min(k, len(stamps_ns) - 1)]
    before, after = int(stamps_ns[k - 1]), int(stamps_ns[k])
    return rig.layout.interpolate(values[k - 1], values[k], (at_ns - before) / (after - before))


def too_far(recording: Recording, measured: np.ndarray) -> list[str]:
    """What of the robot's pose (dim,) is too far from where the recording began, in words; empty when it may start."""
    rig = recording.rig
    way = rig.layout.difference(recording.measured[0], measured)
    found = []
    for part in rig.layout.parts:
        tolerance = START_TOLERANCE * rig.pose_tolerance[part.rates]
        if np.any(np.abs(way[part.rates]) > tolerance):
            distance = float(np.linalg.norm(way[part.rates]))
            unit = {"position": " m", "rotation": " rad"}.get(part.kind, "")
            found.append(f"{part.name} is {distance:.3f}{unit} away, allowed {float(tolerance.min()):.3f}")
    return found


class ReplayPath:
    """From the reference (dim,) that the robot rests at, through the recording."""

    def __init__(self, recording: Recording, rest: np.ndarray) -> None:
        self._recording, self._rest = recording, rest
        layout, way = recording.rig.layout, recording.rig.layout.difference(rest, recording.actions[0])
        durations = [float(np.linalg.norm(way[part.rates])) / float(APPROACH_SPEED * layout.speed[part.channels.start])
                     for part in layout.parts]
        self.approach_ns = round(1.5 * max(durations) * 1e9)  # 1.5: the peak of what begins and ends at rest

    @property
    def length_ns(self) -> int:
        return self.approach_ns + int(self._recording.stamps_ns[-1] - self._recording.stamps_ns[0])

    def at(self, elapsed_ns: int) -> np.ndarray | None:
        """(dim,) what to ask for; None when the replay is over."""
        recording = self._recording
        if elapsed_ns > self.length_ns:
            return None
        if elapsed_ns < self.approach_ns:
            s = elapsed_ns / self.approach_ns
            return recording.rig.layout.interpolate(self._rest, recording.actions[0], s * s * (3 - 2 * s))
        return interpolated(recording.rig, recording.stamps_ns, recording.actions, self._recorded_ns(elapsed_ns))

    def deviation(self, elapsed_ns: int, measured: np.ndarray) -> float:
        """Distance in m of the hand that is furthest from where it was in the recording; 0 before that begins."""
        recording = self._recording
        if elapsed_ns < self.approach_ns:
            return 0.0
        was = interpolated(recording.rig, recording.measured_ns, recording.measured, self._recorded_ns(elapsed_ns))
        return max((float(np.linalg.norm(measured[hand] - was[hand])) for hand in recording.rig.layout.positions),
                   default=0.0)

    def _recorded_ns(self, elapsed_ns: int) -> int:
        return int(self._recording.stamps_ns[0]) + elapsed_ns - self.approach_ns
