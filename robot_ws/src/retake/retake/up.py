"""`retake up`: the graph as processes, with live status, logs per node, new starts, and nothing left behind.

Ctrl-C and SIGTERM end all nodes with SIGINT, then SIGTERM, then SIGKILL; if this process itself is killed, the kernel
kills the nodes. A node that cannot start (leaves with an error before it was ever heard) ends all, with its last lines.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.live import Live

from retake import preflight
from retake.errors import UserError
from retake.graph import ARGUMENTS, NodeSpec, Value, as_text, make_graph, read_arguments
from retake.processes import Death, Processes
from retake.status import StatusListener, score, table

TICK_S = 0.2
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
DISCOVERY_S = 0.7  # nodes of another graph on this machine were heard after 0.3 s
DEFAULT_ENVIRONMENT = {
    "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",  # nobody else on the network hears or moves this robot
    "OMP_NUM_THREADS": "1",  # nine processes with a thread per core each would only wait for one another
    "RCUTILS_LOGGING_BUFFERED_STREAM": "0",
    "PYTHONUNBUFFERED": "1",  # the last line before a death must be in the log
}


@dataclass
class Outcome:
    """How a graph ended. `refusal`: why a node could not start, empty otherwise."""

    finished: bool = False  # the evaluator ran all its episodes
    refusal: str = ""
    deaths: list[Death] = field(default_factory=list)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The graph's arguments, written as for a ROS 2 launch file."""
    lines = [f"  {name}:={as_text(argument.default)}  {argument.description}" for name, argument in ARGUMENTS.items()]
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "arguments and their defaults:\n" + "\n".join(lines)
    parser.add_argument("arguments", nargs="*", metavar="name:=value", help="see below")


def run(args: argparse.Namespace) -> int:
    """Run until Ctrl-C; exit code 0 then, 1 when a node could not start."""
    values = read_arguments(split_words(args.arguments))
    outcome = run_graph(values, Console())
    return report(outcome)


def report(outcome: Outcome) -> int:
    """Print why a graph could not run; the exit code so far."""
    if outcome.refusal:
        print(outcome.refusal, file=sys.stderr)
        return 1
    return 0


def split_words(words: Sequence[str]) -> dict[str, str]:
    """`["seed:=3"]` -> `{"seed": "3"}`."""
    bad = [word for word in words if ":=" not in word]
    if bad:
        raise UserError(f"cannot read {' '.join(bad)!r}; write name:=value with one of: {', '.join(ARGUMENTS)}")
    return dict(word.split(":=", 1) for word in words)


def run_graph(values: Mapping[str, Value], console: Console) -> Outcome:
    """Check, start, watch, end."""
    for name, value in DEFAULT_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    graph = make_graph(values)
    preflight.check(values, graph)
    logs = Path("build/log") / datetime.now().strftime("%Y%m%d-%H%M%S")
    listener = StatusListener(graph[0].namespace)
    try:
        _refuse_second_graph(listener, graph)
        return _watch(Processes(graph, logs, os.environ), listener, console, _title(values, logs))
    finally:
        listener.close()


def _refuse_second_graph(listener: StatusListener, graph: Sequence[NodeSpec]) -> None:
    listener.spin(DISCOVERY_S)
    others = listener.others(spec.name for spec in graph)
    if others:
        raise UserError(f"{', '.join(others)} already run here; one graph per ROS domain; end the other one, or set "
                        "ROS_DOMAIN_ID to another number (0 to 101)")


def _watch(processes: Processes, listener: StatusListener, console: Console, title: str) -> Outcome:
    outcome = Outcome()
    console.print(title, soft_wrap=True)
    live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
    printed = ""
    asked: list[int] = []  # signals; noted only, since an exception must not cross the executor
    for number in ENDING_SIGNALS:  # SIGINT is set too: a shell's background job starts with it ignored
        signal.signal(number, lambda number, _: asked.append(number))
    try:
        processes.start()
        with live or nullcontext():
            while not (asked or outcome.finished or outcome.refusal):
                listener.spin(TICK_S)
                _judge(processes.poll(), listener, outcome, console)
                if live:
                    live.update(table(listener.heard, _states(processes), title), refresh=True)
                elif (line := score(listener.heard.evaluation)) != printed:
                    printed = line
                    console.print(line)
        if asked:
            console.print("stopping")
    finally:
        processes.stop(console.print)
    return outcome


def _judge(deaths: Sequence[Death], listener: StatusListener, outcome: Outcome, console: Console) -> None:
    for death in deaths:
        name = death.spec.name
        if death.spec.ends_graph and death.returncode == 0:
            outcome.finished = True
        elif name not in listener.heard.nodes and death.returncode >= 0:
            outcome.refusal = f"{name} cannot start ({death.cause}):\n{death.tail}"
        else:
            outcome.deaths.append(death)
            console.print(f"{name} {death.cause}; starting it again", style="red")


def _states(processes: Processes) -> dict[str, str]:
    return {name: ("running" if child.process else f"again in {max(0.0, child.start_at_s - time.monotonic()):.0f} s")
            + (f", start {child.restarts + 1}" if child.restarts else "") for name, child in processes.children.items()}


def _title(values: Mapping[str, Value], logs: Path) -> str:
    panel = "no panel" if values["headless"] else f"panel http://127.0.0.1:{values['port']}"
    clock = "lockstep" if values["lockstep"] else "real time"
    return f"{values['rig']} {values['robot']} {values['task']}, {clock}   {panel}   logs {logs}   Ctrl-C ends"
