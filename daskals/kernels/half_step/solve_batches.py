"""Half-step of a block at speed: its rows' systems formed, solved and judged in batches, strip by strip.

This is `half_step.plain.solve_block` for as many rows at once as a vector has lanes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numba import prange

from daskals.kernels.half_step.batch import (
    DIRECT_BELOW,
    LANES,
    Workspace,
    aligned_floats,
    copy_systems,
    direct_sse_of_lane,
    gram_batch,
    indices_in_range,
    joined_sse,
    make_fit,
    make_workspace,
    prior_lanes,
    row_status,
    weight_lanes,
)
from daskals.kernels.half_step.block import BlockInput, BlockOutput
from daskals.kernels.half_step.cholesky import solve_interleaved
from daskals.kernels.half_step.fit import Fit, fit_interleaved
from daskals.kernels.half_step.gram import PANEL_FLOATS, row_gram
from daskals.kernels.half_step.status import OK
from daskals.kernels.half_step.system_lanes import ridge_interleaved
from daskals.kernels.toolkit.jit import exact_jit, parallel_jit
from daskals.kernels.toolkit.simd import unowned
from daskals.types import Int64


@exact_jit
def _joint_systems(rank: int, work: Workspace) -> None:
    """Form (S + wT) x = v + wTm for factors and bias together."""
    ridge_interleaved(work.grams, work.weights, work.priors, work.systems, rank + 1, rank + 1)


@exact_jit
def _coordinate_systems(block: BlockInput, first: int, count: int, work: Workspace) -> None:
    """Update the bias from the current factors (paper 1, Eq. 8), then form the factors' equations (Eq. 7)."""
    rank = block.rank
    ones = rank * (rank + 1) // 2
    y = (rank + 1) * (rank + 2) // 2
    copy_systems(work)
    for lane in range(LANES):
        weight = np.float64(work.weights[rank * LANES + lane])
        error = work.grams[(y + rank) * LANES + lane] + weight * work.priors[rank * LANES + lane]
        if lane < count:
            for k in range(rank):
                error -= np.float64(work.grams[(ones + k) * LANES + lane]) * block.current[first + lane, k]
        total = work.grams[(ones + rank) * LANES + lane] + weight
        bias = np.float32(error / total if total > 0.0 else np.nan)
        work.x[rank * LANES + lane] = bias
        for k in range(rank):
            at = k * LANES + lane
            weight = np.float64(work.weights[at])
            work.systems[(k * (k + 1) // 2 + k) * LANES + lane] += np.float32(weight)
            work.systems[(ones + k) * LANES + lane] = np.float32(
                work.grams[(y + k) * LANES + lane]
                - np.float64(bias) * work.grams[(ones + k) * LANES + lane]
                + weight * work.priors[at]
            )


@lru_cache
def _finishing(rank: int, sides: int) -> Callable[[BlockInput, Workspace, Fit, int, int, BlockOutput], None]:
    """Return the kernel that takes a batch's solutions apart into factor rows, and judges each.

    Rows without ratings get their prior. Arrays are taken out of their tuples once, before the loops.
    """
    sum_joined = joined_sse(rank)

    @exact_jit
    def finish(
        block: BlockInput, work: Workspace, fit: Fit, first: int, count: int, output: BlockOutput
    ) -> None:
        indptr, rows, stats, status = block.indptr, output.rows, output.stats, output.status
        x, priors, squares, errors, penalties = work.x, work.priors, fit.squares, fit.sse, fit.penalty
        traces, positive = fit.trace, work.positive
        for lane in range(count):
            row = first + lane
            source = x if indptr[row + 1] > indptr[row] else priors
            for k in range(rank):
                rows[row, k] = source[k * LANES + lane]
            rows[row, rank + 1] = source[rank * LANES + lane]
            if status[row] != OK or indptr[row + 1] == indptr[row]:
                continue
            sse = errors[lane]
            if sse < DIRECT_BELOW * squares[lane]:
                lower, upper = indptr[row], indptr[row + 1]
                if sides == 3:
                    sse = sum_joined(block, np.empty(0, np.float32), lower, upper, x, lane)
                else:
                    sse = direct_sse_of_lane(block, lower, upper, x, lane)
            stats[row, 0] = sse
            stats[row, 1] = penalties[lane]
            # the bias of coordinate updates has a pivot of its own
            sound = 0 if np.isnan(x[rank * LANES + lane]) else positive[lane]
            status[row] = row_status(traces[lane], sound, sse + penalties[lane])

    return finish


@lru_cache
def strip_solver(
    rank: int, *, coordinate: bool, sides: int = 2
) -> Callable[[BlockInput, BlockOutput, int, int], None]:
    """Return the kernel that solves the rows first, …, stop − 1 of a block.

    Parameters
    ----------
    rank
        Number of factors.
    coordinate, sides
        Whether bias and factors are solved in turn; 3 where a rating is of rows of two other sides.
    """
    unknowns = rank + 1
    size = rank if coordinate else unknowns
    sum_batch, finish = gram_batch(rank, sides), _finishing(rank, sides)

    @exact_jit
    def solve_strip(block: BlockInput, output: BlockOutput, first: int, stop: int) -> None:
        memory, fit_memory = make_workspace(rank, len(block.places)), make_fit()
        work, fit = unowned(memory), unowned(fit_memory)
        given, found = unowned(block), unowned(output)
        for batch in range(first, stop, LANES):
            count = min(LANES, stop - batch)
            sum_batch(given, work, batch, count, found)
            prior_lanes(given, batch, count, work.priors)
            weight_lanes(given, batch, count, work.weights)
            if coordinate:
                _coordinate_systems(given, batch, count, work)
            else:
                _joint_systems(rank, work)
            solve_interleaved(work.systems, work.x, work.positive, size)
            fit_interleaved(work.grams, work.x, work.weights, work.priors, fit, unknowns)
            finish(given, work, fit, batch, count, found)
        memory.positive[0] = 0  # memory is alive until here
        fit_memory.sse[0] = 0.0

    return solve_strip


@lru_cache
def strips_solver(
    rank: int, *, coordinate: bool, sides: int = 2
) -> Callable[[BlockInput, BlockOutput, Int64], None]:
    """Return the kernel that solves the strips of rows cuts[s], …, cuts[s + 1] − 1 of a block by threads.

    They share out the segments of heavy rows first, then the strips.

    Parameters
    ----------
    rank, coordinate, sides
        As `strip_solver` takes them.
    """
    solve_strip = strip_solver(rank, coordinate=coordinate, sides=sides)

    @exact_jit
    def sum_segment(block: BlockInput, output: BlockOutput, segment: int) -> None:
        _, lower, upper = block.segments[segment]
        if indices_in_range(block.indices, lower, upper, len(block.other)) and (
            sides == 2 or indices_in_range(block.thirds, lower, upper, len(block.third))
        ):
            panel = aligned_floats(PANEL_FLOATS)
            row_gram(block, output.segment_tiles[segment], 0, panel, lower, upper, rank, sides)

    @parallel_jit
    def solve_strips(block: BlockInput, output: BlockOutput, cuts: Int64) -> None:
        for segment in prange(len(block.segments)):
            sum_segment(block, output, segment)
        for strip in prange(len(cuts) - 1):
            solve_strip(block, output, cuts[strip], cuts[strip + 1])

    return solve_strips
