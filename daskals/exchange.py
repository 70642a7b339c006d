"""How factors reach the workers: as results of tasks, from worker to worker.

A generation is one side's factors after one half-step: a slab a block, gathered once into the rows
that the other side's blocks read. Nothing passes through the client, and nothing is scattered:
scattered data cannot be recomputed when the worker that holds them dies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from daskals.cluster import Cluster, Task
from daskals.kernels.layout import aligned_empty
from daskals.types import BlockStats, FactorRows, Side


class Slab(NamedTuple):
    """Factor rows of one block, from row `start` of its side, with what they add to the objective."""

    start: int
    rows: FactorRows
    stats: BlockStats


class Gathered(NamedTuple):
    """All factor rows of one side, and the sums of their blocks' statistics."""

    rows: FactorRows
    stats: BlockStats


@dataclass(frozen=True)
class Generation:
    """One side's factors on the cluster: a task for each slab, in block order, and for the gathered rows."""

    side: Side
    slabs: tuple[Task, ...]
    gathered: Task
    stats: Task


def gather_slabs(slabs: Sequence[Slab]) -> Gathered:
    """Join slabs, which must come in row order, and fold their statistics in that order."""
    last = slabs[-1]
    rows = aligned_empty(last.start + len(last.rows), last.rows.shape[1])
    sse = penalty = 0.0
    for slab in slabs:
        rows[slab.start : slab.start + len(slab.rows)] = slab.rows
        sse += slab.stats.sse
        penalty += slab.stats.penalty
    return Gathered(rows, BlockStats(sse, penalty))


def read_stats(gathered: Gathered) -> BlockStats:
    """Return the statistics alone: all that the client needs of a half-step."""
    return gathered.stats


def read_rows(gathered: Gathered) -> FactorRows:
    """Return the factor rows alone."""
    return gathered.rows


def publish(cluster: Cluster, side: Side, slabs: Sequence[Task], key: str) -> Generation:
    """Gather the slabs of one half-step on the cluster."""
    gathered = cluster.submit(gather_slabs, list(slabs), key=f"gather-{side}s-{key}")
    stats = cluster.submit(read_stats, gathered, key=f"reduce-{side}s-{key}")
    return Generation(side, tuple(slabs), gathered, stats)


def fetch_rows(cluster: Cluster, generation: Generation, key: str) -> FactorRows:
    """Bring a generation's factor rows to this process."""
    task = cluster.submit(read_rows, generation.gathered, key=f"fetch-{generation.side}s-{key}")
    return np.asarray(cluster.result(task), dtype=np.float32)
