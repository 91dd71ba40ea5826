"""The page of an evaluation: one HTML file beside its films."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from policies.atomic import replace_file
from policies.statistics import format_rate
from policies.trials import seconds_text
from retake.report.charts import rates
from retake.report.page import page, section, table, tile
from sim.evaluation_summary import difference_text, predicted_text

NAME = "index.html"
SURE = 0.05  # a p value below it is called a difference
STYLE = """<style>
.seeds { display: grid; grid-template-columns: 130px 1fr; gap: 12px; margin-top: 12px; }
.seeds b { font-weight: 500; font-size: 13px; overflow: hidden; text-overflow: ellipsis; }
.seeds div { display: grid; grid-template-columns: repeat(auto-fill, minmax(14px, 1fr)); gap: 3px; }
.seeds a, .seeds i { height: 18px; border-radius: 3px; background: var(--bad); display: block; }
.seeds .won { background: var(--good); opacity: 0.55; } .seeds .odd { outline: 2px solid var(--ink); }
.films { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 14px; margin-top: 12px; }
.films figure { margin: 0; } .films video { width: 100%; border-radius: 6px; display: block; background: var(--faint); }
.films figcaption { font-size: 13px; color: var(--soft); padding-top: 3px; } figure:target video {
  outline: 3px solid var(--accent); }
</style>"""


def write_page(out: Path, report: Mapping[str, Any]) -> Path:
    """Write the page of a report (see sim/evaluate.py) into the folder that its films are in."""
    policies, paired = report["policies"], report.get("paired")
    first = policies[0]
    seeds = first["seeds"]
    about = (f"{len(seeds)} held-out seeds, {seeds[0]} to {seeds[-1]}, {1000 * first['latency_s']:g} ms from "
             f"observation to action, sensor noise {'on' if first['noise'] else 'off'}")
    tiles = [_rate_tile(figures, label) for figures, label in zip(policies, _labels(policies), strict=True)]
    if paired:
        first_name, second_name = _labels(policies)
        label = f"{second_name} less {first_name}, p = {paired['p_value']:.2g}"
        tiles.append(tile(f"{100 * paired['difference']:+.1f} points", label, _tone(paired)))
    tiles.append(tile(str(sum(figures["falls"] for figures in policies)), "falls"))
    title = f"{first['task']}: {' against '.join(Path(figures['policy']).name for figures in policies)}"
    path = out / NAME
    replace_file(path, page(title, escape(about), tiles, [STYLE, *_sections(policies, paired)]))
    return path


def _labels(policies: Sequence[Mapping[str, Any]]) -> list[str]:
    names = [Path(figures["policy"]).name for figures in policies]
    return names if len(set(names)) == len(names) else [figures["policy"] for figures in policies]


def _rate_tile(figures: Mapping[str, Any], label: str) -> str:
    return tile(f"{100 * figures['rate']:.0f} %", f"{label}, {figures['successes']} of {figures['trials']}, 95 % "
                f"[{100 * figures['low']:.0f}, {100 * figures['high']:.0f}]")


def _tone(paired: Mapping[str, Any]) -> str:
    if paired["p_value"] >= SURE:
        return ""
    return "good" if paired["difference"] > 0 else "bad"


def _sections(policies: Sequence[Mapping[str, Any]], paired: Mapping[str, Any] | None) -> Iterable[str]:
    labels = _labels(policies)
    rows = [(label, *(figures[name] for name in ("successes", "trials", "low", "high")))
            for label, figures in zip(labels, policies, strict=True)]
    yield section("Success", "The line is Wilson's 95 % interval.", rates(rows), _details(policies, labels))
    odd = set(paired["differing_seeds"]) if paired else set()
    yield section("Every seed", "Green succeeded, red did not" + (", framed where the two differ." if paired else "."),
                  "".join(_seeds(figures, label, k, odd) for k, (figures, label)
                          in enumerate(zip(policies, labels, strict=True))))
    if retried := [(label, f["retry"]) for label, f in zip(labels, policies, strict=True) if f["retry"]]:
        yield section("Verify and retry", "Predicted from the first tries and the verifier's errors on its own held-"
                      "out episodes (Robot Utility Models); its errors here, per failed and per successful try.",
                      _retries(retried))
    if paired:
        yield section("Difference", f"{labels[1]} less {labels[0]}: {difference_text(paired)}. Exact McNemar test on "
                      "the seeds that differ; Newcombe's interval.", _matrix(paired, *labels))
    for k, (figures, label) in enumerate(zip(policies, labels, strict=True)):
        if films := [_film(episode, k) for episode in figures["episodes"] if "film" in episode]:
            yield section(f"Films of {label}", f"{len(films)} of {figures['trials']} episodes; the spectator's view, "
                          "at its side what the robot's cameras see.", f'<div class="films">{"".join(films)}</div>')
    yield section("How it was measured", "World, controller, authority and policy in one process, as the graph in "
                  "lockstep.", _conditions(policies, labels))


def _details(policies: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> str:
    rows = []
    for figures, label in zip(policies, labels, strict=True):
        time_s = figures["time_to_success_s"]
        ends = ", ".join(f"{why} {count}" for why, count in sorted(figures["why"].items(), key=lambda item: -item[1]))
        rows.append((escape(label), escape(ends), seconds_text(time_s["median"]), seconds_text(time_s["p90"]),
                     str(figures["falls"]), str(figures["interventions"]), str(figures["held_ticks"])))
    return table(("policy", "how episodes end", "time to success", "p90", "falls", "interventions",
                  "ticks without an action"), rows, numbers=(2, 3, 4, 5, 6))


def _seeds(figures: Mapping[str, Any], label: str, k: int, odd: set[int]) -> str:
    cells = []
    for episode in figures["episodes"]:
        seed = episode["seed"]
        kinds = ("won " if episode["outcome"] == "success" else "") + ("odd" if seed in odd else "")
        text = f'class="{kinds}" title="seed {seed}: {escape(episode["why"])}, {episode["time_s"]:.1f} s"'
        cells.append(f'<a href="#film-{k}-{seed}" {text}></a>' if "film" in episode else f"<i {text}></i>")
    return f'<div class="seeds"><b title="{escape(label)}">{escape(label)}</b><div>{"".join(cells)}</div></div>'


def _retries(rows: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    cells = [(escape(label), format_rate(*retry["first_try"].values()), f"{retry['tries_mean']:.2f}",
              predicted_text(retry), retry["verifier"]["false_positive"], retry["here"]["false_positive"],
              retry["here"]["false_negative"]) for label, retry in rows]
    return table(("policy", "first try", "tries, mean", "if tries were independent", "failures taken for done, "
                  "held out", "here", "successes not, here"), cells, numbers=(2, 3))


def _matrix(paired: Mapping[str, Any], first: str, second: str) -> str:
    rows = ((f"{escape(first)} succeeds", str(paired["both"]), f"<b>{paired['first_only']}</b>"),
            (f"{escape(first)} fails", f"<b>{paired['second_only']}</b>", str(paired["neither"])))
    return table(("", f"{second} succeeds", f"{second} fails"), rows, numbers=(1, 2))


def _film(episode: Mapping[str, Any], k: int) -> str:
    tone = "good" if episode["outcome"] == "success" else "bad"
    return (f'<figure id="film-{k}-{episode["seed"]}"><video src="{escape(episode["film"])}" controls muted loop '
            f'preload="metadata"></video><figcaption>seed {episode["seed"]}: <span class="{tone}">'
            f'{escape(episode["why"])}</span>, {episode["time_s"]:.1f} s</figcaption></figure>')


def _conditions(policies: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> str:
    rows = [(escape(label), escape(figures["policy"]), f"<code>{figures['sha256'][:16]}</code>",
             escape(", ".join(figures["code"])), f"{figures['real_time_factor']:.1f}")
            for figures, label in zip(policies, labels, strict=True)]
    return table(("policy", "folder", "sha256 of the weights", "version of the code", "x real time, a process"), rows,
                 numbers=(4,))
