"""Files that are written whole or not at all: whoever reads meanwhile sees the old one or the new one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path, durable: bool = False) -> Iterator[Path]:
    """The path to write; it takes the place of `path` at the end, or is removed if the body raises.

    `durable`: the disk has the content before the name points to it, so that a power cut costs neither.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        yield part
        if durable:
            with open(part, "rb") as file:
                os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def replace_file(path: Path, content: bytes | str, durable: bool = False) -> None:
    """Write the content, text as UTF-8, in one step; see `replacing`."""
    with replacing(path, durable) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
