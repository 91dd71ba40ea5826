"""The report of one episode: what the cameras saw, who had the robot, hand-overs, latencies, losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import cv2
import numpy as np

from policies import handover, latency, losses, recorded
from policies.episode_meta import EpisodeError
from policies.recorded import EMPTY, Track
from policies.timeline import INTERVENTIONS, Span, authorities, name_at, ratio_text, seconds_of, segments
from retake.report import charts
from retake.report import page as html

PICTURES = 12  # per camera
PICTURE_PX = 200  # wide
QUIET_MS = 500.0  # a topic that ends so much before the episode lost its end
FAST = ".position"  # the parts whose speed is drawn


def episode_page(folder: Path) -> str:
    """The whole page."""
    meta = recorded.ended_meta(folder)
    tracks = recorded.read_tracks(folder, meta["robot"], {
        "reference": recorded.vector, "provenance": recorded.tick, "joint_command": recorded.joint_speed})
    spans, start, end = segments(meta), meta["started_ns"], meta["ended_ns"]
    is_timed, clock = latency.clock_of(meta, tracks)
    stages = latency.stages(tracks, is_timed)
    switches, drawn = _handovers(meta, tracks)
    lost = losses.losses(meta, tracks)
    about = " · ".join(escape(each) for each in (
        str(meta["robot"]), str(meta["task"] or "no task"),
        "no seed" if meta["seed"] is None else f"seed {meta['seed']}",
        f"policy {(meta['policy_hash'] or 'none')[:16]}", f"{meta['outcome']} said by {meta['outcome_by']}"))
    return html.page(meta["id"], about, _tiles(meta, spans, stages, switches, lost), [
        html.section("What the cameras saw", "Pictures at even times; the colour under each is the segment.",
                     *_strips(folder, meta["robot"], tracks, spans, start),
                     "<h3>segments</h3>", charts.timeline(spans, start, end),
                     html.legend({span.name for span in spans}),
                     "<h3>authority</h3>", *_authority(meta)),
        html.section("Hand-overs", "Largest speeds within 0.25 s before and after each change of authority, beside the "
                     "largest of the rest of the run. 1.0 x: no faster than the uninterrupted motion.", *drawn),
        latency_section(stages, clock), loss_section(lost)])


def _tiles(meta: dict, spans: Sequence[Span], stages: Sequence[latency.Stage], switches: Sequence[handover.Handover],
           lost: Sequence[losses.Loss]) -> list[str]:
    by_segment = seconds_of(spans)
    length = (meta["ended_ns"] - meta["started_ns"]) / 1e9
    human = sum(by_segment.get(name, 0.0) for name in INTERVENTIONS)
    total = next(stage for stage in stages if stage.key == "total")
    ratios = [each for switch in switches for each in (switch.ratio, switch.joint_ratio) if each is not None]
    worst = max(ratios, default=None)
    counted = [loss.lost for loss in lost if loss.lost is not None]
    return [
        html.tile(meta["outcome"], f"{meta.get('end', '')} after {length:.1f} s".strip(),
                  html.tone_of(meta["outcome"])),
        html.tile(f"{human / max(length, 1e-9):.0%}", "of the time in a person's hands"),
        html.tile(ratio_text(by_segment), "recovery : correction"),
        html.tile("not known" if worst is None else f"{worst:.2f} x", f"fastest of {len(switches)} hand-overs",
                  "" if worst is None else "good" if worst <= 1.2 else "bad") if switches else
        html.tile("none", "hand-overs"),
        html.tile("not known" if total.unknown else f"{total.percentile(50):.0f} ms",
                  "picture to motor, median" + ("" if total.unknown else f"; p99 {total.percentile(99):.0f} ms")),
        html.tile(str(sum(counted)) if counted else "not counted", "messages lost by the recorder",
                  "" if not counted else "bad" if sum(counted) else "good"),
    ]


def _strips(folder: Path, robot: str, tracks: Mapping[str, Track], spans: Sequence[Span], start: int) -> list[str]:
    cameras = recorded.color_cameras(tracks)
    if not cameras:
        return ['<p class="soft">No camera was recorded.</p>']
    chosen = {name: even_times(track.stamps_ns, PICTURES, start) for name, track in cameras.items()}
    found = recorded.read_pictures(folder, robot, {name: set(stamps) for name, stamps in chosen.items()})
    parts = []
    for name, stamps in chosen.items():
        pictures = [(thumbnail(found[name][stamp]), name_at(spans, stamp), f"{(stamp - start) / 1e9:.1f} s")
                    for stamp in stamps]
        parts += [f"<h3>{escape(name)}</h3>", html.strip(pictures)]
    return parts


def even_times(stamps_ns: np.ndarray, count: int, start_ns: int = 0) -> list[int]:
    """The stamps nearest to `count` even times from the first to the last, each once; none from before the start, if
    there are later ones."""
    stamps_ns = stamps_ns[stamps_ns >= min(start_ns, int(stamps_ns.max()))]
    wanted = np.linspace(int(stamps_ns.min()), int(stamps_ns.max()), count)
    return sorted({int(stamps_ns[np.argmin(np.abs(stamps_ns - at))]) for at in wanted})


def thumbnail(jpeg: bytes) -> bytes:
    """A small JPEG of a JPEG."""
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
    if picture is None:
        raise EpisodeError(f"a recorded picture of {len(jpeg)} bytes is no JPEG; check the camera's driver")
    height, width = picture.shape[:2]
    if width > PICTURE_PX:
        size = PICTURE_PX, round(height * PICTURE_PX / width)
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes()


def _authority(meta: dict) -> list[str]:
    start = meta["started_ns"]
    spans = authorities(meta)
    if not spans:
        return ['<p class="soft">No authority was recorded.</p>']
    words = ", ".join(f"{span.name} from {(span.start_ns - start) / 1e9:.2f} s" for span in spans[:40])
    return [f'<p class="small">{escape(words)}{" …" if len(spans) > 40 else ""}</p>']


def _handovers(meta: dict, tracks: Mapping[str, Track]) -> tuple[list[handover.Handover], list[str]]:
    """The changes of authority and the section's parts."""
    references = tracks.get("reference", EMPTY)
    if len(references) < 2:
        return [], ['<p class="soft">No reference was recorded.</p>']
    commands = tracks.get("joint_command", EMPTY)
    speeds = handover.reference_speeds(*recorded.stacked(references, "reference"), commands.stamps_ns,
                                       np.array(commands.rows, float))
    switches = handover.handovers(authorities(meta), speeds, tracks.get("provenance", EMPTY).rows)
    start, end, marks = meta["started_ns"], meta["ended_ns"], [switch.at_ns for switch in switches]
    fast = [speed for part, speed in speeds.parts.items() if part.endswith(FAST)] or list(speeds.parts.values())
    unit = "m/s" if any(part.endswith(FAST) for part in speeds.parts) else "1/s"
    parts = ["<h3>reference: the faster hand</h3>",
             charts.curve(speeds.stamps_ns, np.max(fast, axis=0), start, end, marks, handover.WINDOW_NS, unit)]
    if len(commands):
        parts += ["<h3>commanded speed of the fastest joint</h3>",
                  charts.curve(commands.stamps_ns, speeds.joint, start, end, marks, handover.WINDOW_NS, "rad/s")]
    if not switches:
        return [], [*parts, '<p class="soft">Authority did not change.</p>']
    return switches, [*parts, _switch_table(switches, start)]


def _switch_table(switches: Sequence[handover.Handover], start: int) -> str:
    def ratio(value: float | None) -> str:
        if value is None:
            return "not known"
        return f'<span class="{"good" if value <= 1.2 else "bad"}">{value:.2f} x</span>'

    rows = [(str(k), f"{(s.at_ns - start) / 1e9:.2f} s", f"{escape(s.before)} → {escape(s.after)}", ratio(s.ratio),
             f"{s.peak:.3g} {s.unit} {escape(s.part)}" if s.part else "-", ratio(s.joint_ratio),
             f"{s.joint_peak:.2f} rad/s") for k, s in enumerate(switches, 1)]
    return html.table(("", "at", "authority", "reference", "peak", "joints", "peak"), rows)


def latency_section(stages: Sequence[latency.Stage], clock: str) -> str:
    """Medians as a chain, and how each was derived."""
    chain = [stage for stage in stages if stage.key in latency.CHAIN]
    rows = [(escape(stage.name),
             *(('<span class="soft">not known</span>', "", "0") if stage.unknown else
               (f"{stage.percentile(50):.1f}", f"{stage.percentile(99):.1f}", str(len(stage.ms)))),
             escape(stage.how + (f": {stage.unknown}" if stage.unknown else ""))) for stage in stages]
    return html.section(
        "From picture to motor", clock + latency.doubts(stages), charts.latencies(chain),
        html.table(("stage", "median ms", "p99 ms", "samples", "measured from and to"), rows, numbers=(1, 2, 3), how=4))


def loss_section(lost: Sequence[losses.Loss]) -> str:
    """Per topic."""
    def cell(count: int) -> str:
        return f'<span class="bad">{count}</span>' if count else "0"

    def quiet(loss: losses.Loss) -> str:
        if loss.period_ms is None:
            return "-"
        is_late = loss.quiet_ms > max(QUIET_MS, 3 * loss.period_ms)
        return f'<span class="bad">{loss.quiet_ms:.0f}</span>' if is_late else f"{loss.quiet_ms:.0f}"

    rows = [(escape(loss.topic), str(loss.messages), "-" if loss.period_ms is None else f"{loss.period_ms:.1f}",
             "not counted" if loss.lost is None else cell(loss.lost),
             "-" if loss.period_ms is None else str(loss.gaps), "-" if loss.period_ms is None else str(loss.missing),
             f"{loss.longest_gap_ms:.0f}" if loss.gaps else "-", quiet(loss)) for loss in lost]
    return html.section(
        "Losses", "Lost: counted by the recorder from the publishers' sequence numbers. Gaps: pauses between stamps of "
        "more than 1.5 periods, whoever caused them; missing: what would fill them. Quiet: from the last stamp to the "
        "episode's end.",
        html.table(("topic", "messages", "period ms", "lost", "gaps", "missing", "longest gap ms", "quiet ms"),
                   rows, numbers=(1, 2, 3, 4, 5, 6, 7)))
