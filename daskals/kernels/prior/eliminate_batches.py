"""Elimination of a block's rows at speed, in batches; the formulas are those of `prior.eliminate`."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from daskals.kernels.half_step.batch import (
    DIRECT_BELOW,
    LANES,
    Workspace,
    direct_sse_of_lane,
    gram_batch,
    joined_sse,
    make_fit,
    make_workspace,
    row_status,
    weight_lanes,
)
from daskals.kernels.half_step.block import BlockInput, BlockOutput
from daskals.kernels.half_step.cholesky import solve_interleaved
from daskals.kernels.half_step.fit import Fit, fit_interleaved
from daskals.kernels.half_step.inverse import invert_interleaved
from daskals.kernels.half_step.status import OK
from daskals.kernels.half_step.system_lanes import ridge_interleaved
from daskals.kernels.half_step.weighted_batches import (
    WeightedInput,
    weighted_direct_sse,
    weighted_gram_batch,
    weighted_lanes,
)
from daskals.kernels.prior.eliminated import Eliminated
from daskals.kernels.prior.pattern_sums import PatternSums, add_batch, make_room
from daskals.kernels.toolkit.jit import exact_jit
from daskals.kernels.toolkit.simd import unowned
from daskals.types import Float32, Int64


@exact_jit
def ridge_systems(work: Workspace, size: int) -> None:
    """Form S + T and v for `size` unknowns, and set the prior means to zero."""
    priors = work.priors
    for k in range(size * LANES):
        priors[k] = np.float32(0.0)
    ridge_interleaved(work.grams, work.weights, priors, work.systems, size, 0)


@lru_cache
def _comparing(
    rank: int, *, weighted: bool, sides: int
) -> Callable[[BlockInput, Float32, int, Float32, int], float]:
    """Return the kernel that compares a row with its ratings one by one; it takes what others do."""
    sum_joined = joined_sse(rank)

    @exact_jit
    def compare(block: BlockInput, roots: Float32, row: int, x: Float32, lane: int) -> float:
        lower, upper = block.indptr[row], block.indptr[row + 1]
        if sides == 3:
            return sum_joined(block, roots, lower, upper, x, lane)
        if weighted:
            return weighted_direct_sse(block, roots, row, x, lane)
        return direct_sse_of_lane(block, lower, upper, x, lane)

    return compare


@lru_cache
def elimination_kernel(
    rank: int, *, weighted: bool, sides: int = 2
) -> Callable[[BlockInput, WeightedInput, BlockOutput, Eliminated, PatternSums], None]:
    """Return the kernel behind `eliminate_rows`: for a rank, ratings with weights or without, 2 sides or 3.

    It takes the block with the order of its rows, the ratings' weights, room for the rows' statuses, room for
    what is kept of them, and the sums that they are added to while they are in the nearest cache.
    """
    size = rank + 1
    sum_batch, sum_weighted = gram_batch(rank, sides), weighted_gram_batch(rank, sides)
    compare = _comparing(rank, weighted=weighted, sides=sides)

    @exact_jit
    def keep(
        block: BlockInput,
        given: WeightedInput,
        work: Workspace,
        fit: Fit,
        first: int,
        inverse: Float32,
        status: Int64,
        result: Eliminated,
    ) -> None:
        count = len(block.order) - first
        for lane in range(LANES):
            row = block.order[first + lane] if lane < count else 0
            if lane >= count or status[row] != OK:
                inverse[:, lane] = np.float32(0.0)
                continue
            status[row] = row_status(fit.trace[lane], work.positive[lane], fit.sse[lane])
            sse = fit.sse[lane]
            if sse < DIRECT_BELOW * fit.squares[lane]:
                sse = compare(block, given.roots, row, work.x, lane)
            result.objective[row] = sse + fit.penalty[lane]
            result.weights[row, 0] = work.weights[lane]
            result.weights[row, 1] = work.weights[rank * LANES + lane]
            for k in range(size):
                result.x0[row, k] = work.x[k * LANES + lane]

    @exact_jit
    def eliminate_block(
        block: BlockInput,
        given: WeightedInput,
        output: BlockOutput,
        result: Eliminated,
        sums: PatternSums,
    ) -> None:
        memory, fit_memory = make_workspace(rank, len(block.places)), make_fit()
        work, fit = unowned(memory), unowned(fit_memory)
        room_memory = make_room(sums.matrices.shape[1])
        room = unowned(room_memory)
        for first in range(0, len(block.order), LANES):
            count = min(LANES, len(block.order) - first)
            if weighted:
                sum_weighted(unowned(block), given.roots, work, first, count, unowned(output))
                weighted_lanes(block, given.counts, first, count, work.weights)
            else:
                sum_batch(unowned(block), work, first, count, unowned(output))
                weight_lanes(block, first, count, work.weights)
            ridge_systems(work, size)
            solve_interleaved(work.systems, work.x, work.positive, size)
            fit_interleaved(work.grams, work.x, work.weights, work.priors, fit, size)
            inverse = result.inverse[first // LANES]
            invert_interleaved(work.systems, inverse, size)
            keep(unowned(block), unowned(given), work, fit, first, inverse, output.status, unowned(result))
            if len(sums.patterns) > 0:
                rows = block.order[first : first + count]
                add_batch(inverse, rows, result.weights, result.x0, room, unowned(sums))
        memory.positive[0] = 0  # memory is alive until here
        fit_memory.sse[0] = 0.0
        room_memory.ridge[0] = 0.0

    return eliminate_block
