"""Compiling the kernels on every worker before the first epoch."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from daskals.cluster import Cluster
from daskals.kernels.warm_up import timed_warm_up


def compile_kernels(cluster: Cluster, rank: int, scale_size: int) -> float:
    """Compile on one worker of each machine, then on the others, which find the code in the cache.

    Parameters
    ----------
    cluster
        The workers.
    rank
        Number of factors.
    scale_size
        Number of distinct ratings, 0 for ratings stored as float32.

    Returns
    -------
    Longest time that a worker took.
    """
    first = cluster.first_of_hosts()
    others = [worker for worker in cluster.workers if worker not in first]
    return max(
        0.0, *_compile_on(cluster, first, rank, scale_size), *_compile_on(cluster, others, rank, scale_size)
    )


def _compile_on(cluster: Cluster, workers: Sequence[str], rank: int, scale_size: int) -> list[float]:
    token = uuid.uuid4().hex[:6]
    tasks = [
        cluster.submit(timed_warm_up, rank, scale_size, key=f"compile-{token}x-{number}", worker=worker)
        for number, worker in enumerate(workers)
    ]
    return [cluster.result(task) for task in tasks]
