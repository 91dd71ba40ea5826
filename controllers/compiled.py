"""`compiled`: machine code for the small-array loops of a control step, where NumPy would spend its time in calls.

A step makes about 150 operations on arrays of 3 to 35 elements. As NumPy calls they took 350 µs, compiled 40 µs.
Compiling takes some 20 s, once per machine and version of this package: the result is kept in the user's cache folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

from controllers.cache import cache_root


def _cache_folder() -> Path:
    """One folder per state of the sources: numba itself would not notice a constant or a callee of another file."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    folder = cache_root() / "compiled" / digest.hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"cannot write the cache of compiled functions {folder} ({error.strerror}); set RETAKE_CACHE to "
                      "a folder that can be written") from error  # fmt: skip
    return folder


numba.config.CACHE_DIR = str(_cache_folder())  # type: ignore[attr-defined]


def compiled(function: Callable[..., Any]) -> Any:
    """Compile at the first call with arguments of new types; IEEE arithmetic, in the order written.

    Whoever owns a control loop calls its compiled functions once before the loop starts.
    """
    return numba.njit(cache=True, error_model="numpy")(function)
