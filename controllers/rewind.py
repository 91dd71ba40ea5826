"""Back along the path that the robot has really taken, and forward again, as far as a person holds it.

The reference goes to the poses measured on the way. A slow correction takes out what the controller stays behind across
the path, so that the robot and not its reference is on it, and the aim never runs away from the robot. Grasps are held:
a closed hand opens only where it was closed on the way and only when asked again, an open one stays open. What holds
the robot back or off its path ends the way there, and the aim comes to the robot: it is not pushed any further.
Recipe A4 (RaC, arXiv 2509.07953) names the move; the rules are ours.
"""

from __future__ import annotations

import numpy as np

from controllers.path_memory import PathMemory
from controllers.rigs import Rig

SLEW = 5.0  # 1/s: the speed along the path is full after 0.2 s
GAIN, TURN_GAIN = 4.0, 2.0  # 1/s, of the correction across the path; twice as fast, a G1's wrists swing
CORRECTION_SHARE = 0.3  # of the rig's pose tolerance: the most that is corrected, per part
RESIST_SHARE = 0.5  # of the pose tolerance: so far from its aim something holds the robot. An arm's spring of 900 N/m
# pushes with 27 N there, a G1's hand is 6 cm away; following at full speed needs half of it
RESIST_S = 0.3  # and for so long
FADE_S = 1.0  # the distance from pose to reference that a load makes fades with this time constant: slowly enough
# for the correction to replace it. Hands that hold a box turned by 5.7 degrees with 0.12 s, by 2 with 1 s
UNLOAD, UNLOAD_MOST = 200.0, 30.0  # 1/s: how fast a push is let go once the robot is beyond its path the way it pushes,
# per share of the push, and at most: what it pushed against has gone. Hands that had just touched a box turned by up to
# 5.1 degrees when it came free at the start of a way back; with 40 by 3.2, with this by 2.2
RELEASE_S = 0.15  # once a hand opens there is no load: what was held against it fades with this
ENTRY_S = 0.4  # nothing counts as resistance so soon
SEARCH = 40  # nodes around the aim among which the nearest to the robot is looked for
CLOSED = 0.5  # a grasp more closed than this holds something
CHANGE = 0.3  # a grasp commanded so much more open than held is an opening
CLOSING_S = 0.2  # of way: a hand closes while it stands almost still
END = 1e-9


class Rewind:
    """One way back. `way` is where the aim is, seconds of PathMemory."""

    def __init__(self, path: PathMemory, reference: np.ndarray, measured: np.ndarray, rig: Rig) -> None:
        """Begins at the end of `path`, at rest: `reference` (dim,) is asked for, the robot is at `measured` (dim,)."""
        self._path, self._layout = path, rig.layout
        self._grasps = list(rig.grasps)
        self._held = reference[self._grasps].copy()
        path.add(measured, reference)
        self.way = path.length
        self._speed = 0.0
        self._stopped = ""  # the part that something holds
        self._is_asked = self._waits = False  # a closed hand waits until somebody asks to open it
        self._blocked = 0.0  # the direction in which something holds the robot, -1 or 1
        self._resisted_s = 0.0
        tolerance = np.where(np.isfinite(rig.pose_tolerance), rig.pose_tolerance, 0.0)
        self._most, self._resists = CORRECTION_SHARE * tolerance, RESIST_SHARE * tolerance
        self._checked = self._resists > 0.0
        self._entry = self._layout.difference(measured, reference) * self._checked
        self._age = 0.0
        self._correction, self._relief = np.zeros(self._layout.rate_dim), np.zeros(self._layout.rate_dim)
        self._gains = np.full(self._layout.rate_dim, GAIN)
        for part in self._layout.parts:
            if part.kind == "rotation":
                self._gains[part.rates] = TURN_GAIN
        starts = [(i, part.channels.start) for part in self._layout.parts if part.kind != "rotation"
                  for i in range(part.channels.start, part.channels.stop) if i not in rig.grasps]
        self._places = [i for i, _ in starts]  # channels that are lengths or angles, without rotations and grasps
        self._paces = np.array([float(self._layout.speed[start]) for _, start in starts])

    @property
    def left(self) -> float:
        """Seconds of way to the start of the path."""
        return self.way - self._path.start

    def ask(self) -> bool:
        """Open the hand that was closed here, and go on; False where none was."""
        self._is_asked = self._waits
        return self._waits

    def advance(self, speed: float, measured: np.ndarray, dt: float) -> tuple[np.ndarray, str]:
        """The target (dim,) after `dt` s at `speed` (-1 back to 1 forward), and why it does not move although asked."""
        self._waits = self._waits and speed == 0.0  # also after the person has let go, to press the other button
        speed = min(max(speed, -1.0), 1.0)
        off, at = self._off_path(measured)
        over = self._checked & (np.abs(self._layout.difference(self._path.pose_at(self.way), measured)) > self._resists)
        reason = self._resisted(over, at, speed, dt) or self._move(speed, bool(np.any(over)), dt)
        self._age += dt
        self._correction = np.clip(self._correction - self._gains * dt * off, -self._most, self._most)
        unload = np.exp(-dt * self._unload_rates(off))
        self._correction *= unload
        self._entry *= unload * float(np.exp(-dt / FADE_S))
        self._relief *= float(np.exp(-dt / RELEASE_S))
        target = self._layout.moved(self._path.pose_at(self.way), self._correction + self._entry + self._relief)
        target[self._grasps] = self._held
        return self._layout.validated(target), reason

    def _unload_rates(self, off: np.ndarray) -> np.ndarray:
        """(rate_dim,) 1/s: how fast the push against a load is let go by a robot that is `off` (rate_dim,) its path."""
        rates, pushed = np.zeros(len(off)), self._entry + self._correction
        for part in self._layout.parts:
            push = pushed[part.rates]
            share = float(off[part.rates] @ push) / max(float(push @ push), END)
            rates[part.rates] = min(UNLOAD * max(0.0, share), UNLOAD_MOST)
        return rates

    def _resisted(self, over: np.ndarray, at: float, speed: float, dt: float) -> str:
        """Why the robot goes no further this way: it is `over` (rate_dim,) bool too far from its aim, and at `at`."""
        if speed * self._blocked < 0.0:
            self._blocked = 0.0
        is_held_back = bool(np.any(over)) and speed != 0.0 and self._age > ENTRY_S
        self._resisted_s = self._resisted_s + dt if is_held_back else 0.0
        if self._resisted_s > RESIST_S:
            self._blocked, self._resisted_s = float(np.sign(speed)), 0.0
            self._stopped = self._part_of(int(np.argmax(over)))
            self.way, self._speed = at, 0.0
        if speed == 0.0 or self._blocked == 0.0:
            return ""
        return f"something holds {self._stopped}; go the other way, or take over"

    def finish(self) -> None:
        """Leave the path here; what lies ahead is undone."""
        self._path.cut(self.way)

    def _move(self, wanted: float, waits: bool, dt: float) -> str:
        """Move the aim, unless it `waits` for the robot; why it stays."""
        self._speed += min(max(wanted - self._speed, -SLEW * dt), SLEW * dt)
        if wanted == 0.0 or waits:
            self._speed = 0.0  # let go is let go; the limiter brakes softly
        way = self.way + self._speed * dt
        if self._speed < 0.0:
            return self._back_to(way)
        if self._speed > 0.0:
            self._is_asked = False  # gone on instead; let go alone is how one reaches the other button
        self.way = min(way, self._path.length)
        return "the end of the path" if self._speed > 0.0 and way > self._path.length else ""

    def _back_to(self, way: float) -> str:
        """Go back to `way`, or stop at the first place where a hand would open."""
        for k in range(self._path.node_before(self.way), self._path.node_before(max(way, self._path.start)) - 1, -1):
            opens = self._opens(self._path.grasps[k])
            if not np.any(opens):
                continue
            if not self._is_asked:
                self._waits = True
                self.way, self._speed = min(self.way, self._path.ways[min(k + 1, len(self._path.ways) - 1)]), 0.0
                name = self._layout.channels[self._grasps[int(np.argmax(opens))]]
                return f"{name} was closed here; rewind again opens it"
            self._held = np.where(opens, self._opened(k), self._held)
            self._is_asked = False
            self._relief = self._relief + self._correction + self._entry
            self._correction, self._entry = np.zeros_like(self._relief), np.zeros_like(self._relief)
        self.way = max(way, self._path.start)
        if way < self._path.start + END:
            self._speed = 0.0
            return "the start of the path"
        return ""

    def _opened(self, k: int) -> np.ndarray:
        """(grasps,) as commanded before the closing that node `k` is in the middle of."""
        best = k
        while k > 0 and self._path.ways[best] - self._path.ways[k - 1] < CLOSING_S:
            k -= 1
            if self._closedness(self._path.grasps[k]).sum() < self._closedness(self._path.grasps[best]).sum():
                best = k
        return self._path.grasps[best]

    def _closedness(self, grasps: np.ndarray) -> np.ndarray:
        """(grasps,) from 0, open, to 1."""
        lower, upper = self._layout.lower[self._grasps], self._layout.upper[self._grasps]
        share = (grasps - lower) / (upper - lower)
        is_opening = np.array([self._layout.channels[i].endswith("_gripper") for i in self._grasps])
        return np.where(is_opening, 1.0 - share, share)  # a gripper is open at 1, a squeeze at 0

    def _opens(self, grasps: np.ndarray) -> np.ndarray:
        """(grasps,) bool: hands that hold something and were commanded to be open there."""
        held = self._closedness(self._held)
        limit = np.minimum(CHANGE, 0.5 * held) if len(held) else held
        return (held > self._closing_threshold()) & (held - self._closedness(grasps) > limit)

    def _closing_threshold(self) -> np.ndarray:
        """(grasps,) a gripper holds from half closed on, a squeeze from a few newtons on."""
        is_gripper = np.array([self._layout.channels[i].endswith("_gripper") for i in self._grasps])
        return np.where(is_gripper, CLOSED, 0.04)

    def _off_path(self, measured: np.ndarray) -> tuple[np.ndarray, float]:
        """(rate_dim,) from the nearest place of the path near the aim to where the robot is, and the way there."""
        poses, ways = self._path.poses, self._path.ways
        k = self._path.node_before(self.way)
        first, last = max(0, k - SEARCH), min(len(poses), k + SEARCH + 1)
        away = (np.array(poses[first:last]) - measured)[:, self._places] / self._paces  # (n, places) s
        nearest = first + int(np.argmin(np.einsum("ij,ij->i", away, away)))
        best, at = self._layout.difference(poses[nearest], measured), ways[nearest]
        for a in (nearest - 1, nearest):  # the two pieces of the path that meet there
            if a < 0 or a + 1 >= len(poses) or ways[a + 1] <= ways[a]:
                continue
            along = (poses[a + 1] - poses[a])[self._places] / self._paces
            share = float(((measured - poses[a])[self._places] / self._paces) @ along) / max(float(along @ along), END)
            share = min(1.0, max(0.0, share))
            off = self._layout.difference(self._layout.interpolate(poses[a], poses[a + 1], share), measured)
            if off @ off < best @ best:
                best, at = off, ways[a] + share * (ways[a + 1] - ways[a])
        return best, at

    def _part_of(self, rate: int) -> str:
        return next(part.name for part in self._layout.parts if part.rates.start <= rate < part.rates.stop)
