"""What several tries are worth: success of an executor that tries again where its verifier is not content.

If tries were independent the success of one would say it all (Robot Utility Models, arXiv 2409.05865). They are not: a
world that was hard at first is hard again. So the success of a try is a number of its world, Beta distributed over the
worlds, and how it is distributed is learnt from tries in other worlds than those that it is to tell of.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

MEANS = [k / 200 for k in range(1, 200)]
ALIKE = [10 ** (k / 10) for k in range(-15, 31)]  # a + b: small where worlds are easy or hard, large where alike


def retry_success(p: float, false_positive: float, false_negative: float, tries: int) -> float:
    """Success of an executor that tries up to `tries` times and stops where its verifier is content.

    `p`: success of one try, `false_positive` per failure, `false_negative` per success; tries are independent, and the
    last one counts unseen. A try is followed by another with probability r = p q + (1 - p)(1 - f), so success is
    p (1 - q) (1 + r + ... + r^(n-2)) + p r^(n-1) (arXiv 2409.05865).
    """
    _check(false_positive, false_negative, tries, p)
    again = p * false_negative + (1 - p) * (1 - false_positive)
    stopped = sum(again**i for i in range(tries - 1))
    return p * (1 - false_negative) * stopped + p * again ** (tries - 1)


@dataclass(frozen=True)
class Worlds:
    """The success of a try is Beta(a, b) distributed over the worlds."""

    a: float
    b: float

    @classmethod
    def fit(cls, tried: Iterable[tuple[int, bool]]) -> Worlds:
        """The most likely, for worlds that were tried: failures so far, and whether the next try succeeded.

        Raises:
            ValueError: no world was tried.
        """
        counts: dict[tuple[int, bool], int] = {}
        for each in tried:
            counts[each] = counts.get(each, 0) + 1
        if not counts:
            raise ValueError("no tries to learn from; allowed: one world or more; evaluate some first")
        grid = (cls(mean * alike, (1.0 - mean) * alike) for mean, alike in product(MEANS, ALIKE))
        return max(grid, key=lambda worlds: worlds._log_likelihood(counts))

    def _log_likelihood(self, counts: dict[tuple[int, bool], int]) -> float:
        return sum(n * self._log_moment(int(won), failures) for (failures, won), n in counts.items())

    def _log_moment(self, wins: int, losses: int) -> float:
        """log E[p^wins (1 - p)^losses]."""
        return _log_beta(self.a + wins, self.b + losses) - _log_beta(self.a, self.b)

    def retry_success(self, false_positive: float, false_negative: float, tries: int) -> float:
        """As the function of that name, on average over the worlds."""
        _check(false_positive, false_negative, tries)

        def reached(i: int) -> float:
            """E[p r^i]: that try i is made, if none of those before it was thought to be a success, and succeeds."""
            return sum(math.comb(i, j) * false_negative**j * (1.0 - false_positive) ** (i - j)
                       * math.exp(self._log_moment(1 + j, i - j)) for j in range(i + 1))  # fmt: skip

        return (1.0 - false_negative) * sum(reached(i) for i in range(tries - 1)) + reached(tries - 1)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _check(false_positive: float, false_negative: float, tries: int, p: float = 0.0) -> None:
    if tries < 1 or not all(0.0 <= x <= 1.0 for x in (p, false_positive, false_negative)):
        raise ValueError(f"p {p}, rates {false_positive}, {false_negative}, tries {tries}; allowed: 0..1 and 1 or more")
