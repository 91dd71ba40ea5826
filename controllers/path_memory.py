"""The path that a robot has really taken, as poses to go back along. Pure; recipe A4: recovery by rewinding."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np

from controllers.action_layout import ActionLayout
from controllers.rigs import Rig

KEPT = 30_000  # nodes: ten minutes of a robot that never rests
STEP = 0.001  # s of way at full rewinding speed; a shorter one is no new node: a robot that stands still adds none
# of the reference's speed limits: 0.12 m/s of a hand. At 0.21 m/s a G1's hands cut corners of their path by up to 12 mm
# and 5 degrees, its controller being some 0.1 s behind
REWIND_SHARE = 0.2


class PathMemory:
    """Measured poses (dim,) and the grasps commanded there, each with its way from the start in seconds.

    A second of way is what the slowest part of the robot needs at REWIND_SHARE of its speed limit, so whoever moves
    along the path with at most one second per second moves every part at a bounded speed.
    """

    def __init__(self, rig: Rig) -> None:
        self._layout: ActionLayout = rig.layout
        self._grasps = list(rig.grasps)
        starts = [part.channels.start for part in rig.layout.parts]
        self._limits = [(part.rates, REWIND_SHARE * float(rig.layout.speed[start]))
                        for part, start in zip(rig.layout.parts, starts, strict=True) if start not in rig.grasps]
        self.clear()

    def clear(self) -> None:
        """The path begins anew."""
        self.poses: list[np.ndarray] = []  # (dim,), grasps as measured
        self.grasps: list[np.ndarray] = []  # (grasps,) commanded
        self.ways: list[float] = []  # s

    @property
    def length(self) -> float:
        """Seconds of way from the start to the newest node."""
        return self.ways[-1] if self.ways else 0.0

    def add(self, measured: np.ndarray, reference: np.ndarray) -> None:
        """The robot is at `measured` (dim,) while `reference` (dim,) is asked for; both belong to the caller."""
        grasps = reference[self._grasps]
        if self.poses:
            way = self.way_between(self.poses[-1], measured)
            if way < STEP and np.array_equal(grasps, self.grasps[-1]):
                return
            if len(self.poses) >= KEPT:
                first = len(self.poses) - KEPT + 1 + KEPT // 10
                self.poses, self.grasps, self.ways = self.poses[first:], self.grasps[first:], self.ways[first:]
            self.ways.append(self.ways[-1] + way)
        else:
            self.ways.append(0.0)
        self.poses.append(measured.copy())
        self.grasps.append(grasps)

    def way_between(self, a: np.ndarray, b: np.ndarray) -> float:
        """Seconds of way from pose a to pose b, grasps left out."""
        delta = self._layout.difference(a, b)
        return max(float(np.sqrt(delta[rates] @ delta[rates])) / limit for rates, limit in self._limits)

    @property
    def start(self) -> float:
        """The way of the oldest node that is kept."""
        return self.ways[0] if self.ways else 0.0

    def node_before(self, way: float) -> int:
        """The last node at or before `way`."""
        return max(0, bisect_right(self.ways, way) - 1)

    def pose_at(self, way: float) -> np.ndarray:
        """(dim,) the pose at `way`, between two nodes."""
        k = self.node_before(way)
        if k + 1 >= len(self.poses):
            return self.poses[k].copy()
        span = self.ways[k + 1] - self.ways[k]
        share = 0.0 if span <= 0.0 else min(1.0, max(0.0, (way - self.ways[k]) / span))
        return self._layout.interpolate(self.poses[k], self.poses[k + 1], share)

    def cut(self, way: float) -> None:
        """Forget what lies beyond `way`: it has been undone."""
        keep = self.node_before(way) + 1
        del self.poses[keep:], self.grasps[keep:], self.ways[keep:]
