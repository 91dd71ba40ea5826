"""Large blocks that were freed are used again without the kernel."""

from __future__ import annotations

import resource

import numpy as np

from policies.heap import keep_freed_memory

BLOCK = 8 << 20  # bytes
PAGE = 4096


def faults(rounds: int) -> int:
    """Pages that the kernel had to provide while blocks were made and freed."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        blocks = [np.empty(BLOCK, np.uint8) for _ in range(3)]
        for block in blocks:
            block.fill(1)
        del block, blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_freed_memory_is_used_again():
    keep_freed_memory()
    faults(2)
    assert faults(10) < BLOCK / PAGE / 4  # of 30 blocks
