"""Who had the robot when, as spans of time: the segments of an episode and its authorities, from episode.json."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

INTERVENTIONS = ("recovery", "correction", "teleop", "rewind")  # a person's
# One colour per segment wherever one is shown; told apart by colour-blind eyes too (after Okabe and Ito).
COLOURS = {"policy": "#3b82c4", "pause": "#9aa3ad", "recovery": "#d9622b", "correction": "#1f9d78", "teleop": "#e0a32e",
           "rewind": "#b56ba6", "reset": "#7dbfe3"}
SEGMENTS = tuple(COLOURS)


@dataclass(frozen=True, slots=True)
class Span:
    """Something that lasted from `start_ns` until `end_ns`."""

    name: str
    start_ns: int
    end_ns: int

    @property
    def seconds(self) -> float:
        return (self.end_ns - self.start_ns) / 1e9


def segments(meta: dict) -> list[Span]:
    """The segments of an ended episode. Recordings from before there were any: they follow from the authority."""
    named = meta.get("segments")
    if not named:
        named = [[stamp, who if who in ("policy", "teleop") else "pause"] for stamp, who in meta["authority"]]
    return _spans(named, meta)


def authorities(meta: dict) -> list[Span]:
    """Who had authority in an ended episode."""
    return _spans(meta["authority"], meta)


def _spans(changes: Sequence[Sequence], meta: dict) -> list[Span]:
    """From [[ns, name], ...] at each change to spans within the episode; nothing for an unfinished one."""
    started, ended = meta["started_ns"], meta["ended_ns"]
    if not changes or ended is None or started is None:
        return []
    spans: list[Span] = []
    until = [int(stamp) for stamp, _ in changes[1:]] + [ended]
    for (since, name), end in zip(changes, until, strict=True):
        span = Span(str(name), max(int(since), started), min(end, ended))
        if span.end_ns <= span.start_ns:
            continue
        if spans and spans[-1].name == span.name:
            spans[-1] = Span(span.name, spans[-1].start_ns, span.end_ns)
        else:
            spans.append(span)
    return spans


def seconds_of(spans: Iterable[Span]) -> dict[str, float]:
    """Total time of each name, s, in order of first appearance."""
    total: dict[str, float] = {}
    for span in spans:
        total[span.name] = total.get(span.name, 0.0) + span.seconds
    return total


def name_at(spans: Sequence[Span], stamp_ns: int) -> str:
    """The name of the span that a stamp lies in; empty outside all of them."""
    return next((span.name for span in spans if span.start_ns <= stamp_ns < span.end_ns), "")


def ratio_text(seconds: dict[str, float]) -> str:
    """Time of recovery against time of correction, `1.8 : 1`; without one of them, what there is."""
    recovery, correction = seconds.get("recovery", 0.0), seconds.get("correction", 0.0)
    if recovery and correction:
        return f"{recovery / correction:.1f} : 1"
    return f"{recovery:.0f} s : {correction:.0f} s" if recovery or correction else "none"
