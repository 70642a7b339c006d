"""Paper 1's two compiled tiers (section 4.6.3-4.6.4, Table 2), rebuilt from Algorithm 1 at their best.

A row's factor vectors are gathered into a buffer, its bias follows from Eq. 8, its Gram is one BLAS
product, and its vector one LAPACK solve (Eq. 7), in float32 under `fastmath`, as the paper has it. The
gather, the residuals and the bias's sum share one loop, which is faster than the array expressions of
Algorithm 1. Rows are dealt out in `chunks` interleaved piles: Numba gives each thread an equal share of
the loop, and where popular rows come first, consecutive shares would leave a thread waiting.

The parallel tier runs one epoch under each of several divisions of the threads between Numba and BLAS and
reports the fastest. The paper's training and test RMSE passes run after every epoch, timed apart: `seconds`
is that of the updates alone, the figure that favours the tier.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import numba
import numpy as np

from daskals.bench.clock import Laps
from daskals.bench.contract import Assignment, Outcome
from daskals.bench.data import BenchData, initial_factors, ratings_of
from daskals.bench.work import epoch_bytes
from daskals.types import SIDES, Float32, Int32, Int64, RatingsBlock, Side

PILES = 64
"""Interleaved piles of rows: enough to even out the threads, few enough to keep a pile's loop long."""


def _half_step(
    indptr: Int64,
    indices: Int32,
    ratings: Float32,
    vectors: Float32,
    biases: Float32,
    other_vectors: Float32,
    other_biases: Float32,
    weights: Float32,
    chunks: int,
) -> None:
    n_rows, rank = vectors.shape
    mean, lam, gamma, tau = weights[0], weights[1], weights[2], weights[3]
    ridge = tau * np.eye(rank).astype(np.float32)
    for chunk in numba.prange(chunks):
        for row in range(chunk, n_rows, chunks):
            start = indptr[row]
            n = indptr[row + 1] - start
            if n == 0:
                continue
            vector = vectors[row]
            gathered = np.empty((n, rank), np.float32)
            residuals = np.empty(n, np.float32)
            total = np.float32(0.0)
            for j in range(n):
                other = indices[start + j]
                dot = np.float32(0.0)
                for k in range(rank):
                    gathered[j, k] = other_vectors[other, k]
                    dot += other_vectors[other, k] * vector[k]
                residuals[j] = ratings[start + j] - mean - other_biases[other]
                total += residuals[j] - dot
            bias = lam * total / (lam * np.float32(n) + gamma)
            biases[row] = bias
            for j in range(n):
                residuals[j] -= bias
            matrix = lam * np.dot(gathered.T, gathered) + ridge
            vectors[row] = np.linalg.solve(matrix, lam * np.dot(gathered.T, residuals))


def _squared_error(
    indptr: Int64,
    indices: Int32,
    ratings: Float32,
    users: tuple[Float32, Float32],
    items: tuple[Float32, Float32],
    mean: float,
) -> float:
    total = 0.0
    for row in numba.prange(len(indptr) - 1):
        partial = 0.0
        for j in range(indptr[row], indptr[row + 1]):
            item = indices[j]
            dot = np.float32(0.0)
            for k in range(users[0].shape[1]):
                dot += users[0][row, k] * items[0][item, k]
            error = ratings[j] - mean - users[1][row] - items[1][item] - dot
            partial += error * error
        total += partial
    return total


def _compiled(function: Callable[..., Any], name: str, *, parallel: bool) -> Callable[..., Any]:
    """Compile one of two forms of a function, under a name of its own: the disk cache tells by name only."""
    copy = FunctionType(function.__code__, function.__globals__, name)
    copy.__qualname__ = name
    # the paper's flags, not ours: under `fastmath` a NaN may pass unseen
    compiled: Callable[..., Any] = numba.njit(parallel=parallel, fastmath=True, cache=True)(copy)
    return compiled


half_step_sequential = _compiled(_half_step, "half_step_sequential", parallel=False)
half_step_parallel = _compiled(_half_step, "half_step_parallel", parallel=True)
squared_error_sequential = _compiled(_squared_error, "squared_error_sequential", parallel=False)
squared_error_parallel = _compiled(_squared_error, "squared_error_parallel", parallel=True)


@dataclass(frozen=True)
class Setting:
    """How the threads are shared out."""

    numba: int
    blas: int
    interleaved: bool

    def __str__(self) -> str:
        piles = f", {PILES} interleaved piles" if self.interleaved else ""
        return f"Numba {self.numba} x BLAS {self.blas}{piles}"


class CompiledTier:
    """The paper's model and one of its two compiled forms.

    Parameters
    ----------
    data
        The ratings.
    assignment
        Rank, regularisation and seed.
    half_step, squared_error
        The compiled functions.
    """

    def __init__(
        self,
        data: BenchData,
        assignment: Assignment,
        half_step: Callable[..., None],
        squared_error: Callable[..., float],
    ) -> None:
        config = assignment.config
        self.data, self.config = data, config
        self._half_step, self._squared_error = half_step, squared_error
        self._weights = np.array([data.mean, config.lambda_, config.gamma, config.tau], np.float32)
        self._ratings = {side: ratings_of(data.side(side)) for side in SIDES}
        self._test_ratings = ratings_of(data.test)
        self.reset()

    def reset(self) -> None:
        """Go back to the initial factors."""
        self.vectors = {side: initial_factors(self.data, side, self.config) for side in SIDES}
        self.biases = {side: np.zeros(self.data.side(side).n_rows, np.float32) for side in SIDES}

    def compile(self) -> None:
        """Compile on two ratings."""
        rank = self.config.rank
        indptr, indices = np.array([0, 1, 2]), np.array([0, 1], np.int32)
        vectors, biases = np.ones((2, rank), np.float32), np.zeros(2, np.float32)
        ones = np.ones(4, np.float32)
        self._half_step(indptr, indices, ones[:2], vectors, biases, vectors.copy(), biases.copy(), ones, 2)
        self._squared_error(indptr, indices, ones[:2], (vectors, biases), (vectors, biases), 0.0)

    def epoch(self, setting: Setting) -> None:
        """Run the user half-step, then the item half-step."""
        with _threads(setting):
            for side in SIDES:
                self._solve(side, setting)

    def _solve(self, side: Side, setting: Setting) -> None:
        block, other = self.data.side(side), SIDES[side == "user"]
        self._half_step(
            block.indptr,
            block.indices,
            self._ratings[side],
            self.vectors[side],
            self.biases[side],
            self.vectors[other],
            self.biases[other],
            self._weights,
            PILES if setting.interleaved else block.n_rows,
        )

    def train_rmse(self, setting: Setting) -> float:
        """Return the training RMSE by a pass over the training ratings."""
        with _threads(setting):
            return self._rmse(self.data.users, self._ratings["user"])

    def test_rmse(self, setting: Setting) -> float:
        """Return the test RMSE by a pass over the test ratings."""
        with _threads(setting):
            return self._rmse(self.data.test, self._test_ratings)

    def _rmse(self, block: RatingsBlock, ratings: Float32) -> float:
        factors = [(self.vectors[side], self.biases[side]) for side in SIDES]
        total = self._squared_error(block.indptr, block.indices, ratings, *factors, self.data.mean)
        return float(np.sqrt(total / len(ratings)))


def run_sequential(data: BenchData, assignment: Assignment) -> Outcome:
    """Run `paper-jit-sequential`."""
    tier = CompiledTier(data, assignment, half_step_sequential, squared_error_sequential)
    return _run(tier, [Setting(1, 1, interleaved=False)])


def run_parallel(data: BenchData, assignment: Assignment) -> Outcome:
    """Run `paper-jit-parallel` at the fastest of its thread settings."""
    tier = CompiledTier(data, assignment, half_step_parallel, squared_error_parallel)
    return _run(tier, thread_settings(assignment.threads))


def thread_settings(threads: int) -> list[Setting]:
    """Return the settings that the parallel tier tries."""
    settings = [Setting(threads, 1, interleaved=True), Setting(threads, 1, interleaved=False)]
    if threads > 1 and _blas_is_controllable():
        settings += [Setting(1, threads, interleaved=True), Setting(threads, threads, interleaved=True)]
    return settings


def _fastest(tier: CompiledTier, settings: list[Setting]) -> tuple[Setting, dict[str, float]]:
    """Run an epoch under each setting, from the initial factors on; return the fastest and all seconds."""
    tier.epoch(settings[0])  # the first touches all memory
    laps = Laps()
    for setting in settings:
        laps.run(functools.partial(tier.epoch, setting))
    tier.reset()
    best = settings[int(np.argmin(laps.seconds))]
    return best, {str(setting): lap for setting, lap in zip(settings, laps.seconds, strict=True)}


def _run(tier: CompiledTier, settings: list[Setting]) -> Outcome:
    started = time.perf_counter()
    tier.compile()
    warm_up = time.perf_counter() - started
    best, tried = _fastest(tier, settings)
    laps, metric_laps = Laps(), Laps()
    for _ in range(tier.config.epochs):
        laps.run(lambda: tier.epoch(best))
        metric_laps.run(lambda: (tier.train_rmse(best), tier.test_rmse(best)))
    data, rank = tier.data, tier.config.rank
    metrics = float(np.median(metric_laps.seconds))
    extra: dict[str, Any] = {
        "train_rmse": tier.train_rmse(best),
        "rmse_seconds": metrics,
        "settings_tried": tried,
    }
    return Outcome(
        seconds=laps.seconds,
        cpu_seconds=laps.cpu_seconds,
        test_rmse=tier.test_rmse(best),
        threads=str(best),
        warm_up_seconds=warm_up,
        order=rank,
        bytes_moved=epoch_bytes(
            data.n_train, data.n_rows, rating_bytes=8, row_bytes=4 * (rank + 1), copies=4
        ),
        note=f"without the paper's RMSE passes, {metrics:.2f} s more an epoch",
        extra=extra,
    )


@contextlib.contextmanager
def _numba_threads(threads: int) -> Iterator[None]:
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    try:
        yield
    finally:
        numba.set_num_threads(before)


@contextlib.contextmanager
def _threads(setting: Setting) -> Iterator[None]:
    with _numba_threads(setting.numba), _blas_threads(setting.blas):
        yield


def _blas_is_controllable() -> bool:
    try:
        import threadpoolctl  # noqa: F401
    except ImportError:
        return False
    return True


def _blas_threads(threads: int) -> AbstractContextManager[Any]:
    """Set BLAS's threads where they can be set; elsewhere they are one, by the environment."""
    if not _blas_is_controllable():
        return contextlib.nullcontext()
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(limits=threads, user_api="blas")
    return limits
