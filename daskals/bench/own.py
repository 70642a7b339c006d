"""daskals itself, at several heights: the bare kernel, the kernel's own threads, and through Dask."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor

import numpy as np

from daskals.bench.clock import Laps
from daskals.bench.contract import Assignment, NotApplicableError, Outcome
from daskals.bench.data import BenchData, initial_factors, slice_rows
from daskals.bench.memory import peak_memory_bytes
from daskals.bench.work import epoch_bytes
from daskals.cluster.connect import connect
from daskals.cluster.exchange import Gathered, Slab
from daskals.cluster.workers import Cluster
from daskals.config import MAX_RANK_WITH_FEATURES, ClusterConfig, TrainConfig
from daskals.fitting.chains import count_dates
from daskals.kernels.half_step.curvature import Curvature, side_curvature
from daskals.kernels.scoring.score import ErrorSums, score_block
from daskals.kernels.toolkit.layout import empty_rows, pack_rows, row_stride
from daskals.kernels.warm_up import timed_warm_up
from daskals.training.data.plan import plan_blocks
from daskals.training.features import resolve_model
from daskals.training.gibbs.sampler import GibbsSampler
from daskals.training.half_step import SolveSpec, solve_slab
from daskals.training.outcome import TrainedFactors
from daskals.training.scoring import error_figures, fold_errors
from daskals.training.trainer import Trainer
from daskals.types import SIDES, BlockStats, FactorRows, RatingsBlock, Side


def starting_rows(data: BenchData, side: Side, config: TrainConfig) -> FactorRows:
    """Return the initial factor rows of a side, shape (rows, stride), with biases of zero."""
    factors = initial_factors(data, side, config)
    return pack_rows(factors, np.zeros(len(factors), np.float32))


class KernelEpochs:
    """Epochs by the block solver alone, over the trainer's blocks; what Dask does without Dask."""

    def __init__(self, data: BenchData, config: TrainConfig, pool: Executor, inner_threads: int = 1) -> None:
        self.data, self.config = data, config
        self._pool, self._inner_threads = pool, inner_threads
        self.blocks: dict[Side, list[RatingsBlock]] = {side: self._cut(data.side(side)) for side in SIDES}
        self.rows: dict[Side, FactorRows] = {side: starting_rows(data, side, config) for side in SIDES}
        self.stats: dict[Side, BlockStats] = {}
        self.sse = 0.0
        self._curvature: Curvature | None = None

    def _cut(self, side: RatingsBlock) -> list[RatingsBlock]:
        config = self.config
        improved = config.taken_solver == "gradients"
        ranges = plan_blocks(np.diff(side.indptr), config.rank, improved=improved)
        return [slice_rows(side, *bounds) for bounds in ranges]

    def epoch(self) -> None:
        """Run the user half-step, then the item half-step."""
        for side in SIDES:
            self.half_step(side)

    def half_step(self, side: Side) -> None:
        """Solve all rows of one side and gather them."""
        other = self.rows[SIDES[side == "user"]]
        self._prepare(side, other)
        solved = list(self._pool.map(lambda block: self._solve(side, block, other), self.blocks[side]))
        rows = empty_rows(self.data.side(side).n_rows, self.config.rank)
        sse = penalty = 0.0
        for slab in solved:
            rows[slab.start : slab.start + len(slab.rows)] = slab.rows
            sse += slab.stats.sse
            penalty += slab.stats.penalty
        self.rows[side], self.stats[side], self.sse = rows, BlockStats(sse, penalty), sse

    @property
    def objective(self) -> float:
        """What an epoch leaves of the objective, relative to λ."""
        return self.sse + sum(stats.penalty for stats in self.stats.values())

    def _solve(self, side: Side, block: RatingsBlock, other: FactorRows) -> Slab:
        config, none = self.config, BlockStats(0.0, 0.0)
        spec = SolveSpec(
            config.rank, self.data.mean, config.ridge, config.taken_solver, 1.0, self._inner_threads
        )
        current = Gathered(self.rows[side], none) if spec.needs_current else None
        return solve_slab(block, Gathered(other, none), current, spec, curvature=self._curvature)

    def _prepare(self, _side: Side, other: FactorRows) -> None:
        """Sum what the rows of a half-step have in common."""
        config = self.config
        if config.taken_solver == "gradients":
            self._curvature = side_curvature(other, config.rank, config.ridge)

    def test_rmse(self) -> float:
        """Return the test RMSE, over the trainer's user blocks in their order."""
        tests = [
            slice_rows(self.data.test, block.start, block.start + block.n_rows)
            for block in self.blocks["user"]
        ]
        figures = error_figures(fold_errors(list(self._pool.map(self._score, tests))))
        return math.nan if figures is None else figures.rmse

    def _score(self, test: RatingsBlock) -> ErrorSums:
        return score_block(
            test,
            self.rows["user"][test.start : test.start + test.n_rows],
            self.rows["item"],
            rank=self.config.rank,
            mean=self.data.mean,
            limits=self.data.limits,
        )


def run_kernel(data: BenchData, assignment: Assignment) -> Outcome:
    """Run `daskals-kernel`: serial block solvers on a pool of threads."""
    with ThreadPoolExecutor(assignment.threads) as pool:
        return _run_epochs(KernelEpochs(data, assignment.config, pool), f"{assignment.threads} threads")


def run_numba_parallel(data: BenchData, assignment: Assignment) -> Outcome:
    """Run `daskals-numba-parallel`: one block after the other, Numba's threads inside each."""
    with ThreadPoolExecutor(1) as pool:
        epochs = KernelEpochs(data, assignment.config, pool, inner_threads=assignment.threads)
        return _run_epochs(epochs, f"{assignment.threads} Numba threads in a block")


def run_dask(data: BenchData, assignment: Assignment) -> Outcome:
    """Run `daskals-dask`: the trainer on a local cluster, as `jobs.train` runs it."""
    return _run_trainer(data, assignment)


def run_hierarchical(data: BenchData, assignment: Assignment) -> Outcome:
    """Run `daskals-hierarchical`: the trainer with the genre prior.

    Raises NotApplicableError if the ratings come without genres, or the rank is above what the prior takes.
    """
    _check_rank_with_features(assignment.config.rank)
    if not data.store.genres().names:
        raise NotApplicableError("the ratings come without genres")
    asked = assignment.config.model_copy(update={"model": "hierarchical"})
    config = resolve_model(data.store, asked)
    outcome = _run_trainer(data, dataclasses.replace(assignment, config=config))
    note = f"{outcome.note}; the prior's arithmetic is not counted in its GFLOP/s"
    return dataclasses.replace(outcome, note=note)


def run_days(data: BenchData, assignment: Assignment) -> Outcome:
    """Run `daskals-days`: as `daskals-hierarchical`, where there are genres, with a third side of days.

    Raises NotApplicableError if the ratings come without timestamps or are all of one day, or the rank is
    above what is solved jointly.
    """
    _check_rank_with_features(assignment.config.rank)
    if not count_dates(data.store, data.split):
        raise NotApplicableError("the ratings come without days")
    model = "hierarchical" if data.store.genres().names else "als"
    asked = assignment.config.model_copy(update={"model": model, "time_bins": "day"})
    config = resolve_model(data.store, asked)
    outcome = _run_trainer(data, dataclasses.replace(assignment, config=config))
    note = f"{outcome.note}; the work of days is not counted in its GFLOP/s"
    return dataclasses.replace(outcome, note=note)


def run_bayes(data: BenchData, assignment: Assignment) -> Outcome:
    """Run `daskals-bayes`: sweeps of the Gibbs sampler, with the genre prior where there are genres.

    Raises NotApplicableError if the rank is above what the sampler takes.
    """
    _check_rank_with_features(assignment.config.rank)
    sweeps = {"model": "bayes", "sweeps": assignment.config.epochs, "burn_in": 1, "keep_samples": 1}
    config = resolve_model(data.store, assignment.config.model_copy(update=sweeps | {"warm_start": 2}))

    def sample(cluster: Cluster) -> TrainedFactors:
        return GibbsSampler(cluster, data.store, data.split, config).run().trained

    outcome = _run_on_cluster(data, dataclasses.replace(assignment, config=config), sample)
    note = "its seconds are a sweep's; two epochs of ALS before them are not in the figures"
    return dataclasses.replace(outcome, test_rmse=None, note=note)


def _check_rank_with_features(rank: int) -> None:
    if rank > MAX_RANK_WITH_FEATURES:
        raise NotApplicableError(f"it takes ranks up to {MAX_RANK_WITH_FEATURES}")


def _run_trainer(data: BenchData, assignment: Assignment) -> Outcome:
    def train(cluster: Cluster) -> TrainedFactors:
        return Trainer(cluster, data.store, data.split, assignment.config).train()

    return _run_on_cluster(data, assignment, train)


def _run_on_cluster(
    data: BenchData, assignment: Assignment, train: Callable[[Cluster], TrainedFactors]
) -> Outcome:
    config, processes = assignment.config, assignment.processes
    threads = max(1, assignment.threads // processes)
    cluster_config = ClusterConfig(workers=processes, threads_per_worker=threads, dashboard_address=None)
    with connect(cluster_config) as cluster:
        started = time.perf_counter()
        trained = train(cluster)
        total = time.perf_counter() - started
        peak = peak_memory_bytes()
    seconds = [record.seconds for record in trained.history]
    figures = error_figures(trained.test)
    return Outcome(
        seconds=seconds,
        test_rmse=None if figures is None else figures.rmse,
        threads=f"{processes} x {threads} (workers x threads)",
        warm_up_seconds=trained.compile_seconds,
        setup_seconds=total - sum(seconds) - trained.compile_seconds,
        order=config.rank + 1,
        bytes_moved=_bytes_moved(data, config),
        peak_memory_bytes=peak,
        note="its RMSE is after the closing user half-step",
    )


def _run_epochs(epochs: KernelEpochs, threads: str) -> Outcome:
    data, config = epochs.data, epochs.config
    warm_up = timed_warm_up(config.rank, len(data.users.scale), solver=config.taken_solver)
    laps = Laps()
    for _ in range(config.epochs):
        laps.run(epochs.epoch)
    return Outcome(
        seconds=laps.seconds,
        cpu_seconds=laps.cpu_seconds,
        test_rmse=epochs.test_rmse(),
        threads=threads,
        warm_up_seconds=warm_up,
        order=config.rank + 1,
        bytes_moved=_bytes_moved(data, config),
        note="training RMSE and objective included",
        extra={"train_rmse": math.sqrt(max(epochs.sse, 0.0) / data.n_train)},
    )


def _bytes_moved(data: BenchData, config: TrainConfig) -> float:
    value_bytes = 1 if len(data.store.scale) else 4
    row_bytes = 4 * row_stride(config.rank)
    return epoch_bytes(data.n_train, data.n_rows, rating_bytes=4 + value_bytes, row_bytes=row_bytes)
