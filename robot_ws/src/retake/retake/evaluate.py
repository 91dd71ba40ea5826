"""`retake eval name:=value ...`: held-out seeds through the full graph in lockstep; rate with Wilson's 95 % interval.

Writes build/eval.json. Exit code 0 when every seed was run and no node died, whatever the rate.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from policies.atomic import replace_file
from policies.trials import trial_figures, trial_rows
from retake import up
from retake.errors import UserError
from retake.graph import ARGUMENTS, Value, held_out_seed, owns_clock, read_arguments

OUT = Path("build/eval.json")
DEFAULTS: dict[str, Value] = {"headless": True, "episodes": 50, "root": "build/eval_episodes"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """As `retake up`, with other defaults."""
    up.add_arguments(parser)
    parser.add_argument("--out", type=Path, help=f"where the figures go: a file ({OUT}); of --one-process a folder "
                                                 "(build/eval)")


def run(args: argparse.Namespace) -> int:
    """See the module."""
    held_out = held_out_seed()
    words = up.split_words(args.arguments)
    lockstep = owns_clock(words.get("robot", ARGUMENTS["robot"].default))
    values = read_arguments({**DEFAULTS, "lockstep": lockstep, "seed": held_out, **words})
    if int(values["episodes"]) < 1:
        raise UserError(f"episodes:={values['episodes']} evaluates nothing; allowed: 1 and more; write episodes:=50")
    if int(values["seed"]) < held_out:
        raise UserError(f"seed:={values['seed']} may have been trained on; allowed: from {held_out}; leave seed out")
    out = args.out or OUT
    result = Path(str(values["result"]))
    result.unlink(missing_ok=True)
    outcome = up.run_graph(values, Console())
    code = up.report(outcome)
    if code or not result.is_file():
        return 1
    figures = trial_figures(json.loads(result.read_text())["episodes"])
    figures |= {"policy": values["policy"], "residual": values["residual"], "lockstep": values["lockstep"],
                "deaths": [f"{death.spec.name} {death.cause}" for death in outcome.deaths]}
    out.parent.mkdir(parents=True, exist_ok=True)
    replace_file(out, json.dumps(figures, indent=1) + "\n")
    _show(figures, out)
    return int(not outcome.finished or bool(outcome.deaths))


def _show(figures: Mapping[str, Any], out: Path) -> None:
    table = Table("seed", "outcome", "why", "time s", "interventions")
    for episode in figures["episodes"]:
        table.add_row(str(episode["seed"]), episode["outcome"], episode["why"], f"{episode['time_s']:.1f}",
                      str(episode["interventions"]))
    Console().print(table)
    said = ", ".join(f"{name} {text}" for name, text in trial_rows(figures).items())
    print(f"{said}; {figures['real_time_factor']:.2f} x real time; {out}")
