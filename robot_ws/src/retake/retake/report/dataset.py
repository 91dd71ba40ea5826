"""The report of a dataset: outcomes, who moved, what it is worth for training, latencies and losses of all episodes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import TypeVar

from rich.progress import track

from policies import latency, losses, quality, recorded
from policies.episode_meta import EpisodeError
from policies.quality import Quality, Summary
from policies.statistics import wilson_interval
from policies.timeline import INTERVENTIONS, name_at, ratio_text, seconds_of, segments
from retake.report import charts
from retake.report import page as html
from retake.report.episode import PICTURES, even_times, latency_section, loss_section, thumbnail

T = TypeVar("T")
ROWS = 200  # episodes that are listed one by one
POLICIES = 8  # rates that are shown apart
TIMED = 40  # episodes whose latencies and losses are read, spread evenly


def dataset_page(root: Path, against: Path | None) -> str:
    """The whole page; episodes that cannot be read are named in it."""
    episodes, unreadable = _read(root)
    if not episodes:
        raise EpisodeError(f"{root} holds no ended episode: {'; '.join(unreadable[:3])}")
    found = quality.quality(episodes, None if against is None else _read(against)[0], unreadable)
    timed = _spread(episodes, TIMED)
    read = [latency.read(episode.folder, episode.meta) for episode in _progress(timed, "latencies")]
    stages = latency.pooled([stages for stages, _, _ in read])
    clocks = sorted({clock for _, clock, _ in read})
    lost = losses.added([losses.losses(e.meta, tracks) for e, (_, _, tracks) in zip(timed, read, strict=True)])
    some = "" if len(timed) == len(episodes) else f" From {len(timed)} of {len(episodes)} episodes, spread evenly."
    robots = sorted({str(episode.meta["robot"]) for episode in episodes})
    tasks = sorted({str(episode.meta["task"]) for episode in episodes})
    about = escape(f"{', '.join(robots)} · {', '.join(tasks)} · {sum(e.seconds for e in episodes) / 60:.1f} minutes")
    return html.page(str(root), about, _tiles(episodes, found), [
        _outcomes(episodes, found), _pictures(episodes), _worth(episodes, found, against), _list(episodes),
        latency_section(stages, " ".join(clocks) + some), loss_section(lost)])


def _read(root: Path) -> tuple[list[Summary], list[str]]:
    episodes, unreadable = [], []
    for folder in _progress(quality.folders_of(root), "reading episodes"):
        try:
            episodes.append(quality.summarise(folder))
        except EpisodeError as error:
            unreadable.append(str(error))
    return episodes, unreadable


def _progress(items: Sequence[T], what: str) -> Iterable[T]:
    """On a terminal only: in a log a bar is noise."""
    return track(items, what, transient=True) if sys.stdout.isatty() else items


def _spread(episodes: Sequence[Summary], count: int) -> list[Summary]:
    step = max(1.0, len(episodes) / count)
    return [episodes[int(k * step)] for k in range(min(count, len(episodes)))]


def _tiles(episodes: Sequence[Summary], found: Quality) -> list[str]:
    low, high = wilson_interval(found.successes, found.judged)
    seconds = sum(found.segments.values())
    human = sum(found.segments.get(name, 0.0) for name in INTERVENTIONS)
    return [
        html.tile(str(len(episodes)), f"episodes, {found.judged} of them judged"),
        html.tile(f"{100 * found.successes / found.judged:.0f} %" if found.judged else "not judged",
                  f"success; 95 % interval {100 * low:.0f} to {100 * high:.0f} %"),
        html.tile("not known" if found.tq is None else f"{found.tq:.2f}", "TQ, trajectory quality"),
        html.tile("not known" if found.saco is None else f"{found.saco:.2f}",
                  f"SACo; {found.cells} distinct state-action cells"),
        html.tile(f"{human / max(seconds, 1e-9):.0%}", "of the time in a person's hands"),
        html.tile(ratio_text(found.segments), "recovery : correction"),
    ]


def _outcomes(episodes: Sequence[Summary], found: Quality) -> str:
    judged = [episode for episode in episodes if episode.returned is not None]
    groups: dict[str, list[Summary]] = {"all": list(judged)}
    for episode in judged:
        groups.setdefault(f"policy {(episode.meta['policy_hash'] or 'none')[:12]}", []).append(episode)
    if len(groups) == 2:
        groups.pop("all")  # one policy only: it is all
    rows = []
    for label, group in list(groups.items())[: POLICIES + 1]:
        successes = sum(episode.meta["outcome"] == "success" for episode in group)
        rows.append((label, successes, len(group), *wilson_interval(successes, len(group))))
    words = ", ".join(f"{count} {outcome}" for outcome, count in sorted(found.outcomes.items()))
    more = [f'<p class="warn small">Not read: {escape(text)}</p>' for text in found.unreadable]
    return html.section("Outcomes", f"{words}. Rates are of judged episodes, the line is Wilson's 95 % interval: where "
                        "two lines overlap much, more episodes decide, not the rates.", charts.rates(rows), *more)


def _pictures(episodes: Sequence[Summary]) -> str:
    chosen = _spread(episodes, PICTURES)
    strips: dict[str, list[tuple[bytes, str, str]]] = {}
    for episode in chosen:
        robot, spans = episode.meta["robot"], segments(episode.meta)
        tracks = recorded.color_cameras(recorded.read_tracks(episode.folder, robot, {}))
        stamps = {name: even_times(each.stamps_ns, 3)[len(even_times(each.stamps_ns, 3)) // 2]
                  for name, each in tracks.items()}
        found = recorded.read_pictures(episode.folder, robot, {name: {stamp} for name, stamp in stamps.items()})
        for name, stamp in stamps.items():
            picture = thumbnail(found[name][stamp]), name_at(spans, stamp), episode.meta["outcome"]
            strips.setdefault(name, []).append(picture)
    parts = [part for name in sorted(strips) for part in (f"<h3>{escape(name)}</h3>", html.strip(strips[name]))]
    return html.section("What the cameras saw", f"The middle of {len(chosen)} episodes, spread evenly.",
                        *(parts or ['<p class="soft">No camera was recorded.</p>']))


def _worth(episodes: Sequence[Summary], found: Quality, against: Path | None) -> str:
    rows = [
        ("return", f"mean {found.mean_return:.3f}, best {found.best_return:.3f}",
         f"0.5 ** (seconds / {quality.HALF_LIFE_S:.0f}) of a success, 0 of a failure; {found.judged} judged episodes"),
        ("TQ", "not known: nothing succeeded" if found.tq is None else f"{found.tq:.3f}",
         "mean return / best return here; random motion counts as 0, as it never succeeds"),
        ("coverage", f"{found.cells} cells", "distinct (measured_action, reference) cells of fixed size: 5 cm, 0.2 of "
         "a unit quaternion, a quarter of a gripper's way, 10 N"),
        ("SACo", "needs --against DATASET" if found.saco is None else f"{found.saco:.3f}",
         f"cells here / cells of {against}" if against else "cells here / cells of a reference dataset, such as "
         "everything ever recorded of the task"),
    ]
    shares = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in found.segments.items())
    labels = [episode.folder.name for episode in episodes if episode.meta["outcome"] != "discarded"]
    return html.section(
        "What it is worth", quality.advice(found) + " (A rule of thumb, after the authors of TQ and SACo.) "
        "Discarded episodes do not count.",
        html.table(("", "", "how"), [tuple(map(escape, row)) for row in rows], how=2),
        "<h3>new cells per episode, in order of recording: near 0, more of the same adds nothing</h3>",
        charts.columns(found.added, labels),
        f"<h3>time by segment</h3><p class='small'>{escape(shares or 'not recorded')}; recovery : correction "
        f"{escape(ratio_text(found.segments))}</p>")


def _list(episodes: Sequence[Summary]) -> str:
    shown = episodes[-ROWS:]
    longest = max((episode.seconds for episode in shown), default=1.0)
    rows, names = [], set()
    for episode in shown:
        meta, spans = episode.meta, segments(episode.meta)
        names |= set(seconds_of(spans))
        outcome = meta["outcome"]
        bar = charts.timeline(spans, meta["started_ns"], meta["ended_ns"], 14, axis=False, scale_s=longest, left=0)
        rows.append((escape(episode.folder.name), f'<span class="{html.tone_of(outcome)}">{escape(outcome)}</span>',
                     escape(str(meta["outcome_by"])), f"{episode.seconds:.1f}",
                     f'<div style="min-width:320px;padding-top:4px">{bar}</div>'))
    about = "Oldest first; bars share one time axis." + (f" The last {ROWS} of {len(episodes)}."
                                                         if len(shown) < len(episodes) else "")
    return html.section("Episodes", about, html.table(("episode", "outcome", "said by", "s", "segments"), rows,
                                                      numbers=(3,)), html.legend(names))
