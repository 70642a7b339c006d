"""Half-step by slices at speed: each slice's small systems formed and solved in batches of rows.

The formulas are those of `half_step.slices`. Residuals are kept beside the ratings, so that a slice sees only
its own factors, of its own ratings.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from daskals.kernels.half_step.batch import (
    LANES,
    SEGMENT_RATINGS,
    Workspace,
    add_tiles,
    aligned_floats,
    copy_systems,
    indices_in_range,
    make_workspace,
    row_status,
    set_tiles,
)
from daskals.kernels.half_step.block import BlockInput, BlockOutput
from daskals.kernels.half_step.cholesky import solve_interleaved
from daskals.kernels.half_step.gram import interleave_grams
from daskals.kernels.half_step.gram_tiles import plan_tiles
from daskals.kernels.half_step.slice_lanes import slice_gram, subtract_slice
from daskals.kernels.half_step.status import BAD_INDEX
from daskals.kernels.toolkit.jit import exact_jit
from daskals.kernels.toolkit.simd import unowned
from daskals.kernels.toolkit.target import current_target
from daskals.types import Float32, Float64, Int64


class SliceInput(NamedTuple):
    """What a half-step by slices takes beside a `BlockInput`.

    Attributes
    ----------
    starts
        int64, shape (slices,): first factor of each slice; slices may overlap, and cover all factors.
    roots
        float32, shape (ratings,): √w of each rating; empty where all count once.
    counts
        float64, shape (rows,): what a row's ridge takes for its number of ratings.
    shared
        float32, shape (rank, rank): the symmetric matrix added to every row's Σ w·qqᵀ; (0, 0) for none.
    sweeps
        How often all slices are solved.
    """

    starts: Int64
    roots: Float32
    counts: Float64
    shared: Float32
    sweeps: int


class _Rows(NamedTuple):
    """What is kept of a batch's rows from slice to slice, one after the other.

    `lower`, `upper`: first and stop rating, the same for what is not solved; `ridges`: w of wT; `traces`: of
    the Gram matrices; `sound`: 0 where a pivot was not above zero; `step`: of one row and slice; `pulls`: Ax.
    """

    lower: Int64
    upper: Int64
    ridges: Float64
    traces: Float64
    sound: Int64
    step: Float32
    pulls: Float32


@exact_jit
def _make_rows(width: int, pulls: int) -> _Rows:
    return _Rows(
        np.zeros(LANES, np.int64),
        np.zeros(LANES, np.int64),
        np.zeros(LANES),
        np.zeros(LANES),
        np.zeros(LANES, np.int64),
        aligned_floats(width),
        aligned_floats(LANES * pulls),
    )


@exact_jit
def _prior_of(block: BlockInput, row: int, k: int) -> float:
    return float(block.priors[row, k]) if len(block.priors) > 0 else 0.0


@exact_jit
def _begin_row(
    block: BlockInput, slices: SliceInput, rows: _Rows, output: BlockOutput, row: int, lane: int
) -> None:
    """Start a row from where it is, or put it at its prior where it has no ratings to move it."""
    rank, lower, upper = block.rank, block.indptr[row], block.indptr[row + 1]
    if not indices_in_range(block.indices, lower, upper, len(block.other)):
        output.status[row] = BAD_INDEX
        upper = lower
    rows.lower[lane], rows.upper[lane] = lower, upper
    rows.traces[lane], rows.sound[lane] = 0.0, 1
    if upper > lower:
        rows.ridges[lane] = slices.counts[row] ** block.ridge_exponent
        for k in range(rank):
            output.rows[row, k] = block.current[row, k]
        output.rows[row, rank + 1] = block.current[row, rank + 1]
        return
    for k in range(rank):
        output.rows[row, k] = _prior_of(block, row, k)
    output.rows[row, rank + 1] = _prior_of(block, row, rank)


@exact_jit
def _begin_residuals(block: BlockInput, residuals: Float32, row: int, bias: np.float32) -> None:
    """Leave of a row's ratings, less μ, what the biases do not explain."""
    at = block.rank + 1
    for j in range(block.indptr[row], block.indptr[row + 1]):
        residuals[j] = residuals[j] - block.other[block.indices[j], at] - bias


@exact_jit
def _begin_pulls(shared: Float32, rows: _Rows, output: BlockOutput, first: int, count: int) -> None:
    """Write Ax of every row; A is read once for the batch."""
    rank = len(shared)
    pulls = rows.pulls
    for k in range(LANES * rank):
        pulls[k] = 0.0
    for c in range(rank):
        for lane in range(count):
            x, own, column = output.rows[first + lane, c], pulls[lane * rank : (lane + 1) * rank], shared[c]
            for k in range(rank):
                own[k] += x * column[k]


@exact_jit
def _right_of_factors(work: Workspace, width: int) -> None:
    """Move the right side up where the bias is no unknown: it lies a row further down in the Gram matrix."""
    right, y = width * (width + 1) // 2, (width + 1) * (width + 2) // 2
    for k in range(width * LANES):
        work.systems[right * LANES + k] = work.grams[y * LANES + k]


@exact_jit
def _add_shared(shared: Float32, systems: Float32, start: int, width: int) -> None:
    """Add what all rows share to the slice's systems."""
    for a in range(width):
        for b in range(a + 1):
            value, place = shared[start + a, start + b], (a * (a + 1) // 2 + b) * LANES
            for lane in range(LANES):
                systems[place + lane] += value


@exact_jit
def _add_ridge(
    block: BlockInput,
    shared: Float32,
    rows: _Rows,
    work: Workspace,
    output: BlockOutput,
    row: int,
    lane: int,
    start: int,
    size: int,
    width: int,
) -> None:
    """Add a row's ridge to its system, and take what pulls on its slice off the right side."""
    rank, right = block.rank, size * (size + 1) // 2
    for k in range(size):
        is_factor = k < width
        ridge = rows.ridges[lane] * (block.ridge_factors if is_factor else block.ridge_bias)
        place = start + k if is_factor else rank
        off = output.rows[row, place if is_factor else rank + 1] - _prior_of(block, row, place)
        pull = np.float64(rows.pulls[lane * rank + place]) if len(shared) > 0 else 0.0
        work.systems[(k * (k + 1) // 2 + k) * LANES + lane] += np.float32(ridge)
        work.systems[(right + k) * LANES + lane] -= np.float32(ridge * off + pull)


@exact_jit
def _form_systems(
    block: BlockInput,
    shared: Float32,
    rows: _Rows,
    work: Workspace,
    output: BlockOutput,
    first: int,
    start: int,
    size: int,
    width: int,
) -> None:
    """Form (S + A + wT) d = v − Ax − wT(x − m) of the slice at `start`: what its factors should move by.

    What is not solved gets equations that can be. A row that has failed is not looked at again.
    """
    copy_systems(work)
    if size == width:
        _right_of_factors(work, width)
    if len(shared) > 0:
        _add_shared(shared, work.systems, start, width)
    for lane in range(LANES):
        if rows.upper[lane] == rows.lower[lane]:
            for k in range(size):
                work.systems[(k * (k + 1) // 2 + k) * LANES + lane] += np.float32(1.0)
            continue
        if rows.sound[lane] > 0:
            for k in range(width + 2):
                rows.traces[lane] += work.grams[(k * (k + 1) // 2 + k) * LANES + lane]
        _add_ridge(block, shared, rows, work, output, first + lane, lane, start, size, width)


@exact_jit
def _move_row(
    shared: Float32,
    rows: _Rows,
    work: Workspace,
    output: BlockOutput,
    row: int,
    lane: int,
    start: int,
    width: int,
) -> None:
    """Move a row's slice by its solution; `step` receives what it moved by once rounded, Ax follows."""
    rank = len(shared)
    for k in range(width):
        before = output.rows[row, start + k]
        output.rows[row, start + k] = before + work.x[k * LANES + lane]
        rows.step[k] = output.rows[row, start + k] - before
    if work.positive[lane] == 0:
        rows.sound[lane] = 0
    if rank > 0:
        own = rows.pulls[lane * rank : (lane + 1) * rank]
        for k in range(width):
            step, column = rows.step[k], shared[start + k]
            for c in range(rank):
                own[c] += step * column[c]


@exact_jit
def _finish_row(
    block: BlockInput,
    slices: SliceInput,
    rows: _Rows,
    residuals: Float32,
    output: BlockOutput,
    row: int,
    lane: int,
) -> None:
    """Write a solved row's statistics and status: Σ w·e² + xᵀAx, and the penalty."""
    rank, weighs = block.rank, len(slices.roots) > 0
    sse = penalty = 0.0
    for j in range(rows.lower[lane], rows.upper[lane]):
        error = np.float64(residuals[j])
        if weighs:
            error *= np.float64(slices.roots[j])
        sse += error * error
    for k in range(rank):
        x = np.float64(output.rows[row, k])
        off = x - _prior_of(block, row, k)
        penalty += rows.ridges[lane] * block.ridge_factors * off * off
        if len(slices.shared) > 0:
            sse += x * rows.pulls[lane * rank + k]
    off = np.float64(output.rows[row, rank + 1]) - _prior_of(block, row, rank)
    penalty += rows.ridges[lane] * block.ridge_bias * off * off
    output.stats[row, 0], output.stats[row, 1] = sse, penalty
    output.status[row] = row_status(rows.traces[lane], rows.sound[lane], sse + penalty)


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
) -> Callable[[BlockInput, SliceInput, _Rows, BlockOutput, Float32, int, int], None]:
    """Return the kernel that starts a batch of rows from where they are, and forms their residuals."""

    @exact_jit
    def begin_batch(
        block: BlockInput,
        slices: SliceInput,
        rows: _Rows,
        output: BlockOutput,
        residuals: Float32,
        first: int,
        count: int,
    ) -> None:
        for lane in range(LANES):
            rows.lower[lane] = rows.upper[lane] = 0
        for lane in range(count):
            row = first + lane
            _begin_row(block, slices, rows, output, row, lane)
            lower, upper = rows.lower[lane], rows.upper[lane]
            if upper == lower:
                continue
            _begin_residuals(block, residuals, row, output.rows[row, block.rank + 1])
            known = 0
            for start in slices.starts:
                for k in range(width):  # what slices share is taken off once
                    rows.step[k] = output.rows[row, start + k] if start + k >= known else 0.0
                known = start + width
                subtract_slice(block, residuals, rows.step, start, 0.0, lower, upper, width)
        if len(slices.shared) > 0:
            _begin_pulls(slices.shared, rows, output, first, count)

    return begin_batch


@lru_cache
def _slice_sums(
    width: int, *, weighs: bool
) -> Callable[[BlockInput, Float32, _Rows, Workspace, Float32, int], None]:
    """Return the kernel that forms the packed matrices Σ w·zzᵀ of a slice of a batch's rows."""
    tile_floats = len(plan_tiles(width, current_target()).tiles) * LANES
    sum_segment = _segment_sums(width, weighs=weighs)

    @exact_jit
    def sum_slice(
        block: BlockInput, roots: Float32, rows: _Rows, work: Workspace, residuals: Float32, start: int
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
        rows: _Rows,
        work: Workspace,
        output: BlockOutput,
        residuals: Float32,
        first: int,
        count: int,
        start: int,
    ) -> None:
        sum_slice(block, slices.roots, rows, work, residuals, start)
        _form_systems(block, slices.shared, rows, work, output, first, start, size, width)
        solve_interleaved(work.systems, work.x, work.positive, size)
        for lane in range(count):
            lower, upper = rows.lower[lane], rows.upper[lane]
            if upper == lower:
                continue
            row = first + lane
            _move_row(slices.shared, rows, work, output, row, lane, start, width)
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
        memory, row_memory = make_workspace(width, len(block.places)), _make_rows(width, len(slices.shared))
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
                    _finish_row(given, besides, rows, residuals, written, batch + lane, lane)
        memory.positive[0] = 0  # memory is alive until here
        row_memory.sound[0] = 0

    return solve_range
