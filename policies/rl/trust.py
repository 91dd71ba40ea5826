"""Whether a residual still needs the consent of its critics (policies/rl/deployed.py), as its own episodes tell.

Consent keeps a young residual from harm, and later in its way: on arm_insert, from pictures, after 12,000 steps with
consent throughout, 34 of 40 worlds succeed with it and 39 without. So every fourth episode is a trial without, and once
those have ended as well as the others, it is the other way round: the residual acts alone, consent is tried. No world
beside those of the episodes is needed, as a robot has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

TRIAL_EVERY = 4  # episodes
NEWEST = 24  # episodes of either kind that count
ENOUGH = 12  # trials before consent is given up: at one in four after 48 episodes at the earliest


@dataclass(frozen=True)
class Trust:
    """Of published weights: whether the residual acts without consent."""

    deployed: bool = False
    explored: bool = False  # in the episodes that are learnt from


def trust(journal: Sequence[dict[str, Any]]) -> Trust:
    """After the episodes of a run's journal (policies/rl/run.py). One in which a person helped was no success; where
    nothing succeeds, nothing is proven."""
    acted = [line for line in journal if line.get("alone") is not None]

    def wins(alone: bool) -> list[bool]:
        kind = [line for line in acted if line["alone"] == alone]
        return [line["end"] == "success" and not line["interventions"] for line in kind[-NEWEST:]]

    trials, others = wins(True), wins(False)
    is_as_good = any(trials) and sum(trials) * len(others) >= sum(others) * len(trials)
    deployed = len(trials) >= ENOUGH and is_as_good
    is_trial = len(acted) % TRIAL_EVERY == TRIAL_EVERY - 1
    return Trust(deployed, deployed != is_trial)


def acted_alone(journal: Sequence[dict[str, Any]], version: int) -> bool | None:
    """Whether the weights of that version explored without consent; None: the base acted alone."""
    if version == 0:
        return None
    return next((bool(line.get("next_alone")) for line in reversed(journal) if line["updates"] == version), False)
