"""`retake episodes`: what has been recorded."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from policies.episode_meta import META_NAME, read_meta
from retake.errors import UserError
from retake.graph import ARGUMENTS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The folder to list."""
    parser.add_argument("root", nargs="?", type=Path, default=Path(str(ARGUMENTS["root"].default)),
                        help="folder of the episodes (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Print a table; episodes that cannot be read are named with the reason."""
    if not args.root.is_dir():
        raise UserError(f"no folder {args.root}; allowed: one that `retake demo` or `retake collect` wrote")
    table = Table("episode", "task", "seed", "outcome", "by", "s", "policy")
    unreadable = []
    for path in sorted(args.root.glob(f"*/{META_NAME}")):
        try:
            meta = read_meta(path.parent)
        except ValueError as error:
            unreadable.append(str(error))
            continue
        ended = meta.get("ended_ns")
        length = f"{(ended - meta['started_ns']) / 1e9:.1f}" if ended else "?"
        table.add_row(meta["id"], meta["task"], str(meta.get("seed")), meta.get("outcome") or "unfinished",
                      str(meta.get("outcome_by") or "-"), length, (meta.get("policy_hash") or "-")[:12])
    Console().print(table)
    for line in unreadable:
        print(line)
    return 0
