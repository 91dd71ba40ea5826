"""What a base policy is about to do, from its chunks and what the authority says it plays; in the launched graph and
from its recordings alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from policies.executed import Executed
from policies.execution import interpolated
from policies.observation import Observation

N_KEPT = 12  # more chunks than reach over any moment


@dataclass(frozen=True)
class Proposal:
    """The reference (dim,) before an observation, and where the base by itself would have it a step later (dim,).
    `plays`: the chunk that says so is being played; else it is the newest, while somebody else has the robot."""

    before: np.ndarray
    point: np.ndarray
    plays: bool


class Plans:
    """The newest chunks of a policy. One thread adds, any asks: what is asked is never changed, only replaced."""

    def __init__(self, channels: tuple[str, ...], step_ns: int, reference_ns: int) -> None:
        """`step_ns` of the learner, `reference_ns` from one reference to the next."""
        self._channels, self._step_ns, self._reference_ns = channels, step_ns, reference_ns
        self._chunks: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # times (n,) ns and actions by stamp, rising

    def add(self, stamp_ns: int, offsets_ns: np.ndarray, actions: np.ndarray) -> None:
        """A chunk: actions (n, dim) at `offsets_ns` (n,) after the observation at `stamp_ns`."""
        kept = list(self._chunks.items())[-N_KEPT + 1 :]
        if kept and stamp_ns <= kept[-1][0]:
            kept = []  # another world
        self._chunks = dict([*kept, (stamp_ns, (stamp_ns + offsets_ns, actions))])

    def has(self, stamp_ns: int) -> bool:
        """True when the chunk of that stamp is here."""
        return stamp_ns in self._chunks

    def proposal(self, observation: Observation, executed: Executed) -> Proposal | None:
        """What the base is about to do at an observation; None before its first chunk, and where none reaches so far.
        `executed`: up to the tick of the observation's state."""
        state_ns = observation.state_stamp_ns
        earlier = int(np.searchsorted(executed.stamps_ns, state_ns)) - 1
        if earlier < 0:
            return None
        chunks, played = self._chunks, int(executed.chunk_stamps_ns[-1])
        newest = max((stamp for stamp in chunks if stamp <= observation.stamp_ns), default=0)
        times_ns, actions = chunks.get(played or newest, (None, None))
        end_ns = observation.stamp_ns + self._step_ns - self._reference_ns  # the last tick of the step
        if times_ns is None or actions is None or end_ns > times_ns[-1]:
            return None
        point = interpolated(np.array([end_ns]), times_ns, actions, self._channels)[0]
        return Proposal(executed.references[earlier], point, played != 0)
