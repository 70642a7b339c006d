"""Which blocks stay in memory: those that fit a budget per worker process, the rest are read each time."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from daskals.cluster.workers import Cluster
from daskals.errors import ConfigError
from daskals.training.data.plan import BlockRange
from daskals.types import Int64

INDEX_BYTES = 4
INDPTR_BYTES = 8


def memory_budgets(cluster: Cluster, homes: Collection[str], wanted: int | None) -> dict[str, int]:
    """Return the bytes each of `homes` may use for ratings: those wanted, or half of its memory.

    Raises LostTasksError if no worker answers.
    """
    if wanted is not None:
        return dict.fromkeys(homes, wanted)
    known = {worker: memory // 2 for worker, memory in cluster.memory().items()}
    least = min(known.values())
    return {worker: known.get(worker, least) for worker in homes}


class Demand(NamedTuple):
    """What a block takes in memory, and on which worker."""

    worker: str
    size_bytes: int


def block_bytes(counts: Int64, ranges: Sequence[BlockRange], value_bytes: int) -> list[int]:
    """Return the bytes of each block's ratings, given the ratings of each row and the bytes of a value."""
    ends = np.concatenate([[0], np.cumsum(counts)])
    return [
        int(ends[stop] - ends[start]) * (INDEX_BYTES + value_bytes) + (stop - start + 1) * INDPTR_BYTES
        for start, stop in ranges
    ]


def choose_resident(
    demands: Sequence[Demand], budgets: Mapping[str, int], threads: Mapping[str, int]
) -> list[bool]:
    """Choose the blocks that stay in memory; return for each block whether it stays.

    `demands` are all blocks of all parts, the preferred ones first. A worker has one block for each of its
    `threads` in use at a time, and reads one more. Raises ConfigError if a budget does not hold the blocks in
    use; the message names the smallest that does.
    """
    held = dict.fromkeys(budgets, 0)
    for worker, size in demands:
        held[worker] += size
    rooms = {}
    for worker, budget in budgets.items():
        largest = max((size for home, size in demands if home == worker), default=0)
        in_use = (threads[worker] + 1) * largest
        rooms[worker] = budget if held[worker] <= budget else budget - in_use
        if rooms[worker] < 0:
            raise ConfigError(
                f"{budget} bytes do not hold a block for each of {threads[worker]} threads and one more",
                where="--ratings-memory",
                expected=f"at least {in_use} for these ratings",
                remedy="Raise it, or lower --threads-per-worker",
            )
    stays = []
    for worker, size in demands:
        fits = size <= rooms[worker]
        rooms[worker] -= size if fits else 0
        stays.append(fits)
    return stays
