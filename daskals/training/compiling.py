"""Before the first epoch: workers that do not fit are refused, and kernels are compiled on every worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from daskals.cluster.exchange import Gathered
from daskals.cluster.workers import Cluster
from daskals.errors import ClusterError
from daskals.kernels.gibbs.censored import Ends
from daskals.kernels.gibbs.moments import Moments
from daskals.kernels.gibbs.weights import decomposed_rows, for_gradients
from daskals.kernels.prior.features import FeatureRows, feature_gram
from daskals.kernels.toolkit.layout import empty_rows
from daskals.kernels.toolkit.random import fill_normals
from daskals.kernels.warm_up import timed_implicit_warm_up, timed_warm_up
from daskals.training.events import Callback, PhaseStarted
from daskals.training.gibbs.posterior import Hyperprior, SidePrior
from daskals.training.gibbs.rows import SweepSpec, draw_slab, tally_block
from daskals.training.gibbs.sweep import next_prior_of_many
from daskals.training.gibbs.weights import decompose_gram, has_many
from daskals.training.loop import new_key
from daskals.training.problem import Problem
from daskals.types import NARROW_ROWS, BlockStats, RatingsBlock


def prepare_workers(problem: Problem, threads: int, tell: Callback, *, ends: Ends | None = None) -> float:
    """Check every worker and compile what training takes; return the longest time that one took.

    `ends` are those of the rating scale, where a chain cuts ratings off there. Raises ClusterError if a
    worker does not fit.
    """
    tell(PhaseStarted("compile"))
    cluster, config = problem.cluster, problem.config
    cluster.preflight(problem.store.path)
    if threads > 1:
        _require_one_thread(cluster)
    scale_size, wide = len(problem.store.scale), problem.store.n_items > NARROW_ROWS
    warm_up: Callable[[], float] = partial(
        timed_warm_up,
        config.effective_rank,
        scale_size,
        features=bool(problem.features),
        weighted=problem.weighing is not None,
        timed=problem.timing is not None,
        wide=wide,
        solver=config.taken_solver,
    )
    if config.model == "ials":
        warm_up = partial(
            timed_implicit_warm_up,
            config.rank,
            scale_size,
            solver=config.taken_solver,
            features=bool(problem.features),
        )
    if config.model == "bayes":
        many = any(has_many(spec) for spec in problem.features.values())
        warm_up = partial(
            warm_up_sampler,
            config.rank,
            scale_size,
            ends,
            features=bool(problem.features),
            many=many,
            weighted=problem.weighing is not None,
            timed=problem.timing is not None,
            wide=wide,
        )
    return cluster.repeated(lambda: _compile(cluster, warm_up))


def _compile(cluster: Cluster, warm_up: Callable[[], float]) -> float:
    """Warm up on one worker of each machine first; the others find the code in the cache."""
    hosts = {facts["host"]: worker for worker, facts in cluster.facts().items()}
    first = list(hosts.values())
    others = [worker for worker in cluster.workers if worker not in first]
    return max([0.0, *_run_on(cluster, first, warm_up), *_run_on(cluster, others, warm_up)])


def _require_one_thread(cluster: Cluster) -> None:
    for worker, threads in cluster.workers.items():
        if threads > 1:
            raise ClusterError(
                f"{threads} Dask threads",
                where=worker,
                expected="one, for --numba-threads",
                remedy="Start workers with `--nthreads 1`, or leave --numba-threads out",
            )


def _run_on(cluster: Cluster, workers: Sequence[str], warm_up: Callable[[], float]) -> list[float]:
    token = new_key()
    tasks = [
        cluster.submit(warm_up, key=f"compile-{token}-{number}", worker=worker)
        for number, worker in enumerate(workers)
    ]
    return [cluster.result(task) for task in tasks]


def warm_up_sampler(
    rank: int,
    scale_size: int,
    ends: Ends | None,
    *,
    features: bool,
    many: bool = False,
    weighted: bool = False,
    timed: bool = False,
    wide: bool = False,
) -> float:
    """Draw a row as a sweep does, and predict it; return the seconds it took. See `timed_warm_up`.

    Parameters
    ----------
    rank, scale_size
        As for `timed_warm_up`.
    ends
        Of the rating scale, where ratings are cut off there.
    features, many, weighted, timed, wide
        Whether rows have features, whether some have many, whether ratings weigh, whether there is a third
        side, and whether one of three has more rows than `NARROW_ROWS`.
    """
    started = time.perf_counter()
    coded = scale_size > 0
    block = RatingsBlock(
        start=0,
        indptr=np.array([0, 1]),
        indices=np.array([0], np.int32),
        values=np.zeros(1, np.uint8) if coded else np.ones(1, np.float32),
        scale=np.ones(1, np.float32) if coded else np.empty(0, np.float32),
        weights=np.ones(1, np.float32) if weighted else None,
        thirds=np.zeros(1, np.int32),
    )
    other = empty_rows(1, rank)
    other[:, :rank] = fill_normals(0, 0, 0, 1, rank)
    items = Gathered(other, BlockStats(0.0, 0.0))
    known = None
    if features:
        known = FeatureRows(
            np.array([0, 1]), np.zeros(1, np.int32), np.ones(1, np.float32), 1, np.zeros(1, np.int64)
        )
        feature_gram(known, np.ones(1, np.int64))
    weights = np.zeros((int(features), rank + 1))
    prior = SidePrior(np.zeros(rank + 1), np.eye(rank + 1), weights, 1.0)
    spec = SweepSpec(rank, 0.0, 0, 0, Hyperprior(), ends)
    drawn = Gathered(*draw_slab(block, known, items, prior, 1.0, "user", spec, None)[1:])
    drawn = Gathered(*draw_slab(block, known, items, prior, 1.0, "user", spec, drawn)[1:])
    tally_block(0, block, [], drawn, items, spec)
    if timed:
        draw_slab(block, known, items, prior, 1.0, "user", spec, None, items)
        if wide:
            many_rows = Gathered(empty_rows(NARROW_ROWS + 1, rank), BlockStats(0.0, 0.0))
            draw_slab(block, known, items, prior, 1.0, "user", spec, None, many_rows)
        tally_block(0, block, [], drawn, items, spec, items, prior)
    if many:
        _warm_up_weights(spec)
    return time.perf_counter() - started


def _warm_up_weights(spec: SweepSpec) -> None:
    """Draw W of many features every way that it is drawn."""
    n, size = 3, spec.rank + 1
    values = np.ones(n, np.float32)
    each = FeatureRows(np.arange(n + 1), np.arange(n, dtype=np.int32), values, n, np.empty(0, np.int64))
    rows = Gathered(empty_rows(n, spec.rank), BlockStats(0.0, 0.0))
    moments = Moments(n, np.zeros(size), np.eye(size), np.zeros((n, size)), np.zeros(n))
    prior = SidePrior(np.zeros(size), np.eye(size), np.zeros((n, size)), 1.0)
    next_prior_of_many(moments, prior, decompose_gram(np.eye(n)), None, "user", spec)
    for system in (decomposed_rows(each), for_gradients(each)):
        next_prior_of_many(moments, prior, system, rows, "user", spec)
