"""The folder of a `retake improve` run: whoever is killed at any moment goes on from what is there.

    improve.json        what the run was started with
    round-1/episodes/*  what was recorded, in the order of the seeds
    round-1/policy      what was trained on that, and on everything before
    round-1/round.json  what the round has cost and brought; the round is over when it is there
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from policies.atomic import replace_file
from policies.episode_file import repair
from policies.episode_meta import META_NAME, is_unfinished, read_meta

RUN_NAME, ROUND_NAME = "improve.json", "round.json"


class ImproveError(ValueError):
    """A run that cannot begin or go on; the text says what, what is allowed and what to do."""


class Round:
    """One round's files."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder, self.number = folder / f"round-{number}", number
        self.episodes, self.policy = self.folder / "episodes", self.folder / "policy"

    @property
    def result(self) -> dict[str, Any] | None:
        """What the finished round was; None before."""
        path = self.folder / ROUND_NAME
        return json.loads(path.read_text()) if path.exists() else None

    def finish(self, result: dict[str, Any]) -> None:
        """The round is over."""
        _write(self.folder / ROUND_NAME, result)

    def recorded(self) -> dict[int, dict]:
        """episode.json by seed of what was recorded to its end; what a kill has cut off is repaired and left out."""
        found: dict[int, dict] = {}
        for path in sorted(self.episodes.glob(f"*/{META_NAME}")):
            if is_unfinished(path.parent):
                repair(path.parent)
            meta = read_meta(path.parent)
            if meta["outcome"] != "aborted":
                found[meta["seed"]] = meta
        return found


class ImproveFolder:
    """Where the rounds are."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def round(self, number: int) -> Round:
        """The files of a round, from 1 on."""
        return Round(self.path, number)

    def start(self, settings: dict[str, Any]) -> None:
        """Make the folder; one that holds a run already must hold this one.

        Raises:
            ImproveError: it holds another one.
        """
        path = self.path / RUN_NAME
        if not path.exists():
            self.path.mkdir(parents=True, exist_ok=True)
            return _write(path, settings)
        try:
            before = json.loads(path.read_text())
        except ValueError as error:
            raise ImproveError(f"{path} is not JSON ({error}); allowed: what `retake improve` writes; restore it, or "
                               "choose another --out") from error  # fmt: skip
        changed = [name for name, value in settings.items() if before.get(name) != value]
        if changed:
            name = changed[0]
            raise ImproveError(f"{self.path} holds a run with another {name}: {before.get(name)!r}, now "
                               f"{settings[name]!r}; allowed: as at its start; put it back, or take another --out")


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, (json.dumps(content, indent=1) + "\n").encode())
