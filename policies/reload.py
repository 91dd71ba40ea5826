"""Notices that a file was written anew, and makes what it is about ready beside what is at work."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")


class Reload(Generic[T]):
    """`poll` now and then; `take` what is ready when it may replace the old one. Both in one thread; loading is
    another's. What cannot be used is not ready: `refusal` says why until the file changes again."""

    def __init__(self, path: Path, load: Callable[[], T]) -> None:
        """`path`: what is written last; `load` may raise ValueError, OSError or RuntimeError for what must not be
        used."""
        self._path, self._load = path, load
        self._seen = self._look()
        self._loading: threading.Thread | None = None
        self._ready: T | None = None  # the loading thread writes it and the refusal
        self.refusal = ""

    def poll(self) -> None:
        """Begin to load when there is something new."""
        if self._loading is not None and self._loading.is_alive():
            return
        now = self._look()
        if now == self._seen or now is None:
            return
        self._seen, self._ready, self.refusal = now, None, ""
        self._loading = threading.Thread(target=self._run, name="reload", daemon=True)
        self._loading.start()

    @property
    def is_ready(self) -> bool:
        """True when `take` will give something."""
        return self._ready is not None

    def take(self) -> T | None:
        """What is ready, once."""
        ready, self._ready = self._ready, None
        return ready

    def _run(self) -> None:
        try:
            self._ready = self._load()
        except (ValueError, OSError, RuntimeError) as error:
            self.refusal = str(error)

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:  # it is being replaced, or gone: nothing new
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size
