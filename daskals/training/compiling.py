"""Compiling the kernels on every worker before the first epoch."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from functools import partial

from daskals.cluster.workers import Cluster
from daskals.kernels.warm_up import timed_warm_up


def compile_kernels(cluster: Cluster, rank: int, scale_size: int, *, features: bool) -> float:
    """Compile on one worker of each machine, then on the others, which find the code in the cache.

    Parameters
    ----------
    cluster
        The workers.
    rank
        Number of factors.
    scale_size
        Number of distinct ratings, 0 for ratings stored as float32.
    features
        Whether a side's rows are drawn to what is known of them.

    Returns
    -------
    Longest time that a worker took.
    """
    first = cluster.first_of_hosts()
    others = [worker for worker in cluster.workers if worker not in first]
    warm_up = partial(timed_warm_up, rank, scale_size, features=features)
    return max(0.0, *_compile_on(cluster, first, warm_up), *_compile_on(cluster, others, warm_up))


def _compile_on(cluster: Cluster, workers: Sequence[str], warm_up: Callable[[], float]) -> list[float]:
    token = uuid.uuid4().hex[:6]
    tasks = [
        cluster.submit(warm_up, key=f"compile-{token}x-{number}", worker=worker)
        for number, worker in enumerate(workers)
    ]
    return [cluster.result(task) for task in tasks]
