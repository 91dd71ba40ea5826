"""The report's drawings, as inline SVG: timelines of segments, speeds around hand-overs, latencies, rates."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from policies.latency import Stage
from policies.timeline import COLOURS, Span

WIDTH = 1000
POINTS = 700  # of a curve; each the largest of what it stands for
LEFT, RIGHT = 46, 8  # room for the numbers of the y axis


def _svg(height: float, *parts: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img">{"".join(parts)}</svg>'


def _text(x: float, y: float, text: str, anchor: str = "start", ink: bool = False) -> str:
    kind = ' class="ink"' if ink else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}>{escape(text)}</text>'


def nice_step(length: float, most: int) -> float:
    """1, 2 or 5 times a power of ten, so that `length` has at most `most` steps."""
    raw = max(length, 1e-9) / most
    power = 10.0 ** np.floor(np.log10(raw))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= raw * (1 - 1e-9)))


def timeline(spans: Sequence[Span], start_ns: int, end_ns: int, height: int = 20, axis: bool = True,
             scale_s: float = 0.0, left: int = LEFT) -> str:
    """Spans as one bar over time; `scale_s`: the length that fills the width, by default its own."""
    length = max((end_ns - start_ns) / 1e9, 1e-9)
    per_s = (WIDTH - left - RIGHT) / (scale_s or length)
    parts = [f'<rect class="track" x="{left}" y="0" width="{length * per_s:.1f}" height="{height}" rx="3"/>']
    for span in spans:
        x = left + (span.start_ns - start_ns) / 1e9 * per_s
        title = f"{span.name} {span.seconds:.1f} s"
        colour = COLOURS.get(span.name, COLOURS["pause"])
        parts.append(f'<rect x="{x:.1f}" y="0" width="{max(span.seconds * per_s, 1):.1f}" height="{height}" '
                     f'fill="{colour}"><title>{escape(title)}</title></rect>')
    if axis:
        parts.append(_time_axis(length, per_s, height + 14, left))
    return _svg(height + (20 if axis else 0), *parts)


def _time_axis(length_s: float, per_s: float, y: float, left: float = LEFT) -> str:
    step = nice_step(length_s, 10)
    times = np.arange(0.0, length_s + 1e-9, step)
    return "".join(_text(left + t * per_s, y, f"{t:g} s", "middle") for t in times)


def curve(stamps_ns: np.ndarray, values: np.ndarray, start_ns: int, end_ns: int, marks_ns: Sequence[int],
          window_ns: int, unit: str, height: int = 110) -> str:
    """Values (n,) over time, with a shade of `window_ns` to both sides of each mark and its number."""
    inside = (stamps_ns >= start_ns) & (stamps_ns <= end_ns)
    stamps_ns, values = stamps_ns[inside], values[inside]
    length = max((end_ns - start_ns) / 1e9, 1e-9)
    per_s = (WIDTH - LEFT - RIGHT) / length
    top = float(values.max(initial=0.0)) or 1.0
    step = nice_step(top, 4)
    floor = height - 20
    parts = []
    for level in np.arange(0.0, top + 1e-9, step):
        y = floor - level / top * (floor - 14)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(LEFT - 6, y + 4, f"{level:g}", "end"))
    for number, mark in enumerate(marks_ns, 1):
        x, half = LEFT + (mark - start_ns) / 1e9 * per_s, window_ns / 1e9 * per_s
        parts.append(f'<rect class="shade" x="{x - half:.1f}" y="12" width="{2 * half:.1f}" height="{floor - 12}"/>')
        parts.append(_text(x, 9, str(number), "middle", ink=True))
    if len(values):
        points = _binned(LEFT + (stamps_ns - start_ns) / 1e9 * per_s, floor - values / top * (floor - 14))
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(*points, strict=True))
        parts.append(f'<polyline class="curve" points="{path}"/>')
    parts += [_text(0, 9, unit), _time_axis(length, per_s, height - 4)]
    return _svg(height, *parts)


def _binned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most POINTS points; of each group the highest (the smallest y), so that no peak is hidden."""
    if len(x) <= POINTS:
        return x, y
    edges = np.linspace(0, len(x), POINTS + 1).astype(int)[:-1]
    return x[edges], np.minimum.reduceat(y, edges)


def latencies(stages: Sequence[Stage]) -> str:
    """A chain of stages: each bar is a median, beginning where the one before ended; the line reaches the p99."""
    known = [(stage, stage.percentile(50), stage.percentile(99)) for stage in stages if not stage.unknown]
    begins = np.concatenate([[0.0], np.cumsum([max(p50, 0.0) for _, p50, _ in known])])
    ends = [begin + max(p99, p50, 0.0) for begin, (_, p50, p99) in zip(begins, known, strict=False)]
    top = max(ends, default=1.0) or 1.0
    left, row = 150, 26
    per_ms = (WIDTH - left - 150) / top
    parts = []
    for k, (begin, (stage, p50, p99)) in enumerate(zip(begins, known, strict=False)):
        x, y = left + begin * per_ms, k * row + 5
        parts.append(_text(0, y + 12, stage.name, ink=True))
        parts.append(f'<rect class="bar" x="{x:.1f}" y="{y}" width="{max(p50 * per_ms, 1.5):.1f}" height="16" rx="2"/>')
        end = left + ends[k] * per_ms
        parts.append(f'<line class="whisker" x1="{x:.1f}" x2="{end:.1f}" y1="{y + 8}" y2="{y + 8}"/>'
                     f'<line class="whisker" x1="{end:.1f}" x2="{end:.1f}" y1="{y + 3}" y2="{y + 13}"/>')
        parts.append(_text(end + 8, y + 12, f"{p50:.1f} ms, p99 {p99:.1f}"))
    return _svg(len(known) * row + 8, *parts) if known else ""


def rates(rows: Sequence[tuple[str, int, int, float, float]]) -> str:
    """Success rates: (label, successes, trials, low, high) with the 95 % interval as a line."""
    left, row = 190, 26
    width = WIDTH - left - 150
    parts = []
    for k, (label, successes, trials, low, high) in enumerate(rows):
        y = k * row + 5
        share = successes / trials if trials else 0.0
        parts.append(_text(0, y + 12, label, ink=True))
        parts.append(f'<rect class="track" x="{left}" y="{y}" width="{width}" height="16" rx="2"/>'
                     f'<rect class="bar" x="{left}" y="{y}" width="{share * width:.1f}" height="16" rx="2"/>')
        a, b = left + low * width, left + high * width
        parts.append("".join(f'<line class="whisker" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y + y1}" y2="{y + y2}"/>'
                             for x1, x2, y1, y2 in ((a, b, 8, 8), (a, a, 3, 13), (b, b, 3, 13))))
        parts.append(_text(left + width + 10, y + 12, f"{successes}/{trials}  [{100 * low:.0f}, {100 * high:.0f}] %"))
    return _svg(len(rows) * row + 6, *parts)


def columns(values: Sequence[float], labels: Sequence[str], height: int = 90) -> str:
    """One column per value, the largest as high as the drawing."""
    top = max(values, default=0.0) or 1.0
    step = (WIDTH - LEFT - RIGHT) / max(len(values), 1)
    parts = [_text(LEFT - 6, 12, f"{top:g}", "end"), _text(LEFT - 6, height, "0", "end")]
    for k, (value, label) in enumerate(zip(values, labels, strict=True)):
        h = value / top * (height - 6)
        parts.append(f'<rect class="bar" x="{LEFT + k * step:.1f}" y="{height - h:.1f}" '
                     f'width="{max(step * 0.8, 0.8):.1f}" height="{h:.1f}">'
                     f'<title>{escape(label)}: {value:g}</title></rect>')
    return _svg(height + 2, *parts)
