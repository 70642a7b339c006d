"""Half-step by slices at speed: each slice's small systems formed and solved in batches of rows.

The formulas are those of `half_step.slices`. Residuals are kept beside the ratings, so that a slice sees only
its own factors, of its own ratings.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from daskals.kernels.half_step.batch import (
    LANES,
    SEGMENT_RATINGS,
    Workspace,
    add_tiles,
    make_workspace,
    set_tiles,
)
from daskals.kernels.half_step.block import BlockInput, BlockOutput
from daskals.kernels.half_step.cholesky import solve_interleaved
from daskals.kernels.half_step.gram import interleave_grams
from daskals.kernels.half_step.gram_tiles import plan_tiles
from daskals.kernels.half_step.slice_lanes import slice_gram, subtract_slice
from daskals.kernels.half_step.slice_row_batches import (
    SliceInput,
    SliceRows,
    begin_pulls,
    begin_residuals,
    begin_row,
    finish_row,
    form_systems,
    make_slice_rows,
    move_row,
)
from daskals.kernels.toolkit.jit import exact_jit
from daskals.kernels.toolkit.simd import unowned
from daskals.kernels.toolkit.target import current_target
from daskals.types import Float32


@lru_cache
def _segment_sums(width: int, *, weighs: bool) -> Callable[..., None]:
    """Return the kernel that sums a slice's zzᵀ over some ratings, made for a width, with weights or none."""

    @exact_jit
    def plain_sums(
        block: BlockInput,
        residuals: Float32,
        roots: Float32,  # noqa: ARG001
        start: int,
        work: Workspace,
        offset: int,
        lower: int,
        upper: int,
    ) -> None:
        slice_gram(block, residuals, None, start, work.tiles, offset, work.panel, lower, upper, width)

    @exact_jit
    def weighted_sums(
        block: BlockInput,
        residuals: Float32,
        roots: Float32,
        start: int,
        work: Workspace,
        offset: int,
        lower: int,
        upper: int,
    ) -> None:
        slice_gram(block, residuals, roots, start, work.tiles, offset, work.panel, lower, upper, width)

    return weighted_sums if weighs else plain_sums


@lru_cache
def _batch_start(
    width: int,
) -> Callable[[BlockInput, SliceInput, SliceRows, BlockOutput, Float32, int, int], None]:
    """Return the kernel that starts a batch of rows from where they are, and forms their residuals."""

    @exact_jit
    def begin_batch(
        block: BlockInput,
        slices: SliceInput,
        rows: SliceRows,
        output: BlockOutput,
        residuals: Float32,
        first: int,
        count: int,
    ) -> None:
        for lane in range(LANES):
            rows.lower[lane] = rows.upper[lane] = 0
        for lane in range(count):
            row = first + lane
            begin_row(block, slices, rows, output, row, lane)
            lower, upper = rows.lower[lane], rows.upper[lane]
            if upper == lower:
                continue
            begin_residuals(block, residuals, row, output.rows[row, block.rank + 1])
            known = 0
            for start in slices.starts:
                for k in range(width):  # what slices share is taken off once
                    rows.step[k] = output.rows[row, start + k] if start + k >= known else 0.0
                known = start + width
                subtract_slice(block, residuals, rows.step, start, 0.0, lower, upper, width)
        if len(slices.shared) > 0:
            begin_pulls(slices.shared, rows, output, first, count)

    return begin_batch


@lru_cache
def _slice_sums(
    width: int, *, weighs: bool
) -> Callable[[BlockInput, Float32, SliceRows, Workspace, Float32, int], None]:
    """Return the kernel that forms the packed matrices Σ w·zzᵀ of a slice of a batch's rows."""
    tile_floats = len(plan_tiles(width, current_target()).tiles) * LANES
    sum_segment = _segment_sums(width, weighs=weighs)

    @exact_jit
    def sum_slice(
        block: BlockInput, roots: Float32, rows: SliceRows, work: Workspace, residuals: Float32, start: int
    ) -> None:
        for lane in range(LANES):
            offset = lane * tile_floats
            lower, upper = rows.lower[lane], rows.upper[lane]
            many = upper - lower > SEGMENT_RATINGS
            if many:
                work.totals[:] = 0.0
            for begin in range(lower, max(upper, lower + 1), SEGMENT_RATINGS):
                stop = min(begin + SEGMENT_RATINGS, upper)
                sum_segment(block, residuals, roots, start, work, offset, begin, stop)
                if many:
                    add_tiles(work.totals, work.tiles, offset)
            if many:
                set_tiles(work.totals, work.tiles, offset)
        interleave_grams(work.tiles, block.places, work.grams, width)

    return sum_slice


@lru_cache
def _slice_step(width: int, *, weighs: bool, biased: bool) -> Callable[..., None]:
    """Return the kernel that sets one slice of a batch's rows to its minimiser."""
    size = width + 1 if biased else width
    sum_slice = _slice_sums(width, weighs=weighs)

    @exact_jit
    def solve_slice(
        block: BlockInput,
        slices: SliceInput,
        rows: SliceRows,
        work: Workspace,
        output: BlockOutput,
        residuals: Float32,
        first: int,
        count: int,
        start: int,
    ) -> None:
        sum_slice(block, slices.roots, rows, work, residuals, start)
        form_systems(block, slices.shared, rows, work, output, first, start, size, width)
        solve_interleaved(work.systems, work.x, work.positive, size)
        for lane in range(count):
            lower, upper = rows.lower[lane], rows.upper[lane]
            if upper == lower:
                continue
            row = first + lane
            move_row(slices.shared, rows, work, output, row, lane, start, width)
            shift = np.float32(0.0)
            if size > width:
                before = output.rows[row, block.rank + 1]
                output.rows[row, block.rank + 1] = before + work.x[width * LANES + lane]
                shift = output.rows[row, block.rank + 1] - before
            subtract_slice(block, residuals, rows.step, start, shift, lower, upper, width)

    return solve_slice


@lru_cache
def slice_solver(
    width: int, *, weighs: bool, biased: bool
) -> Callable[[BlockInput, SliceInput, BlockOutput, Float32, int, int], None]:
    """Return the kernel that improves the rows first, …, stop − 1 of a block, of any rank.

    Beside what the rows are given and where they go, it takes their ratings less μ, float32, shape
    (ratings,), and leaves their residuals there.

    Parameters
    ----------
    width
        Factors that are solved together.
    weighs, biased
        Whether ratings weigh; whether rows have a bias, which is solved with every slice.
    """
    begin_batch, solve_slice = _batch_start(width), _slice_step(width, weighs=weighs, biased=biased)

    @exact_jit
    def solve_range(
        block: BlockInput,
        slices: SliceInput,
        output: BlockOutput,
        residuals: Float32,
        first: int,
        stop: int,
    ) -> None:
        memory, row_memory = (
            make_workspace(width, len(block.places)),
            make_slice_rows(width, len(slices.shared)),
        )
        work, rows = unowned(memory), unowned(row_memory)
        given, besides, written = unowned(block), unowned(slices), unowned(output)
        for batch in range(first, stop, LANES):
            count = min(LANES, stop - batch)
            begin_batch(given, besides, rows, written, residuals, batch, count)
            for _ in range(slices.sweeps):
                for start in slices.starts:
                    solve_slice(given, besides, rows, work, written, residuals, batch, count, start)
            for lane in range(count):
                if rows.upper[lane] > rows.lower[lane]:
                    finish_row(given, besides, rows, residuals, written, batch + lane, lane)
        memory.positive[0] = 0  # memory is alive until here
        row_memory.sound[0] = 0

    return solve_range
