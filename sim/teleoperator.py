"""A scripted person beside a robot whose policy acts: sees late that something goes wrong, takes over, helps, lets go.

Two ways to help. `rac` (arXiv 2509.07953): first back to where things were well, there on to the next stage, and with
that the episode ends. Back by hand, as the paper's operators go, or with the rewind button along the robot's own path.
`hg-dagger` (arXiv 1810.02890): on from wherever the robot is to the next stage, then the policy goes on.

The person reaches the robot through a desk and sees it in a Sight; both are the same whether the authority runs in this
process or behind topics.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import numpy as np

from controllers.rigs import Rig
from sim.progress import Eye, Progress

RAC, HG_DAGGER = "rac", "hg-dagger"
STYLES = (RAC, HG_DAGGER)
REACTION_S = (0.3, 0.5)  # between what there is to see and the hand's first motion
NEXT_S = 0.25  # between two things that a hand does
GRIP_S = 0.1  # the hand is still while it closes around what is in its place
THERE_M = 0.015  # nearer than this is there
SURE_S = 1.0  # the next stage is reached for so long
PATIENCE_S = 12.0  # of going back, and of helping
WAY_ENDS = ("start of the path", "something holds", "opens it")  # what the panel says where the way back ends


class Desk(Protocol):
    """What a person's hands reach."""

    def ask(self, service: str) -> bool:
        """take_over, rewind, correct or hand_back; whether it was done."""

    def stream(self, action: np.ndarray) -> None:
        """Where the person's hands are, (dim,); one a tick."""

    def hold(self, speed: float) -> None:
        """The rewind button, -1 (back) to 1; one a tick."""


@dataclass(frozen=True)
class Sight:
    """What a person sees at a tick: the pose the robot has and the reference (dim,), and what the panel says."""

    now_s: float
    measured: np.ndarray
    reference: np.ndarray
    reason: str


class Phase(Enum):
    """What the person is doing."""

    WATCH = "watch"
    BACK = "back"
    GRIP = "grip"
    HELP = "help"
    DONE = "done"
    GAVE_UP = "gave up"


class Trouble:
    """Tells when there is something to see: the robot goes the wrong way, or nowhere."""

    def __init__(self, eye: Eye, progress: Progress, now_s: float) -> None:
        self._eye, self.best, self._seen_s = eye, progress, math.inf
        self.well_s = now_s  # when the robot was there, nearest to its goal

    def watch(self, progress: Progress, now_s: float) -> float:
        """Seconds for which there has been something to see."""
        best, eye = self.best, self._eye
        is_same = progress.stage == best.stage
        if progress.stage > best.stage or (is_same and progress.left_m < best.left_m - eye.closer_m):
            self.best, self.well_s = progress, now_s
        is_back = progress.stage < best.stage or (is_same and progress.left_m > best.left_m + eye.farther_m)
        is_trouble = is_back or now_s - self.well_s > eye.patience_s
        self._seen_s = min(self._seen_s, now_s) if is_trouble else math.inf
        return max(0.0, now_s - self._seen_s)


class Aim:
    """Beside where they want to be, as a person's hands are: another draw for every help, (hands, 3) m."""

    def __init__(self, eye: Eye, rig: Rig, rng: np.random.Generator) -> None:
        self._positions = rig.layout.positions
        self._off = rng.normal(0.0, eye.aim_m, (len(self._positions), 3))

    def moved(self, action: np.ndarray) -> np.ndarray:
        """Where the hands are that want to be at `action` (dim,)."""
        action = action.copy()
        for position, off in zip(self._positions, self._off, strict=True):
            action[position] += off
        return action


def apart(a: np.ndarray, b: np.ndarray, rig: Rig) -> float:
    """m between two poses (dim,), of the hand that is farther."""
    return max(float(np.linalg.norm(a[position] - b[position])) for position in rig.layout.positions)


class Teleoperator:
    """One person over many episodes; `begin` each, then `act` at every tick. What is random comes from the seed."""

    def __init__(self, style: str, rig: Rig, eye: Eye, make_expert: Callable[[Any, np.ndarray, int], Any]) -> None:
        """`make_expert(task, reference, seed)`: the task's demonstrator, who can go on from anywhere."""
        if style not in STYLES:
            raise ValueError(f"style {style!r}; allowed: {', '.join(STYLES)}")
        self._is_rac, self._rig, self._eye, self._make_expert = style == RAC, rig, eye, make_expert

    def begin(self, seed: int) -> None:
        """Watch another episode."""
        self._rng = np.random.default_rng([seed, 0x0BE])
        self.phase, self.interventions = Phase.WATCH, 0
        self._trouble: Trouble | None = None
        self._seen: list[tuple[float, np.ndarray]] = []  # time and pose, while watching

    @property
    def drives(self) -> bool:
        """Whether the robot is in the person's hands."""
        return self.phase is not Phase.WATCH

    @property
    def has_ended(self) -> bool:
        """Whether the person ends the episode: after help, or because there is no way on."""
        return self.phase in (Phase.DONE, Phase.GAVE_UP)

    def act(self, desk: Desk, sight: Sight, task: Any) -> None:
        """What the hands do at this tick. `task`: the scene as it is to be seen, the same object at every tick: the
        demonstrator keeps it."""
        progress = self._eye.look(task, sight.measured)
        if self.phase is Phase.WATCH:
            self._watch(desk, sight, progress)
        elif self.has_ended or sight.now_s < self._busy_until_s:
            return
        elif sight.now_s - self._began_s > PATIENCE_S:
            self._next(Phase.GAVE_UP, sight)
        elif self.phase is Phase.BACK:
            self._back(desk, sight, progress)
        elif self.phase is Phase.GRIP:
            self._grip(desk, sight, task)
        else:
            self._help(desk, sight, progress)

    def _next(self, phase: Phase, sight: Sight) -> None:
        self.phase, self._began_s, self._busy_until_s = phase, sight.now_s, sight.now_s + NEXT_S

    def _watch(self, desk: Desk, sight: Sight, progress: Progress) -> None:
        if self._trouble is None:
            self._trouble = Trouble(self._eye, progress, sight.now_s)
            self._reaction_s = float(self._rng.uniform(*REACTION_S))
        self._seen.append((sight.now_s, sight.measured))
        if self._trouble.watch(progress, sight.now_s) < self._reaction_s or not desk.ask("take_over"):
            return
        well_s, self._trouble = self._trouble.well_s, None
        self._well = next(pose for at_s, pose in self._seen if at_s >= well_s)
        self.interventions += 1
        self._wanted, self._reached_s = progress.stage + 1, math.inf
        self._is_rewinding = self._is_past = False
        self._is_correcting = not self._is_rac
        self._expert: Any = None
        self._next(Phase.BACK if self._is_rac and self._eye.rewinds else Phase.GRIP, sight)

    def _back(self, desk: Desk, sight: Sight, progress: Progress) -> None:
        """Hold the rewind button until things are well again; open the hand that was closed on the way, if nothing
        hangs in it."""
        if not self._is_rewinding:
            self._is_rewinding = desk.ask("rewind")
        away = apart(sight.measured, self._well, self._rig)
        self._is_past = self._is_past or away < THERE_M
        is_enough = not self._is_rewinding or (self._is_past and away > self._eye.back_m)
        if "opens it" in sight.reason and progress.stage == 0:
            desk.ask("rewind")
        elif is_enough or any(end in sight.reason for end in WAY_ENDS):
            if desk.ask("take_over"):
                self._next(Phase.GRIP, sight)
            return
        desk.hold(-1.0)

    def _grip(self, desk: Desk, sight: Sight, task: Any) -> None:
        """The person's hands close around what is in their place, before they move."""
        if self._expert is None:
            if self._is_correcting:
                desk.ask("correct")
            self._place = sight.reference
            self._expert = self._make_expert(task, sight.reference, int(self._rng.integers(2**31)))
            self._aim = Aim(self._eye, self._rig, self._rng)
        desk.stream(self._place)
        if sight.now_s - self._busy_until_s >= GRIP_S:
            self._next(Phase.HELP, sight)
            self._busy_until_s = sight.now_s

    def _help(self, desk: Desk, sight: Sight, progress: Progress) -> None:
        desk.stream(self._aim.moved(self._expert.act(sight.measured, self._rig.reference_dt)))
        if not self._is_correcting and self._expert.is_clear:
            self._is_correcting = True
            desk.ask("correct")
        self._reached_s = min(self._reached_s, sight.now_s) if progress.stage >= self._wanted else math.inf
        if sight.now_s - self._reached_s < SURE_S:
            return
        self._next(Phase.DONE if self._is_rac else Phase.WATCH, sight)
        if not self._is_rac:
            self._seen.clear()
            desk.ask("hand_back")
