"""What episode.json says beyond the outcome, read off the messages while recording and again when repairing."""

import json
from collections.abc import Callable
from typing import Any

from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_typestore

_STRING, _STATUS = "std_msgs/msg/String", "diagnostic_msgs/msg/DiagnosticStatus"


class EpisodeNotes:
    """Collects the timelines of authority and segments, the policy hash and the last ground truth from `topics`."""

    def __init__(self, robot: str) -> None:
        self._authority, self._provenance = f"/{robot}/authority", f"/{robot}/provenance"
        self._truth, self._segment = f"/{robot}/ground_truth/task", f"/{robot}/segment"
        self.topics = frozenset((self._authority, self._provenance, self._truth, self._segment))
        self._decode: Callable[[bytes, str], Any] = get_typestore(Stores.ROS2_JAZZY).deserialize_cdr
        self.authority: list[list] = []  # [ns, who] at each change
        self.segments: list[list] = []  # [ns, segment] at each change
        self.policy_hash: str | None = None
        self.ground_truth: dict | None = None
        self.not_understood = 0

    def note(self, topic: str, log_ns: int, cdr: bytes) -> None:
        """Look at one message; one that cannot be understood is counted, for a recording must go on."""
        try:
            self._note(topic, log_ns, cdr)
        except (ValueError, SerdeError):
            self.not_understood += 1

    def _note(self, topic: str, log_ns: int, cdr: bytes) -> None:
        if topic in (self._authority, self._segment):
            timeline = self.authority if topic == self._authority else self.segments
            now = self._decode(cdr, _STRING).data
            if not timeline or timeline[-1][1] != now:
                timeline.append([log_ns, now])
        elif topic == self._truth:
            truth = json.loads(self._decode(cdr, _STRING).data)
            self.ground_truth = truth if isinstance(truth, dict) else None
        elif topic == self._provenance and self.policy_hash is None and self.authority[-1:] and \
                self.authority[-1][1] == "policy":
            values = {pair.key: pair.value for pair in self._decode(cdr, _STATUS).values}
            self.policy_hash = values.get("policy") or None

    def meta(self) -> dict:
        """What to put into episode.json; nothing where nothing was seen."""
        known = {"authority": self.authority, "segments": self.segments, "policy_hash": self.policy_hash,
                 "ground_truth": self.ground_truth,
                 "seed": (self.ground_truth or {}).get("seed"), "not_understood": self.not_understood or None}
        return {key: value for key, value in known.items() if value not in (None, [])}
