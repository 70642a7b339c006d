"""Half-step of a block whose ratings have weights, at speed; the formulas are those of `half_step.weighted`.

A copy of `half_step.solve_batches` in outline and not an option of it: what has no weights pays nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from daskals.kernels.half_step.batch import (
    DIRECT_BELOW,
    LANES,
    SEGMENT_RATINGS,
    Workspace,
    add_tiles,
    copy_systems,
    indices_in_range,
    joined_sse,
    make_fit,
    make_workspace,
    prior_lanes,
    row_at,
    row_status,
    set_tiles,
)
from daskals.kernels.half_step.block import BlockInput, BlockOutput
from daskals.kernels.half_step.cholesky import solve_interleaved
from daskals.kernels.half_step.fit import Fit, fit_interleaved
from daskals.kernels.half_step.gram import interleave_grams, weighted_row_gram
from daskals.kernels.half_step.gram_tiles import plan_tiles
from daskals.kernels.half_step.status import BAD_INDEX, OK
from daskals.kernels.toolkit.jit import exact_jit
from daskals.kernels.toolkit.simd import unowned
from daskals.kernels.toolkit.target import current_target
from daskals.types import Float32, Float64


class WeightedInput(NamedTuple):
    """What a block's rows have beside a `BlockInput`.

    Attributes
    ----------
    roots
        float32, shape (ratings,): √w of each rating.
    counts
        float64, shape (rows,): what a row's ridge takes for its number of ratings.
    shared
        float32, packed lower triangle of the matrix added to every row's Σ w·qqᵀ; empty for none.
    """

    roots: Float32
    counts: Float64
    shared: Float32


@exact_jit
def weighted_lanes(block: BlockInput, counts: Float64, first: int, count: int, weights: Float32) -> None:
    """Lay the batch's ridge weights side by side, as `batch.weight_lanes` does; 1 without ratings.

    Parameters
    ----------
    block
        The block.
    counts
        float64, shape (rows,): what a row's ridge takes for its number of ratings.
    first, count
        The place of the batch's first row, and how many rows it has.
    weights
        float32, shape ((rank + 1)·LANES,): receives them.
    """
    for lane in range(LANES):
        row = row_at(block, first + lane) if lane < count else 0
        rated = lane < count and block.indptr[row + 1] > block.indptr[row]
        strength = counts[row] ** block.ridge_exponent if rated else 1.0
        for k in range(block.rank + 1):
            ridge = block.ridge_factors if k < block.rank else block.ridge_bias
            weights[k * LANES + lane] = np.float32(strength * ridge if rated else 1.0)


@exact_jit
def _form_systems(work: Workspace, shared: Float32, size: int, rank: int) -> None:
    """Form (S + A + wT) x = v + wTm, A the shared matrix, for `size` unknowns: with the bias or without."""
    copy_systems(work)
    if size == rank:  # the right side of the factors alone lies a row further down in the Gram matrix
        ones, y = rank * (rank + 1) // 2, (rank + 1) * (rank + 2) // 2
        for k in range(rank * LANES):
            work.systems[ones * LANES + k] = work.grams[y * LANES + k]
    for entry in range(len(shared)):
        value = shared[entry]
        for lane in range(LANES):
            work.systems[entry * LANES + lane] += value
    right = size * (size + 1) // 2
    for k in range(size):
        diagonal = (k * (k + 1) // 2 + k) * LANES
        for lane in range(LANES):
            weight = work.weights[k * LANES + lane]
            work.systems[diagonal + lane] += weight
            work.systems[(right + k) * LANES + lane] += weight * work.priors[k * LANES + lane]


@exact_jit
def shared_products(shared: Float32, x: Float32, rank: int, sums: Float64, products: Float64) -> None:
    """Write xᵀAx of every lane's factors into `products`.

    Parameters
    ----------
    shared
        A, packed, float32, shape (rank(rank + 1)/2,); empty for none.
    x
        Factors and bias of the batch's rows, float32, shape ((rank + 1)·LANES,).
    rank
        Number of factors.
    sums, products
        float64, shape (LANES,): scratch memory, and what receives the products.
    """
    for lane in range(LANES):
        products[lane] = 0.0
    if len(shared) == 0:
        return
    for a in range(rank):
        for lane in range(LANES):
            sums[lane] = 0.0
        for b in range(a):
            value = np.float64(shared[a * (a + 1) // 2 + b])
            for lane in range(LANES):
                sums[lane] += value * x[b * LANES + lane]
        diagonal = np.float64(shared[a * (a + 1) // 2 + a])
        for lane in range(LANES):
            own = np.float64(x[a * LANES + lane])
            products[lane] += own * (2.0 * sums[lane] + diagonal * own)


@exact_jit
def weighted_direct_sse(block: BlockInput, roots: Float32, row: int, x: Float32, lane: int) -> float:
    """Return Σ w(y − xᵀz)² rating by rating, for rows that are fitted almost exactly.

    Parameters
    ----------
    block, roots
        The block, and √w of its ratings, float32, shape (ratings,).
    row
        The row.
    x, lane
        Solutions of the batch, shape ((rank + 1)·LANES,); the row's number in the batch.
    """
    rank = block.rank
    coded = len(block.table) > 0
    sse = 0.0
    for j in range(block.indptr[row], block.indptr[row + 1]):
        other = block.other[block.indices[j]]
        rating = block.table[np.uint8(block.values[j])] if coded else block.values[j] - block.mean
        error = np.float64(rating) - other[rank + 1]
        for k in range(rank + 1):
            error -= np.float64(x[k * LANES + lane]) * other[k]
        root = np.float64(roots[j])
        sse += root * root * error * error
    return sse


@lru_cache
def _finishing(
    rank: int, sides: int
) -> Callable[[BlockInput, Float32, Workspace, Fit, int, int, BlockOutput], None]:
    """Return the kernel that takes a batch's solutions apart into factor rows, and judges each."""
    sum_joined = joined_sse(rank)

    @exact_jit
    def finish(
        block: BlockInput,
        roots: Float32,
        work: Workspace,
        fit: Fit,
        first: int,
        count: int,
        output: BlockOutput,
    ) -> None:
        indptr, status = block.indptr, output.status
        for lane in range(count):
            row = first + lane
            rated = indptr[row + 1] > indptr[row]
            source = work.x if rated else work.priors
            for k in range(rank):
                output.rows[row, k] = source[k * LANES + lane]
            output.rows[row, rank + 1] = source[rank * LANES + lane]
            if status[row] != OK or not rated:
                continue
            sse = fit.sse[lane]
            if sse < DIRECT_BELOW * fit.squares[lane]:
                if sides == 3:
                    sse = sum_joined(block, roots, indptr[row], indptr[row + 1], work.x, lane)
                else:
                    sse = weighted_direct_sse(block, roots, row, work.x, lane)
            output.stats[row, 0] = sse
            output.stats[row, 1] = fit.penalty[lane]
            status[row] = row_status(fit.trace[lane], work.positive[lane], sse + fit.penalty[lane])

    return finish


@lru_cache
def weighted_gram_batch(
    rank: int, sides: int = 2
) -> Callable[[BlockInput, Float32, Workspace, int, int, BlockOutput], None]:
    """Return the kernel that forms the packed matrices Σ w·zzᵀ of a batch, as `batch.gram_batch` does.

    Beside what that takes, it takes √w of the ratings.
    """
    tile_floats = len(plan_tiles(rank, current_target()).tiles) * LANES

    @exact_jit
    def sum_batch(
        block: BlockInput, roots: Float32, work: Workspace, first: int, count: int, output: BlockOutput
    ) -> None:
        for lane in range(LANES):
            offset = lane * tile_floats
            row = row_at(block, first + lane) if lane < count else 0
            lower = block.indptr[row] if lane < count else 0
            upper = block.indptr[row + 1] if lane < count else 0
            if not indices_in_range(block.indices, lower, upper, len(block.other)) or (
                sides == 3 and not indices_in_range(block.thirds, lower, upper, len(block.third))
            ):
                output.status[row] = BAD_INDEX
                upper = lower
            many = upper - lower > SEGMENT_RATINGS
            if many:
                work.totals[:] = 0.0
            for start in range(lower, max(upper, lower + 1), SEGMENT_RATINGS):
                stop = min(start + SEGMENT_RATINGS, upper)
                weighted_row_gram(block, roots, work.tiles, offset, work.panel, start, stop, rank, sides)
                if many:
                    add_tiles(work.totals, work.tiles, offset)
            if many:
                set_tiles(work.totals, work.tiles, offset)
        interleave_grams(work.tiles, block.places, work.grams, rank)

    return sum_batch


@lru_cache
def weighted_solver(
    rank: int, *, biased: bool, sides: int = 2
) -> Callable[[BlockInput, WeightedInput, BlockOutput], None]:
    """Return the kernel that solves the rows of a block whose ratings have weights.

    Parameters
    ----------
    rank
        Number of factors.
    biased, sides
        Whether rows have a bias, or else 0; 3 where a rating is of rows of two other sides.
    """
    unknowns = rank + 1
    size = unknowns if biased else rank
    sum_batch, finish = weighted_gram_batch(rank, sides), _finishing(rank, sides)

    @exact_jit
    def solve_block(block: BlockInput, weighted: WeightedInput, output: BlockOutput) -> None:
        memory, fit_memory = make_workspace(rank, len(block.places)), make_fit()
        work, fit = unowned(memory), unowned(fit_memory)
        sums, products = np.empty(LANES), np.empty(LANES)
        roots, counts, shared = weighted.roots, weighted.counts, weighted.shared
        for first in range(0, len(counts), LANES):
            count = min(LANES, len(counts) - first)
            sum_batch(unowned(block), roots, work, first, count, unowned(output))
            prior_lanes(block, first, count, work.priors)
            weighted_lanes(block, counts, first, count, work.weights)
            _form_systems(work, shared, size, rank)
            for lane in range(LANES):
                work.x[rank * LANES + lane] = 0.0
            solve_interleaved(work.systems, work.x, work.positive, size)
            fit_interleaved(work.grams, work.x, work.weights, work.priors, fit, unknowns)
            finish(block, roots, work, fit, first, count, output)
            shared_products(shared, work.x, rank, sums, products)
            for lane in range(count):
                if block.indptr[first + lane + 1] > block.indptr[first + lane]:
                    output.stats[first + lane, 0] += products[lane]
        memory.positive[0] = 0  # memory is alive until here
        fit_memory.sse[0] = 0.0

    return solve_block
