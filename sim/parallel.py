"""Seeds over processes of this machine, or over machines with Ray. Lines come as they are finished, in any order."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from policies.train_state import STATE_NAME
from sim.evaluation import Evaluator, Settings
from sim.workers import over_processes

KNOCK_S = 5.0
Outcome = tuple[dict[str, Any], bytes]


def serially(settings: Settings, seeds: Sequence[int], films: str) -> Iterator[Outcome]:
    """One after the other, in this process."""
    with closing(Evaluator(settings, films)) as evaluator:
        for seed in seeds:
            yield evaluator.run(seed)


def in_processes(settings: Settings, seeds: Sequence[int], films: str, workers: int) -> Iterator[Outcome]:
    """In processes of this machine.

    Raises:
        ValueError: one of them died.
    """
    if workers == 1 or len(seeds) <= 1:
        yield from serially(settings, seeds, films)
        return
    yield from over_processes(_evaluation, (settings, films), seeds, workers)


def _evaluation(settings: Settings, films: str) -> Callable[[int], Outcome]:
    return Evaluator(settings, films).run


def _files(folder: str) -> dict[str, bytes]:
    """By name; none where it is no folder, as a class of one's own, which must be installed there."""
    files = [path for path in Path(folder).glob("*.*") if folder and path.is_file() and path.name != STATE_NAME]
    return {path.name: path.read_bytes() for path in files}


class _FromFiles:
    """An evaluator on another machine: the files of policy and verifier travel with it, where there are any."""

    def __init__(self, settings: Settings, films: str, files: dict[str, dict[str, bytes]]) -> None:
        with tempfile.TemporaryDirectory() as root:
            here = {"policy": settings.policy, "verifier": settings.verifier}
            for which in (which for which, parts in files.items() if parts):
                folder = Path(root) / which
                folder.mkdir()
                for name, data in files[which].items():
                    (folder / name).write_bytes(data)
                here[which] = str(folder)
            there = replace(settings, policy=here["policy"], verifier=here["verifier"])
            self._evaluator = Evaluator(there, films)

    def run(self, seed: int) -> Outcome:
        return self._evaluator.run(seed)


def on_ray(settings: Settings, seeds: Sequence[int], films: str, workers: int, address: str) -> Iterator[Outcome]:
    """On `workers` cores of a Ray cluster; `address` as `ray.init` takes it, `local` starts one here.

    Every machine needs this version of the package; the policy travels.

    Raises:
        ValueError: Ray is not installed, or the cluster does not answer.
    """
    try:
        import ray
    except ImportError as error:
        raise ValueError("--ray needs the package ray; install it with: pip install 'retake[ray]'") from error
    try:
        _knock(address)
        ray.init(address=address, include_dashboard=False, logging_level="warning", log_to_driver=False)
    except Exception as error:  # a node that does not start in time is a bare one
        raise ValueError(f"Ray does not start at {address} ({_first_line(error)}); allowed: the address of a cluster, "
                         "auto, local; start one with `ray start --head`, or leave --ray out") from error  # fmt: skip
    try:
        files = {"policy": _files(settings.policy), "verifier": _files(settings.verifier)}
        remote = ray.remote(num_cpus=1)(_FromFiles)
        actors = [remote.remote(settings, films, ray.put(files)) for _ in range(min(workers, len(seeds)))]
        yield from ray.util.ActorPool(actors).map_unordered(lambda actor, seed: actor.run.remote(seed), seeds)
    except ray.exceptions.RayError as error:
        raise ValueError(f"Ray has failed ({_last_line(error)}); what has ended is kept: the same command goes on, or "
                         "leave --ray out") from error  # fmt: skip
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """OSError where nobody listens at HOST:PORT; Ray itself asks for minutes, and says so at length."""
    host, has_port, port = address.removeprefix("ray://").rpartition(":")
    if has_port and port.isdigit():
        socket.create_connection((host, int(port)), KNOCK_S).close()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]


def _last_line(error: Exception) -> str:
    """Of a remote traceback, what was raised."""
    return str(error).strip().rpartition("\n")[2][:200]
