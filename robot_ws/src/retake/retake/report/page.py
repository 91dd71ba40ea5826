"""The report's page: one HTML file that needs nothing else. Parts are strings of HTML; text goes through `escape`."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

from policies.timeline import COLOURS

CSS = """
:root { color-scheme: light dark; --paper: #fbfbfa; --card: #ffffff; --ink: #23272d; --soft: #68707a; --line: #e3e5e8;
  --faint: #f0f1f3; --accent: #3b82c4; --good: #1f8a63; --bad: #c2452d; --warn: #a8741a; }
@media (prefers-color-scheme: dark) { :root { --paper: #16181b; --card: #1d2024; --ink: #e4e6e9; --soft: #98a0aa;
  --line: #31363c; --faint: #262a2f; --accent: #6aa9e0; --good: #4dbf92; --bad: #e8795f; --warn: #d9a94f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 36px 24px 64px; }
h1 { font-size: 24px; font-weight: 600; margin: 0; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { font-size: 16px; font-weight: 600; margin: 0 0 2px; }
p { margin: 4px 0 12px; } .soft { color: var(--soft); } .small { font-size: 13px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 20px 22px;
  margin-top: 18px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(160px, 1fr)); gap: 12px; margin-top: 20px; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 16px; }
.tile b { display: block; font-size: 21px; font-weight: 600; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; display: block; }
.good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 500; color: var(--soft); padding: 4px 12px 6px 0; vertical-align: bottom; }
td { padding: 5px 12px 5px 0; border-top: 1px solid var(--line); vertical-align: top; }
td.n, th.n { text-align: right; white-space: nowrap; } td.how { color: var(--soft); font-size: 12.5px; }
.scroll { overflow-x: auto; } svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--soft); font: 11px system-ui, sans-serif; }
svg .ink { fill: var(--ink); } svg .grid { stroke: var(--line); }
svg .curve { fill: none; stroke: var(--accent); stroke-width: 1.4; }
svg .shade { fill: var(--warn); opacity: 0.16; } svg .bar { fill: var(--accent); }
svg .whisker { stroke: var(--ink); opacity: 0.55; }
svg .track { fill: var(--faint); }
.strip { display: grid; gap: 3px; margin-bottom: 2px; }
.strip img { display: block; width: 100%; border-radius: 3px 3px 0 0; }
.strip i { display: block; height: 6px; border-radius: 0 0 3px 3px; }
.strip small { color: var(--soft); font-size: 11px; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; font-size: 13px; color: var(--soft); margin: 8px 0 0; }
.legend i { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 6px; }
h3 { font-size: 13px; font-weight: 500; color: var(--soft); margin: 14px 0 4px; }
"""


def page(title: str, about: str, tiles: Iterable[str], sections: Iterable[str]) -> str:
    """The whole file. `about`: HTML of the line under the title."""
    return (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
            f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{CSS}</style></head>'
            f'<body><main>'
            f'<h1>{escape(title)}</h1><p class="soft">{about}</p><div class="tiles">{"".join(tiles)}</div>'
            f'{"".join(sections)}</main></body></html>\n')


def tile(value: str, label: str, tone: str = "") -> str:
    """A number to decide with; `tone`: good, bad, warn or none."""
    return f'<div class="tile"><b class="{tone}">{escape(value)}</b><span>{escape(label)}</span></div>'


def section(title: str, about: str, *parts: str) -> str:
    return (f'<section><h2>{escape(title)}</h2><p class="soft small">{escape(about)}</p>{"".join(parts)}</section>')


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = (), how: int | None = None
) -> str:
    """Cells are HTML already; `numbers`: columns of numbers, `how`: the column that explains."""
    def kind(i: int) -> str:
        return ' class="n"' if i in numbers else ' class="how"' if i == how else ""

    top = "".join(f"<th{kind(i)}>{escape(name)}</th>" for i, name in enumerate(head))
    cells = ("".join(f"<td{kind(i)}>{cell}</td>" for i, cell in enumerate(row)) for row in rows)
    body = "".join(f"<tr>{each}</tr>" for each in cells)
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def legend(names: Iterable[str]) -> str:
    """The colours of segments."""
    marks = (f'<span><i style="background:{colour}"></i>{escape(name)}</span>'
             for name, colour in COLOURS.items() if name in names)
    return f'<div class="legend">{"".join(marks)}</div>'


def strip(pictures: Sequence[tuple[bytes, str, str]]) -> str:
    """Pictures in a row: (JPEG, segment, label) each."""
    cells = []
    for jpeg, segment, label in pictures:
        data = base64.b64encode(jpeg).decode("ascii")
        cells.append(f'<div><img alt="{escape(label)}" src="data:image/jpeg;base64,{data}">'
                     f'<i style="background:{COLOURS.get(segment, COLOURS["pause"])}" title="{escape(segment)}"></i>'
                     f'<small>{escape(label)}</small></div>')
    columns = max(len(cells), 1)
    return f'<div class="strip" style="grid-template-columns:repeat({columns},1fr)">{"".join(cells)}</div>'


def tone_of(outcome: str) -> str:
    return {"success": "good", "failure": "bad"}.get(outcome, "warn")
