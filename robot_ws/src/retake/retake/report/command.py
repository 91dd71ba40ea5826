"""`retake report EPISODE|DATASET`: one HTML page that a person decides with. It needs no other file and no network."""

from __future__ import annotations

import argparse
from pathlib import Path

from policies.atomic import replace_file
from policies.episode_meta import META_NAME
from retake.episodes.chosen import chosen_episode
from retake.errors import UserError
from retake.report.dataset import dataset_page
from retake.report.episode import episode_page


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to report on and where to."""
    parser.add_argument("recorded", metavar="EPISODE|DATASET",
                        help="an episode's folder or name, or a folder of episodes")
    parser.add_argument("--out", type=Path, help="the file; default build/report/NAME.html")
    parser.add_argument("--against", type=Path, metavar="DATASET",
                        help="a reference dataset: SACo is the share of its state-action cells that DATASET covers")


def run(args: argparse.Namespace) -> int:
    """Write the page and say where it is."""
    given = Path(args.recorded)
    is_dataset = given.is_dir() and not (given / META_NAME).is_file()
    if args.against is not None and not is_dataset:
        raise UserError(f"--against compares datasets, {given} is an episode; give a folder of episodes, or leave it "
                        "out")
    if is_dataset:
        name, text = given.resolve().name, dataset_page(given, args.against)
    else:
        folder = chosen_episode(args.recorded)
        name, text = folder.name, episode_page(folder)
    out: Path = args.out or Path("build/report") / f"{name}.html"
    out.parent.mkdir(parents=True, exist_ok=True)
    replace_file(out, text)
    print(f"{out}, {len(text) / 1e3:.0f} kB; open it with a browser")
    return 0
