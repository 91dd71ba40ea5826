"""The gate: a policy is promoted only when it is sure not to be worse than the deployed one by more than a margin.

A test of non-inferiority on paired seeds: the lower limit of the interval of the difference must lie above -margin; a
deployment that never falls below its baseline by more than a stated part is StepMix's idea (arXiv 2306.06265).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from policies.paired import Paired, pair

MARGIN = 0.05
# Newcombe's interval is too short near its ends: with z = 1.645 up to 8 % of the policies that are worse by just the
# margin pass instead of 5 % (50 to 200 seeds, all correlations); with 1.96 up to 5.1 %, from 100 seeds on 4.4 %.
Z = 1.96
SEEDS_MIN = 50


@dataclass(frozen=True)
class Verdict:
    """`paired`: the deployed policy first, the candidate second; `low`: the lower limit of their difference."""

    paired: Paired
    margin: float
    low: float

    @property
    def promoted(self) -> bool:
        """True when the candidate may be deployed."""
        return self.low >= -self.margin

    def __str__(self) -> str:
        word = "not worse" if self.promoted else "not shown to be as good"
        return (f"{word}: {100 * self.paired.difference:+.1f} points on {self.paired.trials} seeds, at least "
                f"{100 * self.low:+.1f} (needed {-100 * self.margin:+.1f})")  # fmt: skip


def judge(deployed: Mapping[int, bool], candidate: Mapping[int, bool], margin: float = MARGIN) -> Verdict:
    """Successes by seed of both on the same seeds.

    Raises:
        ValueError: the seeds differ or are too few, or the margin makes no sense.
    """
    if not 0.0 <= margin < 1.0:
        raise ValueError(f"margin {margin}; allowed: 0 to below 1, as a difference of success rates; 0.05 is usual")
    if deployed.keys() != candidate.keys():
        odd = sorted(deployed.keys() ^ candidate.keys())
        raise ValueError(f"seed {odd[0]} was run by one policy only; allowed: the same seeds; run both on them")
    if len(deployed) < SEEDS_MIN:
        raise ValueError(f"{len(deployed)} seeds decide nothing; allowed: {SEEDS_MIN} and more; run more of them")
    paired = pair(deployed, candidate)
    return Verdict(paired, margin, paired.interval(Z)[0])
