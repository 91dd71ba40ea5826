"""`retake episodes`: what has been recorded."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from policies.episode_meta import META_NAME, OUTCOMES, EpisodeError, authority_shares, read_meta
from retake.errors import UserError
from retake.graph import ARGUMENTS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The folder to list and what to show of it."""
    parser.add_argument("root", nargs="?", type=Path, default=Path(str(ARGUMENTS["root"].default)),
                        help="folder of the episodes (%(default)s)")
    parser.add_argument("--outcome", choices=OUTCOMES, help="only those that ended so")


def run(args: argparse.Namespace) -> int:
    """Print a table, oldest first; episodes that cannot be read are named with the reason, and the exit code is 1."""
    if not args.root.is_dir():
        raise UserError(f"no folder {args.root}; allowed: one that `retake demo` or `retake collect` wrote")
    table = Table("episode", "task", "seed", "outcome", "by", "s", "authority", "policy", "MB", box=None)
    for column in (2, 5, 8):
        table.columns[column].justify = "right"
    unreadable = []
    for path in sorted(args.root.glob(f"*/{META_NAME}")):
        try:
            meta = read_meta(path.parent)
        except EpisodeError as error:
            unreadable.append(str(error))
            continue
        if args.outcome in (None, meta["outcome"]):
            table.add_row(*_row(path.parent, meta))
    Console().print(table)
    for line in unreadable:
        print(line)
    return 1 if unreadable else 0


def _row(folder: Path, meta: dict) -> list[str]:
    unfinished = meta["ended_ns"] is None
    length = "" if unfinished else f"{(meta['ended_ns'] - meta['started_ns']) / 1e9:.1f}"
    shares = ", ".join(f"{who} {share:.0%}" for who, share in authority_shares(meta).items())
    size = sum(file.stat().st_size for file in folder.iterdir())
    return [folder.name, str(meta["task"] or "-"), "-" if meta["seed"] is None else str(meta["seed"]),
            "in progress or killed" if unfinished else meta["outcome"], "-" if unfinished else meta["outcome_by"],
            length, shares or "-", (meta["policy_hash"] or "-")[:12], f"{size / 1e6:.1f}"]
