"""Elimination and draws of a block's rows at speed: batches of as many rows as a vector has lanes.

The formulas are those of `prior.eliminate` and `gibbs.draw`; the Gram matrices and the
factorisations are those of the plain half-step (`half_step.batches`). A row's numbers do not depend on
the rows beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from daskals.kernels.half_step.batches import (
    DIRECT_BELOW,
    LANES,
    Workspace,
    direct_sse_of_lane,
    gram_batch,
    make_workspace,
    weight_lanes,
)
from daskals.kernels.half_step.gram_tiles import tile_places
from daskals.kernels.half_step.lane_algebra import add_noise_interleaved, invert_interleaved
from daskals.kernels.half_step.rows import frozen, residual_table
from daskals.kernels.half_step.solve import Fit, fit_interleaved, solve_interleaved
from daskals.kernels.half_step.task import BAD_PIVOT, NOT_FINITE, OK, Outcome, Task
from daskals.kernels.toolkit.chain_normals import whole_groups
from daskals.kernels.toolkit.jit import exact_jit
from daskals.kernels.toolkit.lane_normals import draw_interleaved
from daskals.kernels.toolkit.layout import aligned_rows, empty_rows
from daskals.kernels.toolkit.simd import unowned
from daskals.kernels.toolkit.target import current_target
from daskals.types import FactorRows, Float32, Float64, Int64, RatingsBlock, Ridge


def make_task(
    block: RatingsBlock, other: FactorRows, rank: int, mean: float, ridge: Ridge, order: Int64 | None = None
) -> Task:
    """Return a block's equations with a prior mean of zero, for all rows or some in an order of their own."""
    return Task(
        indptr=frozen(block.indptr, np.int64),
        indices=frozen(block.indices, np.int32),
        values=frozen(block.values, np.uint8 if len(block.scale) else np.float32),
        table=residual_table(block.scale, mean),
        mean=np.float32(mean),
        places=frozen(tile_places(rank, current_target()), np.int64),
        other=frozen(aligned_rows(other, rank), np.float32),
        priors=frozen(np.empty((0, rank + 1)), np.float32),
        current=frozen(empty_rows(0, rank), np.float32),
        order=frozen(np.empty(0) if order is None else order, np.int64),
        parts=frozen(np.empty((0, 3)), np.int64),
        rank=rank,
        ridge_factors=float(ridge.factors),
        ridge_bias=float(ridge.bias),
        ridge_exponent=float(ridge.exponent),
    )


def make_outcome(task: Task, n_rows: int) -> Outcome:
    """Return room for what a kernel writes."""
    return Outcome(
        empty_rows(n_rows, task.rank),
        np.zeros((n_rows, 2)),
        np.zeros(n_rows, dtype=np.int64),
        np.empty((0, len(task.places)), np.float32),
    )


@exact_jit
def _ridge_systems(work: Workspace, size: int) -> None:
    """Form S + T and v, and set the prior means to zero."""
    for k in range(len(work.systems)):
        work.systems[k] = work.grams[k]
    for k in range(size):
        diagonal = (k * (k + 1) // 2 + k) * LANES
        for lane in range(LANES):
            work.systems[diagonal + lane] += work.weights[k * LANES + lane]
            work.priors[k * LANES + lane] = np.float32(0.0)


@exact_jit
def _status(fit: Fit, work: Workspace, lane: int) -> int:
    if not np.isfinite(fit.trace[lane]):
        return NOT_FINITE
    if work.positive[lane] == 0:
        return BAD_PIVOT
    return OK if np.isfinite(fit.sse[lane]) else NOT_FINITE


@lru_cache
def elimination_kernel(rank: int) -> Callable[[Task, Outcome, Float32, Float32, Float64, Float64], None]:
    """Return the kernel behind `eliminate_rows`, made for a rank.

    It takes the task with the order of its rows, the outcome, the inverses in that order, and x⁰, J⁰ and the
    weights of all rows.
    """
    size = rank + 1
    sum_batch = gram_batch(rank)

    @exact_jit
    def keep(
        task: Task,
        work: Workspace,
        fit: Fit,
        first: int,
        count: int,
        outcome: Outcome,
        x0: Float32,
        inverse: Float32,
        objective: Float64,
        weights: Float64,
    ) -> None:
        for lane in range(LANES):
            row = task.order[first + lane] if lane < count else 0
            if lane >= count or outcome.status[row] != OK:
                inverse[:, lane] = np.float32(0.0)
                continue
            outcome.status[row] = _status(fit, work, lane)
            sse = fit.sse[lane]
            if sse < DIRECT_BELOW * fit.squares[lane]:
                sse = direct_sse_of_lane(task, task.indptr[row], task.indptr[row + 1], work.x, lane)
            objective[row] = sse + fit.penalty[lane]
            weights[row, 0] = work.weights[lane]
            weights[row, 1] = work.weights[rank * LANES + lane]
            for k in range(size):
                x0[row, k] = work.x[k * LANES + lane]

    @exact_jit
    def eliminate_block(
        task: Task, outcome: Outcome, x0: Float32, inverse: Float32, objective: Float64, weights: Float64
    ) -> None:
        memory = make_workspace(rank, len(task.places))
        fitted = Fit(np.empty(LANES), np.empty(LANES), np.empty(LANES), np.empty(LANES))
        work, fit = unowned(memory), unowned(fitted)
        for first in range(0, len(task.order), LANES):
            count = min(LANES, len(task.order) - first)
            sum_batch(unowned(task), work, first, count, unowned(outcome))
            weight_lanes(task, first, count, work.weights)
            _ridge_systems(work, size)
            solve_interleaved(work.systems, work.x, work.positive, size)
            fit_interleaved(work.grams, work.x, work.weights, work.priors, fit, size)
            batch = inverse[first // LANES]
            invert_interleaved(work.systems, batch, size)
            keep(task, work, fit, first, count, outcome, x0, batch, objective, weights)
        memory.positive[0] = 0  # memory is alive until here
        fitted.sse[0] = 0.0

    return eliminate_block


@exact_jit
def _posterior_systems(work: Workspace, size: int, alpha: float, precision: Float32) -> None:
    """Form αS + Λ and αv + Λm; the priors hold m."""
    scale = np.float32(alpha)
    right = size * (size + 1) // 2
    for a in range(size):
        for b in range(a + 1):
            entry = a * (a + 1) // 2 + b
            value = precision[a, b]
            for lane in range(LANES):
                at = entry * LANES + lane
                work.systems[at] = scale * work.grams[at] + value
        for lane in range(LANES):
            at = (right + a) * LANES + lane
            work.systems[at] = scale * work.grams[at] + work.priors[a * LANES + lane]


@exact_jit
def _lay_out(work: Workspace, pulls: Float32, first: int, count: int) -> None:
    """Lay Λm side by side in place of the priors, and set the weights to zero."""
    size = pulls.shape[1]
    for k in range(size * LANES):
        work.priors[k] = np.float32(0.0)
        work.weights[k] = np.float32(0.0)
    for lane in range(count):
        for k in range(size):
            work.priors[k * LANES + lane] = pulls[first + lane, k]


@exact_jit
def _keep_drawn(rank: int, work: Workspace, fit: Fit, first: int, count: int, outcome: Outcome) -> None:
    for lane in range(count):
        row = first + lane
        for k in range(rank):
            outcome.rows[row, k] = work.x[k * LANES + lane]
        outcome.rows[row, rank + 1] = work.x[rank * LANES + lane]
        if outcome.status[row] == OK:
            outcome.status[row] = _status(fit, work, lane)
            outcome.stats[row, 0] = fit.sse[lane]


@lru_cache
def draw_kernel(
    rank: int,
) -> Callable[[Task, Outcome, float, Float32, Float32, np.uint64, int, int], None]:
    """Return the kernel behind `draw_rows`, made for a rank.

    It takes the task, the outcome, α, Λ, Λm of all rows, the random numbers' key and the sweep (negative for
    no noise), and the block's first row.
    """
    size = rank + 1
    sum_batch = gram_batch(rank)

    @exact_jit
    def draw_block(
        task: Task,
        outcome: Outcome,
        alpha: float,
        precision: Float32,
        pulls: Float32,
        key: np.uint64,
        sweep: int,
        start: int,
    ) -> None:
        memory = make_workspace(rank, len(task.places))
        fitted = Fit(np.empty(LANES), np.empty(LANES), np.empty(LANES), np.empty(LANES))
        work, fit = unowned(memory), unowned(fitted)
        noise = np.empty(whole_groups(size) * LANES, np.float32)
        for first in range(0, len(pulls), LANES):
            count = min(LANES, len(pulls) - first)
            sum_batch(unowned(task), work, first, count, unowned(outcome))
            _lay_out(work, pulls, first, count)
            _posterior_systems(work, size, alpha, precision)
            solve_interleaved(work.systems, work.x, work.positive, size)
            if sweep >= 0:
                draw_interleaved(noise, key, start + first, sweep)
                add_noise_interleaved(work.systems, noise, work.x, size)
            fit_interleaved(work.grams, work.x, work.weights, work.priors, fit, size)
            _keep_drawn(rank, work, fit, first, count, outcome)
        memory.positive[0] = 0  # memory is alive until here
        fitted.sse[0] = 0.0

    return draw_block
