"""Elimination of implicit feedback's rows at speed; the formulas are those of `prior.eliminate`.

A copy of `prior.eliminate_batches` in outline and not an option of it: ratings pay nothing for it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from daskals.kernels.half_step.batch import (
    DIRECT_BELOW,
    LANES,
    Workspace,
    make_fit,
    make_workspace,
    row_status,
)
from daskals.kernels.half_step.block import BlockInput, BlockOutput
from daskals.kernels.half_step.cholesky import solve_interleaved
from daskals.kernels.half_step.fit import Fit, fit_interleaved
from daskals.kernels.half_step.inverse import invert_interleaved
from daskals.kernels.half_step.status import OK
from daskals.kernels.half_step.weighted_batches import (
    WeightedInput,
    shared_products,
    weighted_direct_sse,
    weighted_gram_batch,
)
from daskals.kernels.prior.eliminate_batches import ridge_systems
from daskals.kernels.prior.eliminated import Eliminated
from daskals.kernels.toolkit.jit import exact_jit
from daskals.kernels.toolkit.simd import unowned
from daskals.types import Float32, Float64, Int64


@exact_jit
def _ridge_lanes(block: BlockInput, counts: Float64, first: int, count: int, weights: Float32) -> None:
    """Lay the ridge weights of the batch's rows side by side, of those without observations as well."""
    rank = block.rank
    for lane in range(LANES):
        strength = counts[block.order[first + lane]] ** block.ridge_exponent if lane < count else 1.0
        for k in range(rank):
            weights[k * LANES + lane] = np.float32(strength * block.ridge_factors if lane < count else 1.0)
        weights[rank * LANES + lane] = np.float32(0.0)


@exact_jit
def _share_without_bias(work: Workspace, shared: Float32, rank: int) -> None:
    """Add the shared matrix to every system, and hold the bias at 0, on its own."""
    for entry in range(len(shared)):
        value = shared[entry]
        for lane in range(LANES):
            work.systems[entry * LANES + lane] += value
    ones = rank * (rank + 1) // 2
    right = (rank + 1) * (rank + 2) // 2 + rank
    for lane in range(LANES):
        for k in range(rank):
            work.systems[(ones + k) * LANES + lane] = np.float32(0.0)
        work.systems[(ones + rank) * LANES + lane] = np.float32(1.0)
        work.systems[right * LANES + lane] = np.float32(0.0)


@exact_jit
def _keep(
    block: BlockInput,
    roots: Float32,
    work: Workspace,
    fit: Fit,
    products: Float64,
    first: int,
    inverse: Float32,
    status: Int64,
    result: Eliminated,
) -> None:
    """Keep x⁰, J⁰ and T of the batch's rows, and judge them."""
    rank, count = block.rank, len(block.order) - first
    for lane in range(LANES):
        row = block.order[first + lane] if lane < count else 0
        if lane >= count or status[row] != OK:
            inverse[:, lane] = np.float32(0.0)
            continue
        sse = fit.sse[lane]
        status[row] = row_status(fit.trace[lane], work.positive[lane], sse + products[lane])
        if sse < DIRECT_BELOW * fit.squares[lane]:
            sse = weighted_direct_sse(block, roots, row, work.x, lane)
        result.objective[row] = sse + fit.penalty[lane] + products[lane]
        result.weights[row, 0] = work.weights[lane]
        for k in range(rank):
            result.x0[row, k] = work.x[k * LANES + lane]


@lru_cache
def unbiased_elimination(rank: int) -> Callable[[BlockInput, WeightedInput, BlockOutput, Eliminated], None]:
    """Return the kernel behind `eliminate_rows` for implicit feedback, made for a rank.

    It takes the block with the order of its rows, all of them, the observations' weights with the shared
    matrix, room for the rows' statuses, and room for what is kept of them.
    """
    size = rank + 1
    sum_batch = weighted_gram_batch(rank)

    @exact_jit
    def eliminate_block(
        block: BlockInput, given: WeightedInput, output: BlockOutput, result: Eliminated
    ) -> None:
        memory, fit_memory = make_workspace(rank, len(block.places)), make_fit()
        work, fit = unowned(memory), unowned(fit_memory)
        sums, products = np.empty(LANES), np.empty(LANES)
        for first in range(0, len(block.order), LANES):
            count = min(LANES, len(block.order) - first)
            sum_batch(unowned(block), given.roots, work, first, count, unowned(output))
            _ridge_lanes(block, given.counts, first, count, work.weights)
            ridge_systems(work, size)
            _share_without_bias(work, given.shared, rank)
            solve_interleaved(work.systems, work.x, work.positive, size)
            fit_interleaved(work.grams, work.x, work.weights, work.priors, fit, size)
            shared_products(given.shared, work.x, rank, sums, products)
            inverse = result.inverse[first // LANES]
            invert_interleaved(work.systems, inverse, size)
            _keep(
                unowned(block),
                given.roots,
                work,
                fit,
                products,
                first,
                inverse,
                output.status,
                unowned(result),
            )
        memory.positive[0] = 0  # memory is alive until here
        fit_memory.sse[0] = 0.0

    return eliminate_block
