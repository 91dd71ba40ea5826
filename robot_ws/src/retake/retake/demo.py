"""`retake demo`: the graph with the evaluator as its operator.

With episodes:=n it ends by itself and prints `success k/n`. Exit code 0: every episode was run to its end, at least one
succeeded, and no node died. Without episodes it goes on until Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console

from retake import up
from retake.graph import ENDLESS, read_arguments

add_arguments = up.add_arguments


def run(args: argparse.Namespace) -> int:
    """See the module."""
    given = up.split_words(args.arguments)
    values = read_arguments({"episodes": ENDLESS, **given})
    result = Path(str(values["result"]))
    result.unlink(missing_ok=True)  # an evaluator that finds one goes on counting in it
    outcome = up.run_graph(values, Console())
    code = up.report(outcome)
    if not result.is_file():
        return code or int(outcome.finished)
    counted = json.loads(result.read_text())["episodes"]
    successes = sum(episode["outcome"] == "success" for episode in counted)
    print(f"success {successes}/{len(counted)}")
    if values["episodes"] == ENDLESS:
        return code
    for death in outcome.deaths:
        print(f"not healthy: {death.spec.name} {death.cause}")
    return code or int(not outcome.finished or bool(outcome.deaths) or successes == 0)
