"""Paper 1's compiled tiers at work, each at the best of its thread settings.

A parallel tier runs one epoch under each division of the threads between Numba and BLAS and keeps the
fastest. The paper's training and test RMSE passes run after every epoch, timed apart: `seconds` is that
of the updates alone, the figure that favours the tiers.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from daskals.bench import paper
from daskals.bench.clock import Laps
from daskals.bench.contract import Assignment, Outcome
from daskals.bench.data import BenchData, initial_factors
from daskals.bench.work import epoch_bytes
from daskals.types import SIDES, Float32, RatingsBlock, Side


@dataclass(frozen=True)
class Setting:
    """How the threads are shared out."""

    numba: int
    blas: int

    def __str__(self) -> str:
        return f"Numba {self.numba} x BLAS {self.blas}"


class CompiledTier:
    """The paper's model and one of its two compiled forms, both functions of it."""

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
        self._ratings = {side: data.side(side).ratings for side in SIDES}
        self._test_ratings = data.test.ratings
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
        self._half_step(indptr, indices, ones[:2], vectors, biases, vectors.copy(), biases.copy(), ones)
        self._squared_error(indptr, indices, ones[:2], (vectors, biases), (vectors, biases), 0.0)

    def epoch(self, setting: Setting) -> None:
        """Run the user half-step, then the item half-step."""
        with _threads(setting):
            for side in SIDES:
                self._solve(side)

    def _solve(self, side: Side) -> None:
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
    tier = CompiledTier(data, assignment, paper.half_step_sequential, paper.squared_error_sequential)
    return _run(tier, [Setting(1, 1)])


def run_parallel(data: BenchData, assignment: Assignment) -> Outcome:
    """Run `paper-jit-parallel` at the fastest of its thread settings."""
    tier = CompiledTier(data, assignment, paper.half_step_parallel, paper.squared_error_parallel)
    return _run(tier, thread_settings(assignment.threads))


def run_balanced(data: BenchData, assignment: Assignment) -> Outcome:
    """Run `paper-jit-balanced` at the fastest of its thread settings."""
    tier = CompiledTier(data, assignment, paper.half_step_balanced, paper.squared_error_parallel)
    return _run(tier, thread_settings(assignment.threads))


def thread_settings(threads: int) -> list[Setting]:
    """Return the settings that a parallel tier tries."""
    settings = [Setting(threads, 1)]
    if threads > 1 and _blas_is_controllable():
        settings += [Setting(1, threads), Setting(threads, threads)]
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
def _threads(setting: Setting) -> Iterator[None]:
    with paper.numba_threads(setting.numba), blas_threads(setting.blas):
        yield


def _blas_is_controllable() -> bool:
    return importlib.util.find_spec("threadpoolctl") is not None


def blas_threads(threads: int) -> AbstractContextManager[Any]:
    """Set BLAS's threads where they can be set; elsewhere they are one, by the environment."""
    if not _blas_is_controllable():
        return contextlib.nullcontext()
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(limits=threads, user_api="blas")
    return limits
