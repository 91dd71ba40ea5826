"""Two policies on the same seeds: how sure a difference is. Only the seeds on which they differ say anything.

`p_value` is McNemar's test in its exact form: under equal policies each discordant seed is a fair coin. `interval` is
Newcombe's method 10 for paired proportions (Statistics in Medicine 17, 1998, 2635-2650): Wilson's limits of both rates,
joined with their correlation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from policies.statistics import wilson_interval


@dataclass(frozen=True)
class Paired:
    """Seeds by outcome: both succeed, only the first, only the second, neither."""

    both: int
    first_only: int
    second_only: int
    neither: int

    @property
    def trials(self) -> int:
        return self.both + self.first_only + self.second_only + self.neither

    @property
    def difference(self) -> float:
        """Success rate of the second less that of the first, -1..1."""
        return (self.second_only - self.first_only) / self.trials

    @property
    def p_value(self) -> float:
        """Two-sided; 1 where the two never differ."""
        discordant, fewer = self.first_only + self.second_only, min(self.first_only, self.second_only)
        tail = sum(math.comb(discordant, k) for k in range(fewer + 1))
        return min(1.0, 2 * tail / 2**discordant)

    def interval(self, z: float = 1.96) -> tuple[float, float]:
        """Of `difference`; z = 1.96 gives 95 %."""
        n = self.trials
        first, second = self.both + self.first_only, self.both + self.second_only
        low_1, high_1 = wilson_interval(first, n, z)
        low_2, high_2 = wilson_interval(second, n, z)
        rate_1, rate_2, phi = first / n, second / n, self._correlation()
        below = _joined(rate_2 - low_2, high_1 - rate_1, phi)
        above = _joined(high_2 - rate_2, rate_1 - low_1, phi)
        return self.difference - below, self.difference + above

    def _correlation(self) -> float:
        """Phi of the two outcomes, with Newcombe's continuity correction where it is positive."""
        a, b, c, d, n = self.both, self.first_only, self.second_only, self.neither, self.trials
        product = (a + b) * (c + d) * (a + c) * (b + d)
        if product == 0:
            return 0.0
        excess = a * d - b * c
        return (max(excess - n / 2, 0.0) if excess > 0 else excess) / math.sqrt(product)


def _joined(one: float, other: float, phi: float) -> float:
    return math.sqrt(max(0.0, one * one - 2 * phi * one * other + other * other))


def pair(first: Mapping[int, bool], second: Mapping[int, bool]) -> Paired:
    """Count the seeds that both have; success by seed.

    Raises:
        ValueError: they have no seed in common.
    """
    seeds = first.keys() & second.keys()
    if not seeds:
        raise ValueError("the two have no seed in common, so nothing can be paired; run both on the same seeds")
    count = {(a, b): 0 for a in (True, False) for b in (True, False)}
    for seed in seeds:
        count[first[seed], second[seed]] += 1
    return Paired(count[True, True], count[True, False], count[False, True], count[False, False])
