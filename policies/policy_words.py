"""`policy:=` in words: FOLDER of a checkpoint, lerobot:FOLDER, package.module:Class, ws://HOST:PORT, or none.

Imports next to nothing: the graph is made of words, and `retake serve` also runs in LeRobot's environment.
"""

from __future__ import annotations

import re
from pathlib import Path

NO_POLICY = "none"
LEROBOT = "lerobot:"
CLASS = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def is_remote(policy: str) -> bool:
    """True for an address."""
    return policy.startswith(("ws://", "wss://"))


def is_class(policy: str) -> bool:
    """True for a class of a person's own."""
    return not policy.startswith(LEROBOT) and CLASS.fullmatch(policy) is not None


def is_folder(policy: str) -> bool:
    """True for a checkpoint of ours."""
    return policy != NO_POLICY and not (is_remote(policy) or is_class(policy) or policy.startswith(LEROBOT))


def checkpoint_folder(name: str) -> Path:
    """The folder as named, or else the one of that name that is installed with the package."""
    here, installed = Path(name).absolute(), Path(__file__).resolve().parents[1] / name
    return here if here.exists() or not installed.exists() else installed


def whole(policy: str) -> str:
    """The same with the folder's whole path, for a process that starts elsewhere."""
    if policy.startswith(LEROBOT):
        return LEROBOT + str(checkpoint_folder(policy.removeprefix(LEROBOT)))
    return str(checkpoint_folder(policy)) if is_folder(policy) else policy
