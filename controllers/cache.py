"""Where things are kept that are made once per machine: decimated meshes, compiled functions."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """$RETAKE_CACHE, else $XDG_CACHE_HOME/retake, else ~/.cache/retake."""
    named = os.environ.get("RETAKE_CACHE")
    if named:
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "retake"
