"""`retake export`: recorded episodes to a LeRobotDataset v3.0; again, and only what is new is added."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.progress import track

from policies.episode_meta import META_NAME, OUTCOMES, EpisodeError, read_meta
from policies.lerobot_export import LeRobotExport
from policies.lerobot_format import TIMINGS
from policies.lerobot_rows import content_sha256, episode_rows
from retake.errors import UserError
from retake.graph import ARGUMENTS

KEPT = ("success", "failure")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """From where to where, and which episodes."""
    parser.add_argument("root", nargs="?", type=Path, default=Path(str(ARGUMENTS["root"].default)),
                        help="folder of episodes, or one episode (%(default)s)")
    parser.add_argument("out", type=Path, help="folder of the dataset: new, empty, or one that this command wrote")
    parser.add_argument("--outcomes", nargs="+", default=list(KEPT), choices=OUTCOMES,
                        help="which episodes (success failure)")
    parser.add_argument("--task", help="only episodes of this task")
    parser.add_argument("--timing", default="true", choices=TIMINGS,
                        help="timestamp and video: the frames' true times, or frame / fps; stamp_ns is exact with both")
    parser.add_argument("--instruction", help="the task's text in the dataset; default: the task's name")


def run(args: argparse.Namespace) -> int:
    """0 when every episode asked for is in the dataset; 1 when some were refused, each with the reason."""
    folders = episode_folders(args.root)
    count: Counter[str] = Counter()
    refused: list[str] = []
    with LeRobotExport(args.out, args.timing, args.instruction) as export:
        for folder in track(folders, "exporting", transient=True, disable=not Console().is_terminal):
            try:
                count[_export(export, folder, args)] += 1
            except EpisodeError as error:
                refused.append(f"refused: {error}")
            except OSError as error:
                raise UserError(f"{error.filename or args.out}: {error.strerror}; the dataset is whole without "
                                f"{folder.name}; make room at {args.out}, the same command goes on") from error
        frames, uneven, left_out = export.info.get("total_frames", 0), export.uneven, export.left_out
    for line in refused:
        print(line)
    said = ", ".join(f"{number} {what}" for what, number in count.items())
    print(f"{args.out}: {said or 'nothing to export'}; {frames} frames in all")
    if left_out:
        print(f"{left_out} frames came before the first state or the first picture of another camera: they are no rows")
    if uneven:
        print(f"{uneven} of the new frames are not evenly spaced: LeRobot's torchcodec decoder may refuse them; load "
              "with video_backend='pyav', or export to a new folder with --timing nominal")
    return 1 if refused else 0


def _export(export: LeRobotExport, folder: Path, args: argparse.Namespace) -> str:
    """Export one episode if it is wanted and new; says what became of it."""
    meta = read_meta(folder)
    if meta["ended_ns"] is None:
        return "unfinished"
    if meta["outcome"] not in args.outcomes or args.task not in (None, meta["task"]):
        return "left out"
    sha256, known = content_sha256(folder, meta), export.exported.get(folder.name)
    if known is None:
        export.append(folder.name, sha256, episode_rows(folder))
        return "added"
    if known != sha256:
        raise EpisodeError(f"{folder} has changed since it was exported (relabelled?); a dataset only grows: export to "
                           "a new folder")
    if not export.missing(folder.name):
        return "there already"
    export.restore(folder.name, episode_rows(folder))
    return "restored"


def episode_folders(root: Path) -> list[Path]:
    """The episode in `root`, or those below it, by name."""
    if (root / META_NAME).is_file():
        return [root]
    folders = [path.parent for path in sorted(root.glob(f"*/{META_NAME}"))]
    if not folders:
        raise UserError(f"{root} holds no episodes; allowed: a folder that `retake up` or `retake collect` wrote")
    return folders
