"""Several actions with their times, predicted from one observation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from controllers.action_layout import ActionLayout


class Refused(ValueError):
    """An input that was not taken, and why."""


def checked_action(action: np.ndarray, layout: ActionLayout) -> np.ndarray:
    """The action (dim,) inside its limits, or Refused: wrong shape, not finite, a quaternion without direction."""
    try:
        return layout.validated(action)
    except ValueError as error:
        raise Refused(str(error)) from error


@dataclass(frozen=True, slots=True)
class Chunk:
    """Actions (n, dim) of `layout` at times (n,) ns of the node clock, seen from `stamp_ns`, by `policy` (a hash).

    Between its points it moves smoothly and never beyond them: monotone cubic Hermite pieces (Fritsch and Butland 1984)
    in each entry of the layout's rates. Straight lines would change the velocity within one tick at every point, which
    a limiter cannot follow.
    """

    stamp_ns: int
    times_ns: np.ndarray
    actions: np.ndarray
    layout: ActionLayout
    policy: str
    ways: np.ndarray  # (n - 1, rate_dim) from point to point
    slopes: np.ndarray  # (n, rate_dim) per second, at the points

    @staticmethod
    def checked(
        stamp_ns: int, offsets_ns: Sequence[int] | np.ndarray, actions: np.ndarray, layout: ActionLayout,
        policy: str = "",
    ) -> Chunk:  # fmt: skip
        """A chunk from actions (n, dim) at `offsets_ns` (n,) after `stamp_ns`, or Refused."""
        offsets = np.asarray(offsets_ns, dtype=np.int64)
        if len(offsets) != len(actions) or len(offsets) == 0 or np.any(np.diff(offsets) <= 0):
            raise Refused(f"{len(actions)} points with {len(offsets)} times; send one or more, with increasing times")
        checked = np.stack([checked_action(action, layout) for action in actions])
        ways = np.array([layout.difference(a, b) for a, b in pairwise(checked)]).reshape(-1, layout.rate_dim)
        slopes = _slopes(np.diff(offsets)[:, None] * 1e-9, ways)
        return Chunk(stamp_ns, stamp_ns + offsets, checked, layout, policy, ways, slopes)

    def at(self, now_ns: int) -> np.ndarray:
        """(dim,) between the two points around `now_ns`; the first before all, the last after all."""
        k = int(np.searchsorted(self.times_ns, now_ns))
        if k == 0:
            return self.actions[0]
        if k == len(self.times_ns):
            return self.actions[-1]
        before, after = int(self.times_ns[k - 1]), int(self.times_ns[k])
        s, span_s = (now_ns - before) / (after - before), (after - before) * 1e-9
        way = s * s * (3.0 - 2.0 * s) * self.ways[k - 1]
        way += span_s * s * (1.0 - s) * ((1.0 - s) * self.slopes[k - 1] - s * self.slopes[k])
        return self.layout.moved(self.actions[k - 1], way)


def _slopes(spans_s: np.ndarray, ways: np.ndarray) -> np.ndarray:
    """(n, r) per second at n points that lie `ways` (n - 1, r) and `spans_s` (n - 1, 1) apart: between two pieces their
    weighted harmonic mean, 0 where they turn back, so that no piece overshoots; at both ends that of the piece."""
    if not len(ways):
        return np.zeros((1, ways.shape[1]))
    rates = ways / spans_s
    before, after = rates[:-1], rates[1:]
    share = (spans_s[:-1] + 2.0 * spans_s[1:]) / (3.0 * (spans_s[:-1] + spans_s[1:]))
    goes_on = before * after > 0.0
    mean = share * after + (1.0 - share) * before
    inner = np.where(goes_on, before * after / np.where(goes_on, mean, 1.0), 0.0)
    return np.concatenate([rates[:1], inner, rates[-1:]])
