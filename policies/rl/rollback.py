"""`retake rollback TASK`: deploy the policy that was deployed before; with `--ledger` only say what happened."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from policies.rl.ledger import Deployed, LedgerError

ROOT = Path("deployed")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", help="whose policy")
    parser.add_argument("--root", type=Path, default=ROOT, help="deployed policies, a folder per task (%(default)s)")
    parser.add_argument("--ledger", action="store_true", help="only show the verdicts, change nothing")


def run(args: argparse.Namespace) -> int:
    """See the module."""
    deployed = Deployed(args.root / args.task)
    if not deployed.entries():
        tasks = sorted(path.name for path in args.root.glob("*") if (path / "ledger.jsonl").exists())
        raise LedgerError(f"{args.task} has no deployed policy in {args.root}; allowed: "
                          f"{', '.join(tasks) or 'none yet'}; make one with `retake promote`")  # fmt: skip
    if args.ledger:
        show(deployed.entries())
        return 0
    print(f"{args.task}: {deployed.rollback().name} is deployed again")
    return 0


def show(entries: list[dict[str, Any]]) -> None:
    """The ledger, a line per verdict."""
    for entry in entries:
        spent = entry.get("effort", {})
        parts = [f"{entry['time']} {entry['kind']:8} {entry['sha256'][:12]}"]
        if entry.get("to"):
            parts.append(f"back to {entry['to']}")
        if entry.get("before"):
            parts.append(f"success {_rate(entry['before'])} -> {_rate(entry['after'])}")
        if minutes := spent.get("operator_minutes"):
            gained = entry.get("points_per_operator_minute")
            each = "" if gained is None else f", {gained:+.2f} points per minute"
            there = f" of {spent['supervised_minutes']:.1f}" if spent.get("supervised_minutes") else ""
            parts.append(f"{minutes:.1f}{there} operator minutes{each}")
        if frames := spent.get("frames"):
            parts.append("frames: " + ", ".join(f"{name} {count}" for name, count in frames.items()))
        print("; ".join(parts))


def _rate(values: list[float]) -> str:
    return f"{100 * values[0]:.1f} % [{100 * values[1]:.1f}, {100 * values[2]:.1f}]"
