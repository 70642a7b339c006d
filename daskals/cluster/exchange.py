"""How factors reach the workers: as results of tasks, from worker to worker.

A generation is one side's factors after one half-step: a slab a block, gathered on every worker
that blocks live on into the rows that the other side's blocks read. Each worker fetches what it does not
hold, once. Nothing passes through the client, and nothing is scattered but a state that the client keeps:
scattered data cannot be recomputed when the worker that holds them dies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from daskals.cluster.workers import Cluster, Task
from daskals.kernels.toolkit.layout import aligned_empty
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
    """One side's factors on the cluster.

    Attributes
    ----------
    side, slabs
        Whose; a task for each slab, in block order.
    replicas, stats
        The gathered rows, by the worker that they were gathered for; the sums of the statistics.
    prior
        W of the side's features, where it has some.
    """

    side: Side
    slabs: tuple[Task, ...]
    replicas: dict[str, Task]
    stats: Task
    prior: Task | None = None

    @property
    def gathered(self) -> Task:
        """The gathered rows, wherever they are."""
        return next(iter(self.replicas.values()))

    def near(self, worker: str) -> Task:
        """Return the gathered rows of a worker, or any where it has none."""
        return self.replicas.get(worker) or self.gathered


class Factors(NamedTuple):
    """Both sides' factors on the cluster."""

    users: Generation
    items: Generation


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
    """Return the factor rows alone, float32, shape (rows, rank + 2)."""
    return gathered.rows


def gather(cluster: Cluster, side: Side, slabs: Sequence[Task], key: str) -> Generation:
    """Gather the slabs of one half-step on every worker that blocks live on."""
    replicas = {
        worker: cluster.submit(gather_slabs, list(slabs), key=f"gather-{side}s-{key}-{number}", worker=worker)
        for number, worker in enumerate(cluster.homes)
    }
    stats = cluster.submit(read_stats, next(iter(replicas.values())), key=f"reduce-{side}s-{key}")
    return Generation(side, tuple(slabs), replicas, stats)


def scatter_rows(
    cluster: Cluster, side: Side, starts: Sequence[int], rows: FactorRows, key: str
) -> Generation:
    """Hand rows that this process holds to the cluster, cut into blocks.

    Parameters
    ----------
    cluster, side
        Where the rows go, and whose they are.
    starts, rows
        First row of each block; float32, shape (rows, rank + 2).
    key
        Tells tasks apart.
    """
    stops = [*starts[1:], len(rows)]
    nothing = BlockStats(0.0, 0.0)
    slabs = [Slab(start, rows[start:stop], nothing) for start, stop in zip(starts, stops, strict=True)]
    return gather(cluster, side, cluster.scatter(slabs), f"{key}-restored")


def fetch_rows(cluster: Cluster, generation: Generation, key: str) -> FactorRows:
    """Bring a generation's factor rows to this process, float32, shape (rows, rank + 2)."""
    task = cluster.submit(read_rows, generation.gathered, key=f"fetch-{generation.side}s-{key}")
    return np.asarray(cluster.result(task), dtype=np.float32)
