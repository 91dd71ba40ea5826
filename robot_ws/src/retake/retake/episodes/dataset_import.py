"""`retake import`: a LeRobotDataset v3.0 to episodes that `retake train` reads."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import track

from controllers.rigs import RIGS
from policies.lerobot_files import read_info
from policies.lerobot_format import is_ours
from policies.lerobot_import import JUDGED, ImportPlan, LeRobotImport
from retake.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """From where to where, and how what is different there is meant."""
    parser.add_argument("dataset", type=Path, help="folder of the LeRobot dataset")
    parser.add_argument("out", type=Path, help="folder for the episodes; those that it has are skipped")
    parser.add_argument("--robot", help=f"whose channels: {', '.join(RIGS)}; default: what the dataset names")
    parser.add_argument("--rename", nargs="+", default=[], metavar="THEIRS=OURS", help="channels by other names")
    parser.add_argument("--fps", type=float, help="keep every n-th frame, so that so many per second remain")
    parser.add_argument("--outcome", choices=JUDGED, help="how episodes ended, where the dataset does not say")


def run(args: argparse.Namespace) -> int:
    """Import what is not there yet."""
    info = read_info(args.dataset)
    robot = args.robot or info.get("robot_type")
    ours = is_ours(info) and robot == info["robot_type"]  # then the channels are a robot's, whichever
    if robot is None or (robot not in RIGS and not ours):
        raise UserError(f"{args.dataset} is of robot {robot!r}; say with --robot whose channels it should have: "
                        f"{', '.join(RIGS)}")
    pairs = [text.partition("=") for text in args.rename]
    if not all(theirs and equals and mine for theirs, equals, mine in pairs):
        raise UserError(f"--rename {' '.join(args.rename)}: allowed are pairs THEIRS=OURS, such as x=left_ee.x")
    if args.fps is not None and args.fps <= 0:
        raise UserError(f"--fps {args.fps:g}: it must be above 0")
    channels = RIGS[robot].layout.channels if robot in RIGS else None
    rename = {theirs: mine for theirs, _, mine in pairs}
    dataset = LeRobotImport(args.dataset, ImportPlan(robot, channels, rename, args.fps, args.outcome))
    args.out.mkdir(parents=True, exist_ok=True)
    new = 0
    for row in track(dataset.rows, "importing", transient=True, disable=not Console().is_terminal):
        new += dataset.write(row, args.out)
    print(f"{args.out}: {new} episodes imported, {len(dataset.rows) - new} there already")
    return 0
