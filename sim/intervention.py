"""The scripted person of sim/teleoperator.py at the authority's core, in one process with the world."""

from __future__ import annotations

from typing import Any

import numpy as np

from controllers.authority_core import AuthorityCore
from sim.progress import eye_of
from sim.tasks import task_spec
from sim.teleoperator import HG_DAGGER, REACTION_S, Phase, Sight, Teleoperator

DEVICE = "scripted"


class _CoreDesk:
    """The services and streams of an authority, as they count at one tick."""

    def __init__(self, core: AuthorityCore, now_ns: int) -> None:
        self._core, self._now_ns = core, now_ns

    def ask(self, service: str) -> bool:
        if service == "take_over":
            return self._core.take_over(DEVICE)[0]
        return {"rewind": self._core.rewind, "correct": self._core.correct, "hand_back": self._core.hand_back}[
            service
        ]()[0]

    def stream(self, action: np.ndarray) -> None:
        self._core.offer_teleop(self._now_ns, action, DEVICE)

    def hold(self, speed: float) -> None:
        self._core.offer_rewind(self._now_ns, speed, DEVICE)


class Operator:
    """Who watches a rollout and helps; `begin` each episode."""

    def __init__(self, task: str, style: str) -> None:
        """Raises ValueError: the task or the style is unknown to them."""
        spec, eye = task_spec(task), eye_of(task)
        make_expert = spec.make_direct if style == HG_DAGGER else spec.make_expert
        self._person = Teleoperator(style, spec.rig, eye, make_expert)
        self.about = {"scripted": style, "reaction_s": list(REACTION_S), "aim_m": eye.aim_m}

    def begin(self, task: Any, seed: int) -> None:
        """Watch the episode of `seed` in the world of `task`."""
        self._task = task
        self._person.begin(seed)

    @property
    def drives(self) -> bool:
        """Whether the robot is in the person's hands."""
        return self._person.drives

    @property
    def has_ended(self) -> bool:
        """Whether the person ends the episode."""
        return self._person.has_ended

    @property
    def gave_up(self) -> bool:
        """Whether the help came to nothing."""
        return self._person.phase is Phase.GAVE_UP

    def act(self, core: AuthorityCore, now_ns: int, measured: np.ndarray, reference: np.ndarray, said: str) -> None:
        """See sim/rollout.py."""
        self._person.act(_CoreDesk(core, now_ns), Sight(now_ns * 1e-9, measured, reference, said), self._task)
