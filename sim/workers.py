"""The same work for many seeds over processes of this machine. Whoever asks is killed: the workers end with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from retake.processes import die_with_parent

_work: Callable[[int], Any] | None = None  # one per worker process, made by _start


def over_processes(
    make: Callable[..., Callable[[int], Any]], arguments: tuple, seeds: Sequence[int], workers: int
) -> Iterator[Any]:
    """What the work answers to each seed, in the order in which they finish.

    `make(*arguments)` is called once in each process and gives the work; it must be importable.

    Raises:
        ValueError: a process died.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # inherited: the workers are the parallelism
    context = multiprocessing.get_context("spawn")  # a forked child would share the parent's threads' locks
    pool = ProcessPoolExecutor(min(workers, max(1, len(seeds))), context, _start, (make, arguments))
    try:
        for future in as_completed([pool.submit(_run, seed) for seed in seeds]):
            yield future.result()
    except BrokenProcessPool as error:
        raise ValueError("a worker process died (out of memory?); run the same command again to go on, with fewer "
                         "--workers if it repeats") from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _start(make: Callable[..., Callable[[int], Any]], arguments: tuple) -> None:
    global _work
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends a worker at once; its seed is run again
    die_with_parent(os.getppid())()
    _work = make(*arguments)


def _run(seed: int) -> Any:
    if _work is None:
        raise RuntimeError("the worker has not been started by _start")
    return _work(seed)
