"""What must be so before the graph starts; each refusal is one line that says what, what is allowed, what to do."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from policies.policy_words import checkpoint_folder, is_folder
from retake.errors import UserError
from retake.graph import NodeSpec, Value

FREE_BYTES = 2**30  # an episode of 20 s is about 20 MB; below 1 GiB a long day's recording would be lost
CHECKPOINT_FILES = ("model.safetensors", "policy.json")
CHECK_S = 60.0


def check(values: Mapping[str, Value], graph: Sequence[NodeSpec]) -> None:
    """Raise UserError on the first thing that would keep the graph from running."""
    for _, one in checks(values, graph):
        one()


def checks(values: Mapping[str, Value], graph: Sequence[NodeSpec]) -> Iterator[tuple[str, Callable[[], None]]]:
    """Name and check, each of which raises UserError when it finds something wrong."""
    if is_folder(str(values["policy"])):
        yield "policy", partial(_check_checkpoint, checkpoint_folder(str(values["policy"])))
    yield "recordings", partial(_check_disk, Path(str(values["root"])))
    if not values["headless"]:
        yield "panel", partial(_check_port, int(values["port"]))
    for spec in graph:
        if spec.check:
            yield spec.name, partial(_check_code, spec)


def _check_checkpoint(folder: Path) -> None:
    missing = [name for name in CHECKPOINT_FILES if not (folder / name).is_file()]
    if not missing:
        return
    known = sorted(str(path.parent) for path in folder.parent.glob("*/policy.json"))
    allowed = f"here are: {', '.join(known)}" if known else "allowed: a folder that `retake train` wrote"
    raise UserError(f"no checkpoint {folder} (without {' and '.join(missing)}); {allowed}; write policy:=FOLDER")


def _check_disk(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
        probe = root / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"cannot record to {root} ({error.strerror}); choose another with root:=FOLDER") from None
    free = shutil.disk_usage(root).free
    if free < FREE_BYTES:
        raise UserError(f"{free / 2**20:.0f} MiB are free at {root}, a recording wants {FREE_BYTES / 2**20:.0f} MiB; "
                        "delete old episodes or choose another disk with root:=FOLDER")


def _check_port(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UserError(f"port {port} of 127.0.0.1 cannot be had ({error.strerror}); the panel needs a free one; "
                            "write port:=NUMBER, or headless:=true for no panel") from None


def _check_code(spec: NodeSpec) -> None:
    # in a process of its own: a graphics driver that fails may take its process with it
    try:
        command = [sys.executable, "-W", "ignore", "-c", spec.check]
        done = subprocess.run(command, capture_output=True, text=True, timeout=CHECK_S)
    except subprocess.TimeoutExpired:
        raise UserError(f"{spec.name} cannot start: its check took {CHECK_S:.0f} s; is the machine busy?") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise UserError(f"{spec.name} cannot start: {lines[-1]}")
