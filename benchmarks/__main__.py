"""`make bench`: measure, print each figure beside its peer and its goal, write build/bench.json."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure, all_figures

OUT = Path("build/bench.json")


def main() -> int:
    """Returns 0 when every figure asked for was measured; goals that are missed are said, not fatal."""
    figures = {figure.key: figure for figure in all_figures()}
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", help=f"keys, comma-separated, of: {', '.join(figures)}")
    asked = [key.strip() for key in (parser.parse_args().only or ",".join(figures)).split(",")]
    unknown = [key for key in asked if key not in figures]
    if unknown:
        print(f"unknown figure {', '.join(unknown)}; allowed: {', '.join(figures)}; try: make bench ONLY=env_rtf")
        return 2
    results = measure([figures[key] for key in asked])
    OUT.parent.mkdir(parents=True, exist_ok=True)
    stored = json.loads(OUT.read_text()) if OUT.is_file() else {}
    stored |= results
    stored["machine"] = machine()
    OUT.write_text(json.dumps(stored, indent=1) + "\n")
    show([figures[key] for key in asked if key in results], results)
    return 0


def measure(asked: list[Figure]) -> dict[str, dict[str, Any]]:
    """Run each measuring function once; falls are summed over all of them."""
    results: dict[str, dict[str, Any]] = {}
    done: set[Any] = set()
    falls = 0
    for figure in asked:
        if figure.measure in done:
            continue
        done.add(figure.measure)
        print(f"measuring {figure.key}: {figure.what}", flush=True)
        measured = figure.measure()
        falls += measured.pop("falls", {}).get("value", 0)
        results |= measured
    wanted = {figure.key: figure for figure in asked}
    if "falls" in wanted:
        results["falls"] = {"value": falls, "peer": None, "over": [f.__module__ + "." + f.__name__ for f in done]}
    for key, result in results.items():
        figure = wanted.get(key)
        if figure is not None:
            result |= {"goal": f"{figure.how} {figure.bound}", "unit": figure.unit, "met": figure.met(result["value"])}
    return {key: result for key, result in results.items() if key in wanted}


def machine() -> dict[str, str | int]:
    """What the figures were measured on."""
    import os

    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text().splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    return {"cpu": model, "cores": os.cpu_count() or 0, "python": platform.python_version()}


def show(figures: list[Figure], results: dict[str, dict[str, Any]]) -> None:
    """The table a person reads."""
    table = Table("figure", "value", "peer", "goal", "", title="Retake")
    for figure in figures:
        result = results[figure.key]
        value = f"{result['value']:.3g} {figure.unit}".strip()
        peer = "" if result.get("peer") is None else str(result["peer"])
        verdict = "met" if result["met"] else "MISSED"
        table.add_row(f"{figure.key}\n[dim]{figure.what}", value, peer, result["goal"], verdict)
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
