"""A learning curve as an SVG picture: success over the robot's steps, with its interval, beside the base."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from policies.statistics import wilson_interval

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 376, 52, 24, 50, 44
COLOURS = ("#3b82c4", "#d9622b", "#1f9d78", "#b56ba6", "#e0a32e", "#9aa3ad")  # told apart by colour-blind eyes too


@dataclass(frozen=True)
class Line:
    """`points`: (steps, successes, trials), in order."""

    name: str
    points: Sequence[tuple[int, int, int]]


def draw(title: str, lines: Sequence[Line], base: tuple[int, int] | None = None) -> str:
    """The picture; `base`: successes and trials without learning."""
    longest = max((steps for line in lines for steps, _, _ in line.points), default=1) or 1

    def x(steps: float) -> float:
        return LEFT + steps / longest * (WIDTH - LEFT - RIGHT)

    def y(rate: float) -> float:
        return HEIGHT - BOTTOM - rate * (HEIGHT - TOP - BOTTOM)

    parts = [f'<text x="{LEFT}" y="18" font-size="14">{escape(title)}</text>']
    for k in range(6):
        rate = k / 5
        parts.append(f'<path d="M{LEFT} {y(rate):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
                     f'<text x="{LEFT - 6}" y="{y(rate) + 4:.1f}" text-anchor="end">{20 * k} %</text>')  # fmt: skip
    for steps in range(0, longest + 1, _round_step(longest)):
        parts.append(f'<text x="{x(steps):.1f}" y="{HEIGHT - 24}" text-anchor="middle">{steps:,}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 6}" text-anchor="middle">steps of the robot</text>')
    if base is not None:
        at = y(base[0] / base[1])
        parts.append(f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" stroke="#555" stroke-dasharray="5 4"/>'
                     f'<text x="{WIDTH - RIGHT}" y="{at - 5:.1f}" text-anchor="end">base</text>')  # fmt: skip
    for line, colour in zip(lines, COLOURS, strict=False):
        parts.append(_line(line, colour, x, y))
    legend = "".join(f'<tspan fill="{colour}" dx="14">{escape(line.name)}</tspan>'
                     for line, colour in zip(lines, COLOURS, strict=False))  # fmt: skip
    parts.append(f'<text x="{WIDTH - RIGHT}" y="38" text-anchor="end">{legend}</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
    white = '<rect width="100%" height="100%" fill="#fff"/>'
    return f'{head}font-size="11" fill="#333">{white}{"".join(parts)}</svg>\n'


def _round_step(longest: int) -> int:
    """1, 2 or 5 times a power of ten: the least that makes at most eight labels."""
    ten = 10 ** max(math.ceil(math.log10(longest / 7)) - 1, 0)
    return next(ten * k for k in (1, 2, 5, 10) if ten * k * 7 >= longest)


def _line(line: Line, colour: str, x: Callable[[float], float], y: Callable[[float], float]) -> str:
    limits = [(steps, *wilson_interval(wins, n)) for steps, wins, n in line.points]
    around = [f"{x(s):.1f},{y(high):.1f}" for s, _, high in limits]
    around += [f"{x(s):.1f},{y(low):.1f}" for s, low, _ in reversed(limits)]
    path = " ".join(f"{x(s):.1f},{y(wins / n):.1f}" for s, wins, n in line.points)
    return (f'<polygon points="{" ".join(around)}" fill="{colour}" opacity="0.15"/>'
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')  # fmt: skip


def write(path: Path, title: str, lines: Sequence[Line], base: tuple[int, int] | None = None) -> None:
    """See `draw`."""
    path.write_text(draw(title, lines, base))
