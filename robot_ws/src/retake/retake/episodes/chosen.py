"""Which episode a person means on the command line: a folder, or its name as `retake episodes` lists it."""

from __future__ import annotations

from pathlib import Path

from policies.episode_meta import META_NAME
from retake.errors import UserError
from retake.graph import ARGUMENTS

DEFAULT_ROOT = Path(str(ARGUMENTS["root"].default))


def chosen_episode(word: str, root: Path = DEFAULT_ROOT) -> Path:
    """The episode's folder.

    Raises:
        UserError: there is none.
    """
    for folder in (Path(word), root / word):
        if (folder / META_NAME).is_file():
            return folder
    raise UserError(f"no episode {word!r}; allowed: its folder, or its name in {root}; `retake episodes` lists them")
