"""What the panel says about the robot, as HTML: authority, ages, answers, keys. Pure.

Every state is said in words and numbers as well as in colour.
"""

from __future__ import annotations

import html
from dataclasses import dataclass

import numpy as np

from controllers import g1

GREEN, AMBER, RED, GREY, BLUE, VIOLET = "#2b8a3e", "#b35c00", "#c92a2a", "#495057", "#1864ab", "#6741d9"  # under white
TEXT = {GREEN: "#51cf66", AMBER: "#ffa94d", RED: "#ff6b6b", GREY: "#adb5bd"}  # the same on the dark page

AUTHORITY_LOOK = {  # authority: (colour, headline, explanation)
    "none": (GREY, "HOLDING", "nobody commands; the robot keeps its pose"),
    "policy": (BLUE, "POLICY", "the policy acts"),
    "teleop": (AMBER, "TELEOP", "nobody drives from this panel: the robot holds, or another device drives"),
    "rewind": (VIOLET, "REWIND", "hold Rewind or Forward; Take over corrects from here"),
    "controller": (VIOLET, "CONTROLLER", "the controller moves by itself"),
    "stopped": (RED, "STOPPED", "every command is ignored until Release"),
}
NO_AUTHORITY = (RED, "NO AUTHORITY NODE", "nothing is heard from it; no command can pass")


@dataclass(frozen=True)
class AgeLimit:
    """Up to `good_s` an input is fresh, up to `lost_s` late, then lost."""

    label: str
    good_s: float
    lost_s: float


@dataclass(frozen=True)
class Status:
    """All that the status area of one browser shows."""

    authority: str | None  # None: never heard
    driver: str  # name of the browser that drives, "" when none
    you: str  # name of the browser that reads this
    ages: tuple[tuple[AgeLimit, float | None], ...]  # s, None: nothing received
    pelvis: tuple[float, float] | None  # height above odom's ground in m, tilt in degrees
    episode: str = ""
    distance: float | None = None  # from the training data; 1 is its edge, None: nobody says
    residual: str = ""  # which one, on or off; "": there is none


def age_s(stamp_ns: int, now_ns: int, since_arrival_s: float) -> float:
    """Age from the stamp, or since arrival when that is longer: a dead robot's clock may stand still."""
    return max((now_ns - stamp_ns) * 1e-9, since_arrival_s)


def tilt_deg(quat_xyzw: np.ndarray) -> float:
    """Angle between the base's and the world's vertical for a unit quaternion (4,)."""
    return float(np.degrees(np.arccos(np.clip(1.0 - 2.0 * (quat_xyzw[0] ** 2 + quat_xyzw[1] ** 2), -1.0, 1.0))))


def age_look(limit: AgeLimit, age: float | None) -> tuple[str, str]:
    """Colour and words of one age."""
    if age is None:
        return GREY, "no data"
    words = f"{age * 1e3:.0f} ms" if age < 1.0 else f"{age:.1f} s" if age < 100.0 else f"{age:.0f} s"
    if age <= limit.good_s:
        return GREEN, words
    return (AMBER, f"{words}, late") if age <= limit.lost_s else (RED, f"{words}, lost")


def status_html(status: Status) -> str:
    """Authority banner and ages."""
    colour, headline, explanation = NO_AUTHORITY if status.authority is None else AUTHORITY_LOOK.get(
        status.authority, (RED, status.authority.upper(), "unknown authority"))
    if status.driver and status.authority != "rewind":
        yours = status.driver == status.you
        colour = GREEN if yours else colour
        headline = "YOU DRIVE" if yours else headline
        explanation = "drag the hands, or use sliders and keys" if yours else f"{status.driver} drives"
    down = ""
    if status.pelvis is not None and np.radians(status.pelvis[1]) > g1.FALL_TILT:
        down = f'<div style="background:{RED};color:#fff;padding:4px 12px;font-weight:700">THE ROBOT IS DOWN</div>'
    rows = "".join(_row(limit.label, *age_look(limit, age)) for limit, age in status.ages)
    if status.distance is not None:
        rows += _row("For the policy", *home_look(status.distance))
    return (
        f'<div id="retake-status" data-authority="{html.escape(status.authority or "")}" style="margin:0 12px 8px">'
        f'<div style="background:{colour};color:#fff;border-radius:6px;padding:8px 12px;margin-bottom:8px">'
        f'<div style="font-size:22px;font-weight:700;line-height:1.2">{html.escape(headline)}</div>'
        f'<div style="font-size:12px">{html.escape(explanation)}</div></div>{down}'
        f'<table style="width:100%;font-size:12px;border-collapse:collapse">{rows}{_facts(status)}</table></div>'
    )


def _row(label: str, colour: str, words: str) -> str:
    return (f'<tr><td style="padding:1px 0">{html.escape(label)}</td><td style="text-align:right;color:{TEXT[colour]};'
            f'font-weight:600;font-variant-numeric:tabular-nums">&#9679; {html.escape(words)}</td></tr>')


def home_look(distance: float) -> tuple[str, str]:
    """Colour and words of a distance from the training data."""
    if distance <= 1.0:
        return GREEN, f"at home ({distance:.1f})"
    return (AMBER, f"unusual ({distance:.1f})") if distance <= 2.0 else (RED, f"unknown ({distance:.1f})")


def _facts(status: Status) -> str:
    facts = [("This is", status.you)]
    for label, words in (("Residual", status.residual), ("Episode", status.episode)):
        if words:
            facts.insert(0, (label, words))
    if status.pelvis is not None:
        facts.insert(0, ("Pelvis", f"{status.pelvis[0]:.2f} m, tilt {status.pelvis[1]:.0f}°"))
    return "".join(f'<tr><td style="padding:1px 0">{label}</td>'
                   f'<td style="text-align:right">{html.escape(words)}</td></tr>' for label, words in facts)


def answer_html(text: str, good: bool | None) -> str:
    """The last answer to a button: green done, red refused, grey under way."""
    colour = {True: GREEN, False: RED, None: GREY}[good]
    return (f'<div id="retake-answer" style="margin:0 12px 8px;padding:6px 10px;border-left:4px solid {colour};'
            f'font-size:12px;min-height:32px;background:rgba(128,128,128,.10)">{html.escape(text)}</div>')


def keys_html(keys: list[tuple[str, str]]) -> str:
    """List of keyboard shortcuts: (key, what it does)."""
    cap = ('<kbd style="border:1px solid #adb5bd;border-bottom-width:2px;border-radius:4px;padding:0 5px;'
           'font-family:inherit;font-size:11px">{}</kbd>')
    rows = "".join(
        f'<div>{" ".join(cap.format(html.escape(k)) for k in key.split())}</div><div>{html.escape(does)}</div>'
        for key, does in keys)
    return ('<div style="display:grid;grid-template-columns:118px 1fr;margin:0 12px 8px;'
            f'font-size:12px;line-height:21px">{rows}</div>')
