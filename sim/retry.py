"""Verify and retry (Robot Utility Models, arXiv 2409.05865): what looks failed is tried again, in the same world.

After a try the verifier looks through the robot's cameras. Where it is not content the robot lets go, goes near home
and the policy begins anew, each time from another of the poses that demonstrations begin in: from the same pose a
policy sees the same and fails again. A try ends as a plain episode does: with success, when it has become hopeless, or
when its time is over; so one try is exactly the plain episode. The last try is not looked at, since nothing would
follow from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controllers.rigs import Rig
from policies.verifier import Verifier
from sim.rollout import Execution, Rollout, RolloutResult
from sim.tasks import task_spec

LET_GO_S = 0.6
SPEED = 0.5  # of the layout's limits, on the way home
REST_S = 0.6  # at home, before the next try
POINT_S = 0.1
START_SPREAD = 0.6  # of the poses around home in which a further try starts, as `retake collect --start-spread`


@dataclass(frozen=True)
class Try:
    """How one try ended, after how many seconds, and what the verifier said then, 0..1; None: it was not asked."""

    why: str
    time_s: float
    score: float | None


def run_with_retries(
    rollout: Rollout, execution: Execution, verifier: Verifier | None, seed: int, tries: int
) -> tuple[RolloutResult, list[Try]]:
    """The episode of `seed` with up to `tries` tries. Its outcome is that of the last; its time that of all."""
    rollout.begin(seed)
    done: list[Try] = []
    rig, rng, draw = rollout.rig, np.random.default_rng([seed, 0x7E7]), task_spec(rollout.task.name).start_pose
    while True:
        why, time_s = rollout.attempt(execution)
        is_last = len(done) == tries - 1 or verifier is None or why == "fallen"
        score = None if is_last or verifier is None else verifier.score(rollout.pictures(verifier.config.cameras))
        done.append(Try(why, time_s, score))
        if score is None or verifier is None or score >= verifier.threshold:
            return rollout.result(why), done
        home = draw(rig.home_action, rng, START_SPREAD)
        rollout.play(way_home(rig, rollout.reference, home), POINT_S)


def way_home(rig: Rig, start: np.ndarray, home: np.ndarray) -> np.ndarray:
    """Actions (n, dim), POINT_S apart: let go at `start` (dim,), lift the hands to at least their height at `home`
    (dim,), go there, rest."""
    layout = rig.layout
    free = start.copy()
    free[list(rig.grasps)] = home[list(rig.grasps)]
    lifted = free.copy()
    for position in layout.positions:
        lifted[position][2] = max(free[position][2], home[position][2])
    way = [start, *[free] * round(LET_GO_S / POINT_S)]
    for before, after in ((free, lifted), (lifted, home)):
        steps = _steps(rig, before, after)
        way += [layout.interpolate(before, after, k / steps) for k in range(1, steps + 1)]
    return np.array([*way, *[home] * round(REST_S / POINT_S)])


def _steps(rig: Rig, before: np.ndarray, after: np.ndarray) -> int:
    """How many points a straight way takes."""
    layout = rig.layout
    way = layout.difference(before, after)
    longest = max(float(np.linalg.norm(way[part.rates])) / float(layout.speed[part.channels.start])
                  for part in layout.parts)
    return max(1, int(np.ceil(longest / SPEED / POINT_S)))
