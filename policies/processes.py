"""One training run in several processes, on one machine or many, as `torchrun` starts them.

    torchrun --nproc-per-node 2 -m retake.cli train --data ... --out ...

Every process holds all weights and all data, takes its share of each batch, and averages gradients with the others
(torch's DistributedDataParallel; gloo on CPUs, nccl on GPUs). Process 0 alone writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist


@dataclass(frozen=True)
class Processes:
    """This process among those of the run."""

    rank: int = 0
    count: int = 1
    device: torch.device = torch.device("cpu")

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def share(self, n: int) -> range:
        """Which of n equal parts are this process's; n is a multiple of the count."""
        return range(self.rank * n // self.count, (self.rank + 1) * n // self.count)

    def mean(self, values: Sequence[float]) -> list[float]:
        """The mean over all processes of each number."""
        if self.count == 1:
            return list(values)
        numbers = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(numbers)
        return (numbers / self.count).tolist()

    def agreed(self, value: int) -> int:
        """What process 0 says."""
        if self.count == 1:
            return value
        number = torch.tensor([value], device=self.device)
        dist.broadcast(number, 0)
        return int(number)

    @contextmanager
    def first_goes_first(self) -> Iterator[None]:
        """Process 0 runs the body, then the others do: what it makes on the disk is there for them."""
        if self.count > 1 and not self.is_first:
            dist.barrier()
        yield
        if self.count > 1 and self.is_first:
            dist.barrier()


@contextmanager
def joined() -> Iterator[Processes]:
    """The processes of this run, which is one unless torchrun started it; a GPU each where there are any."""
    has_gpu = torch.cuda.is_available()
    count, local = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("LOCAL_RANK", 0))
    device = torch.device("cuda", local) if has_gpu else torch.device("cpu")
    if has_gpu:
        torch.cuda.set_device(device)
    if count == 1:
        yield Processes(device=device)
        return
    dist.init_process_group("nccl" if has_gpu else "gloo")
    try:
        yield Processes(dist.get_rank(), count, device)
    finally:
        dist.destroy_process_group()
