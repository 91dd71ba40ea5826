"""Success as a learner is told it: a verifier's pictures above its threshold, the hand where successes end, for some
steps on end (HIL-SERL, arXiv 2410.21845, has a classifier and hand-written checks). And a watch on reward hacking: how
often it says so of episodes that were failures, beside how often it did on failures it had not seen.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from policies.atomic import replace_file
from policies.statistics import format_rate, wilson_interval
from policies.verifier import Verifier, VerifierError

WATCH_NAME = "watch.json"
STEPS = 2  # on end, since one picture in a hundred passes by chance


class Detector:
    """Asked at every step of an episode; `begin` each."""

    def __init__(
        self, verifier: Verifier, channels: Sequence[str], cameras: Sequence[str], steps: int = STEPS
    ) -> None:
        """`channels` of the poses that it will be asked about, `cameras` whose pictures there are.

        Raises:
            VerifierError: the verifier looks through another, or does not know where successes end.
        """
        if unseen := [name for name in verifier.config.cameras if name not in cameras]:
            raise VerifierError(f"the verifier looks through {', '.join(unseen)}; allowed: what the base policy sees, "
                                f"{', '.join(cameras) or 'nothing'}; make it with `retake train-verifier --cameras`")
        if verifier.guard is None:
            raise VerifierError("the verifier does not say where the robot is when it is done; allowed: one of this "
                                "release; make it again with `retake train-verifier`")
        self.verifier, self._guard, self._channels, self._steps = verifier, verifier.guard, tuple(channels), steps
        self.begin()

    def begin(self) -> None:
        """A new episode."""
        self._seen = 0

    def says(self, jpegs: Sequence[bytes], pose: np.ndarray) -> bool:
        """True when it takes the task for done: one JPEG of each camera of the verifier, the measured pose (n,)."""
        return self.hears(0.0 if self._guard.outside(self._channels, pose) else self.verifier.score(jpegs), pose)

    def hears(self, score: float, pose: np.ndarray) -> bool:
        """The same of pictures that have a score already."""
        is_done = score >= self.verifier.threshold and not self._guard.outside(self._channels, pose)
        self._seen = self._seen + 1 if is_done else 0
        return self._seen >= self._steps


class Watch:
    """Counts what was said of episodes whose truth somebody knows: an evaluator, an operator's label. The counts are a
    file in the run's folder; one process adds, any looks."""

    def __init__(self, verifier: Verifier, folder: Path) -> None:
        """Raises VerifierError for one that cannot tell a learner, and in a run that had another."""
        if verifier.false_alarm is None:
            raise VerifierError("the verifier does not say how often it raises a false alarm; allowed: one of this "
                                "release; make it again with `retake train-verifier`")
        self._before, self._path, self._sha256 = verifier.false_alarm, folder / WATCH_NAME, verifier.sha256
        if (told := self._counts()["verifier"]) != verifier.sha256:
            raise VerifierError(f"{folder} was told of success by {told[:12]}; allowed: the same verifier again, or "
                                "another folder")

    def _counts(self) -> dict[str, Any]:
        if not self._path.exists():
            return {"verifier": self._sha256, "failures": 0, "said": 0, "successes": 0, "missed": 0}
        return json.loads(self._path.read_text())

    def add(self, said: bool, true: bool) -> None:
        """One episode."""
        counts = self._counts()
        counts["successes" if true else "failures"] += 1
        counts["missed"] += true and not said
        counts["said"] += said and not true
        replace_file(self._path, json.dumps(counts))

    @property
    def is_hacked(self) -> bool:
        """True when it is surely content with more failures than it was with those that nobody was rewarded for."""
        counts = self._counts()
        low, _ = wilson_interval(counts["said"], counts["failures"])
        _, high = wilson_interval(self._before.errors, self._before.trials)
        return low > high

    def __str__(self) -> str:
        """Its errors here, per failure and per success."""
        counts = self._counts()
        told = (f"the verifier took {format_rate(counts['said'], counts['failures'])} of the failures for done (of its "
                f"own held-out ones {self._before}), and missed {format_rate(counts['missed'], counts['successes'])} "
                "of the successes")  # fmt: skip
        return f"reward hacking: {told}" if self.is_hacked else told
