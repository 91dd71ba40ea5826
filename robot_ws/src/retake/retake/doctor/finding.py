"""What one check of `retake doctor` found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """GOOD and NOTE let an operator go on, BAD does not."""

    GOOD = "ok"
    NOTE = "note"
    BAD = "BAD"


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, what was seen, and what to do about it."""

    name: str
    level: Level
    seen: str
    remedy: str = ""

    def line(self) -> str:
        """As it is printed."""
        return f"{self.level.value:<5}{self.name:<12}{self.seen}" + (f": {self.remedy}" if self.remedy else "")


def good(name: str, seen: str) -> Finding:
    """All is well."""
    return Finding(name, Level.GOOD, seen)


def note(name: str, seen: str, remedy: str) -> Finding:
    """Worth knowing; some uses suffer."""
    return Finding(name, Level.NOTE, seen, remedy)


def bad(name: str, seen: str, remedy: str = "") -> Finding:
    """The robot must not be started like this. UserErrors bring their remedy with them."""
    return Finding(name, Level.BAD, seen, remedy)
