"""`retake validate`: is an episode, a folder of episodes, or a LeRobot dataset whole?"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import track

from policies.episode_check import check_episode
from policies.episode_file import EpisodeError, repair
from policies.finding import Finding, fault, note
from policies.lerobot_check import check_dataset
from policies.lerobot_format import INFO
from retake.episodes.dataset_export import episode_folders
from retake.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to look at."""
    parser.add_argument("path", type=Path, help="an episode, a folder of episodes, or a LeRobot dataset")
    parser.add_argument("--repair", action="store_true", help="first end episodes that a killed recorder left")


def run(args: argparse.Namespace) -> int:
    """One line per finding; 1 when there is a fault, 0 when there are at most notes."""
    if not args.path.is_dir():
        raise UserError(f"{args.path} is no folder; allowed: an episode, a folder of episodes, a LeRobot dataset")
    if (args.path / INFO).exists() or (args.path / "meta").is_dir():
        findings, what = check_dataset(args.path), "the dataset"
    else:
        folders = episode_folders(args.path)
        findings, what = [], f"{len(folders)} episode{'s' if len(folders) > 1 else ''}"
        for folder in track(folders, "validating", transient=True, disable=not Console().is_terminal):
            findings += (_repaired(folder) if args.repair else []) + check_episode(folder)
    faults = sum(finding.is_fault for finding in findings)
    for finding in findings:
        print(f"{'FAULT' if finding.is_fault else 'note '} {finding.text}")
    print(f"{args.path}: {what}, {faults} faults, {len(findings) - faults} notes")
    return 1 if faults else 0


def _repaired(folder: Path) -> list[Finding]:
    before = (folder / "episode.json").read_bytes()
    try:
        repair(folder)
    except EpisodeError as error:
        return [fault(str(error))]
    return [note(f"{folder}: repaired")] if (folder / "episode.json").read_bytes() != before else []
