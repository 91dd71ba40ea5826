"""episode.json: what an episode is, how it ended and who said so."""

import json
import time
from pathlib import Path

from policies.atomic import replace_file
from policies.mcap_log import EpisodeError

FORMAT = 1
OUTCOMES = ("success", "failure", "discarded", "aborted")
JUDGED = ("success", "failure")
META_NAME = "episode.json"


def episode_folder(root: Path, tag: str | int) -> Path:
    """Return a new folder's path `<root>/YYYYMMDD-HHMMSS-<tag>` (UTC) that does not exist yet; nothing is created."""
    stem = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{tag}"
    path, n = Path(root) / stem, 2
    while path.exists():
        path, n = Path(root) / f"{stem}-{n}", n + 1
    return path


def write_meta(folder: Path, meta: dict) -> None:
    """Replace episode.json in one step."""
    replace_file(folder / META_NAME, json.dumps(meta, indent=1), durable=True)


def read_meta(folder: Path) -> dict:
    """Return episode.json, checked."""
    path = Path(folder) / META_NAME
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EpisodeError(f"{folder} is no episode: no {META_NAME}; `retake episodes` lists what there is") from None
    except ValueError as error:
        raise EpisodeError(f"{path} is not JSON ({error}); restore it from a copy, or delete the folder") from None
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        found = meta.get("format") if isinstance(meta, dict) else type(meta).__name__
        raise EpisodeError(f"{path}: format {found!r} is unknown; allowed: {FORMAT}. Update retake, or record it again")
    return meta


def is_unfinished(folder: Path) -> bool:
    """True when the writer was killed before `close`."""
    return read_meta(folder)["ended_ns"] is None
