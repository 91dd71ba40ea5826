"""How a person's minutes become training data: three ways, the same budget of camera frames in a person's hands."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sim import promote
from sim.demonstration import Demonstrator, Variation
from sim.policy_recording import PolicyRecorder
from sim.teleoperator import HG_DAGGER, RAC

Record = Callable[[int, Path], dict]  # the episode of a seed into a folder; its episode.json


@dataclass(frozen=True)
class Method:
    """`style`: how the person helps the policy, empty: demonstrates instead. `segments`: what is learnt from and how
    often, as `retake train` takes it; `hands`: the segments in a person's hands, which count as their frames. Nothing
    is learnt of a rewind: it retraces how the policy has strayed, where demonstrations lead the other way."""

    name: str
    style: str
    segments: str
    hands: tuple[str, ...]

    def recorder(self, policy: Path, task: str) -> Record:
        """Of episodes of the task, with the policy in that folder where one acts."""
        if not self.style:
            return partial(_demonstrated, Demonstrator(Variation(), task))
        return PolicyRecorder.of(str(policy), task, self.style).record

    def spent(self, metas: Iterable[dict], task: str) -> dict[str, Any]:
        """What a person has put into episodes, as the ledger has it: minutes that they drove, of those that they were
        there, and camera frames by segment; `taught`: the frames in their hands."""
        ended = [meta for meta in metas if meta["outcome"] != "aborted"]
        kept = promote.spent([meta for meta in ended if meta["outcome"] != "discarded"], task)["frames"]
        taught = sum(kept.get(name, 0) for name in self.hands)
        return {**promote.spent(ended, task), "taught": taught}


def _demonstrated(demonstrator: Demonstrator, seed: int, root: Path) -> dict:
    return demonstrator.record(seed, root, by="teleop")


METHODS = {
    method.name: method
    for method in (
        Method("rac", RAC, "untouched,recovery:2,correction:2", ("rewind", "recovery", "correction")),
        Method("hg-dagger", HG_DAGGER, "untouched,correction:2", ("correction",)),
        Method("demos", "", "untouched,teleop", ("teleop",)),
    )
}
