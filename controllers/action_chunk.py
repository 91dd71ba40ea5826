"""Several actions with their times, predicted from one observation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    """Actions (n, dim) of `layout` at times (n,) ns of the node clock, seen from `stamp_ns`, by `policy` (a hash)."""

    stamp_ns: int
    times_ns: np.ndarray
    actions: np.ndarray
    layout: ActionLayout
    policy: str = ""

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
        return Chunk(stamp_ns, stamp_ns + offsets, checked, layout, policy)

    def at(self, now_ns: int) -> np.ndarray:
        """(dim,) between the two points around `now_ns`; the first before all, the last after all."""
        k = int(np.searchsorted(self.times_ns, now_ns))
        if k == 0:
            return self.actions[0]
        if k == len(self.times_ns):
            return self.actions[-1]
        before, after = int(self.times_ns[k - 1]), int(self.times_ns[k])
        return self.layout.interpolate(self.actions[k - 1], self.actions[k], (now_ns - before) / (after - before))
