"""Who may command, what a moment is to a learner, and where a reference comes from: the words of the authority."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Authority(str, Enum):
    """Who may command; the value is what the topic says. CONTROLLER is not entered in this release."""

    NONE = "none"
    POLICY = "policy"
    TELEOP = "teleop"
    REWIND = "rewind"
    CONTROLLER = "controller"
    STOPPED = "stopped"


class Segment(str, Enum):
    """What a moment of an episode is to a learner (RaC, arXiv 2509.07953, and its neighbours)."""

    POLICY = "policy"
    PAUSE = "pause"  # nobody moves the robot
    RECOVERY = "recovery"  # a person brings the robot back to where the policy is at home
    CORRECTION = "correction"  # and shows from there how it should have gone on
    TELEOP = "teleop"  # a person drives, and no policy did before
    REWIND = "rewind"  # back along the robot's own path
    RESET = "reset"  # a new world, and nobody has had the robot in it


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where one reference comes from. `source`: policy, teleop, rewind or hold; `reason` says why it holds."""

    stamp_ns: int
    source: str
    reason: str = ""
    epoch: int = 0
    policy: str = ""
    chunk_stamp_ns: int = 0
    observation_age_ms: float = 0.0
    clamped: tuple[str, ...] = ()
    segment: str = Segment.RESET.value
    operator: str = ""
    way_back_s: float = 0.0  # what is left of the path, s; while rewinding
    residual: str = ""  # of whom a residual is added to the chunk (controllers/residual_player.py)

    def pairs(self) -> dict[str, str]:
        """As topics and recordings have it, beside the reason."""
        values = {
            "source": self.source, "policy": self.policy, "chunk_stamp_ns": self.chunk_stamp_ns,
            "observation_age_ms": round(self.observation_age_ms, 3), "epoch": self.epoch,
            "clamped": ",".join(self.clamped), "stamp_ns": self.stamp_ns, "segment": self.segment,
            "operator": self.operator, "way_back_s": round(self.way_back_s, 2), "residual": self.residual,
        }  # fmt: skip
        return {name: str(value) for name, value in values.items()}


class Segments:
    """Tells the segment of each tick."""

    def __init__(self) -> None:
        self._has_begun = False  # somebody has had the robot in this world
        self._has_policy_acted = self._is_correction = False
        self.has_intervened = False  # a person has driven after the policy

    def restart(self) -> None:
        """Another run of the world."""
        self.__init__()  # type: ignore[misc]

    def begin_episode(self) -> None:
        """What was before belongs to another episode."""
        self._has_policy_acted = self._is_correction = self.has_intervened = False

    def correct(self) -> tuple[bool, str]:
        """The recovery is over."""
        if not self.has_intervened or self._is_correction:
            return False, "no recovery is going on; allowed after a take-over from the policy"
        self._is_correction = True
        return True, "from here on it is correction"

    def enter(self, authority: Authority) -> None:
        """Somebody else has the robot from now on."""
        if authority is Authority.TELEOP and self._has_policy_acted:
            self.has_intervened = True
        if authority is Authority.REWIND:
            self._is_correction = self.has_intervened  # what follows the way back shows how to go on
        elif authority is Authority.POLICY:
            self._is_correction = False

    def of(self, authority: Authority, source: str) -> Segment:
        """The segment of a tick whose reference comes from `source`."""
        if authority in (Authority.POLICY, Authority.TELEOP, Authority.REWIND):
            self._has_begun = True
        if source == "policy":
            self._has_policy_acted = True
            return Segment.POLICY
        if authority is Authority.REWIND:
            return Segment.REWIND
        if source == "teleop":
            if not self.has_intervened:
                return Segment.TELEOP
            return Segment.CORRECTION if self._is_correction else Segment.RECOVERY
        return Segment.PAUSE if self._has_begun else Segment.RESET
