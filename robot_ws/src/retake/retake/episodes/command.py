"""`retake episodes`: what has been recorded, and what people say about it afterwards.

    retake episodes [ROOT] [filters]              the list, oldest first
    retake episodes relabel EPISODE success       or failure
    retake episodes discard EPISODE               put it aside; nothing is deleted
    retake episodes undo [EPISODE]                take the last change back
"""

from __future__ import annotations

import argparse
import getpass
import time
from datetime import datetime, timezone
from pathlib import Path

from rich.console import Console
from rich.table import Table

from policies import episode_history, recorded
from policies.episode_meta import META_NAME, OUTCOMES, EpisodeError, read_meta
from policies.timeline import SEGMENTS, seconds_of, segments
from retake.episodes.chosen import DEFAULT_ROOT, chosen_episode
from retake.errors import UserError

NAME_WIDTH = 22  # YYYYMMDD-HHMMSS-seed
PIPED_WIDTH = 200
SHOWN_SHARE = 0.005  # less is 0 %
VERBS = {"relabel": "relabel EPISODE success|failure", "discard": "discard EPISODE", "undo": "undo [EPISODE]"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The folder to list and what to show of it, or a change."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (__doc__ or "").split("\n\n", 1)[1]
    parser.add_argument("words", nargs="*", metavar="ROOT | CHANGE",
                        help=f"folder of the episodes ({DEFAULT_ROOT}), or one of: {'; '.join(VERBS.values())}")
    parser.add_argument("--root", type=Path, default=DEFAULT_ROOT,
                        help="where a change looks for EPISODE (%(default)s)")
    parser.add_argument("--by", help="who says so; default: the login name")
    parser.add_argument("--outcome", choices=OUTCOMES, help="only those that ended so")
    parser.add_argument("--task", help="only of this task")
    parser.add_argument("--segment", choices=SEGMENTS, help="only those with such a segment")
    parser.add_argument("--operator", metavar="DEVICE", help="only those in which this teleop device had the robot")
    parser.add_argument("--policy", metavar="HASH", help="only of this policy; the first characters suffice")
    parser.add_argument("--since", metavar="DATE", help="only those begun since, UTC: 2026-11-25 or 2026-11-25T14:30")


def run(args: argparse.Namespace) -> int:
    """List or change."""
    if args.words and args.words[0] in VERBS:
        return _change(args.words, args.root, args.by or getpass.getuser())
    if len(args.words) > 1:
        raise UserError(f"cannot read {' '.join(args.words)!r}; allowed: a folder to list, or "
                        f"{'; '.join(VERBS.values())}")
    return _list(Path(args.words[0]) if args.words else args.root, args)


def _change(words: list[str], root: Path, by: str) -> int:
    verb, *rest = words
    now_ns = time.time_ns()
    if verb == "undo" and not rest:
        folders = [path.parent for path in sorted(root.glob(f"*/{META_NAME}"))]
        folder = episode_history.last_changed(folders)
        if folder is None:
            raise UserError(f"nothing to undo: no episode in {root} was changed; name another folder with --root")
    elif len(rest) == (2 if verb == "relabel" else 1):
        folder = chosen_episode(rest[0], root)
    else:
        raise UserError(f"cannot read {' '.join(words)!r}; write {VERBS[verb]}")
    before = read_meta(folder)
    if verb == "relabel":
        after = episode_history.relabel(folder, rest[1], by, now_ns)
    elif verb == "discard":
        after = episode_history.discard(folder, by, now_ns)
    else:
        after = episode_history.undo(folder, by, now_ns)
    print(f"{folder.name}: {before['outcome']} (by {before['outcome_by']}) is now {after['outcome']} "
          f"(by {after['outcome_by']})" + ("" if verb == "undo" else "; `retake episodes undo` takes it back"))
    return 0


def _list(root: Path, args: argparse.Namespace) -> int:
    """Print a table, oldest first; episodes that cannot be read are named with the reason, and the exit code is 1."""
    if not root.is_dir():
        raise UserError(f"no folder {root}; allowed: one that `retake demo` or `retake collect` wrote")
    since = _since_word(args.since)
    table = Table("episode", "task", "seed", "outcome", "by", "s", "segments", "policy", "MB", box=None)
    for column in (2, 5, 8):
        table.columns[column].justify = "right"
    table.columns[0].no_wrap, table.columns[0].min_width = True, NAME_WIDTH  # names are for copying
    unreadable = []
    for path in sorted(root.glob(f"*/{META_NAME}")):
        try:
            meta = read_meta(path.parent)
            if path.parent.name >= since and _is_wanted(path.parent, meta, args):
                table.add_row(*_row(path.parent, meta))
        except EpisodeError as error:
            unreadable.append(str(error))
    console = Console()
    (console if console.is_terminal else Console(width=PIPED_WIDTH)).print(table)  # nothing is cut for other programs
    for line in unreadable:
        print(line)
    return 1 if unreadable else 0


def _is_wanted(folder: Path, meta: dict, args: argparse.Namespace) -> bool:
    """True when the episode passes every filter that was given."""
    return (args.outcome in (None, meta["outcome"]) and args.task in (None, meta["task"])
            and (args.policy is None or (meta["policy_hash"] or "").startswith(args.policy))
            and (args.segment is None or args.segment in seconds_of(segments(meta)))
            and (args.operator is None or args.operator in _operators(folder, meta)))


def _operators(folder: Path, meta: dict) -> set[str]:
    """The teleop devices that had the robot, from the provenance."""
    tracks = recorded.read_tracks(folder, meta["robot"], {"provenance": recorded.tick})
    return {tick.operator for tick in tracks.get("provenance", recorded.EMPTY).rows}


def _since_word(text: str | None) -> str:
    """As the names of episodes begin, so that names compare; empty lets all pass."""
    if text is None:
        return ""
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(f"--since {text!r} is no date; write 2026-11-25, or 2026-11-25T14:30") from None
    return (given.astimezone(timezone.utc) if given.tzinfo else given).strftime("%Y%m%d-%H%M%S")


def _row(folder: Path, meta: dict) -> list[str]:
    unfinished = meta["ended_ns"] is None
    seconds = 0.0 if unfinished else (meta["ended_ns"] - meta["started_ns"]) / 1e9
    shares = ", ".join(f"{name} {part / seconds:.0%}" for name, part in seconds_of(segments(meta)).items()
                       if part > SHOWN_SHARE * seconds)
    size = sum(file.stat().st_size for file in folder.iterdir())
    return [folder.name, str(meta["task"] or "-"), "-" if meta["seed"] is None else str(meta["seed"]),
            "in progress or killed" if unfinished else meta["outcome"], "-" if unfinished else meta["outcome_by"],
            "" if unfinished else f"{seconds:.1f}", shares or "-", (meta["policy_hash"] or "-")[:12],
            f"{size / 1e6:.1f}"]
