"""Rows of a batch that are improved slice by slice: begun, their equations formed, moved, judged.

What `half_step.slice_batches` does with one batch between the sums over its ratings.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from daskals.kernels.half_step.batch import (
    LANES,
    Workspace,
    aligned_floats,
    copy_systems,
    indices_in_range,
    row_status,
)
from daskals.kernels.half_step.block import BlockInput, BlockOutput
from daskals.kernels.half_step.status import BAD_INDEX
from daskals.kernels.toolkit.jit import exact_jit
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


class SliceRows(NamedTuple):
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
def make_slice_rows(width: int, pulls: int) -> SliceRows:
    """Make room for a batch's rows, whose slices have `width` factors, and whose Ax has `pulls`."""
    return SliceRows(
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
def begin_row(
    block: BlockInput, slices: SliceInput, rows: SliceRows, output: BlockOutput, row: int, lane: int
) -> None:
    """Start a row from where it is, or put it at its prior where it has no ratings to move it.

    Parameters
    ----------
    block, slices
        What the rows are given.
    rows, output
        Where the row's limits and its numbers go.
    row, lane
        The row, and its number in the batch.
    """
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
def begin_residuals(block: BlockInput, residuals: Float32, row: int, bias: np.float32) -> None:
    """Leave of a row's ratings, less μ, what the biases do not explain.

    Parameters
    ----------
    block, residuals
        What the rows are given; their ratings less μ, float32, shape (ratings,).
    row, bias
        The row, and its bias.
    """
    at = block.rank + 1
    for j in range(block.indptr[row], block.indptr[row + 1]):
        residuals[j] = residuals[j] - block.other[block.indices[j], at] - bias


@exact_jit
def begin_pulls(shared: Float32, rows: SliceRows, output: BlockOutput, first: int, count: int) -> None:
    """Write Ax of every row; A is read once for the batch.

    Parameters
    ----------
    shared
        A, float32, shape (rank, rank).
    rows, output
        Where Ax goes; the rows as they are.
    first, count
        The batch's first row, and how many rows it has.
    """
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
    rows: SliceRows,
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
def form_systems(
    block: BlockInput,
    shared: Float32,
    rows: SliceRows,
    work: Workspace,
    output: BlockOutput,
    first: int,
    start: int,
    size: int,
    width: int,
) -> None:
    """Form (S + A + wT) d = v − Ax − wT(x − m) of the slice at `start`: what its factors should move by.

    What is not solved gets equations that can be. A row that has failed is not looked at again.

    Parameters
    ----------
    block, shared
        What the rows are given; A, float32, shape (rank, rank) or (0, 0).
    rows, work, output
        The batch's rows, whose Gram matrices lie in the workspace; the rows as they are.
    first, start
        The batch's first row, and the slice's first factor.
    size, width
        Unknowns, with the bias or without; factors.
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
def move_row(
    shared: Float32,
    rows: SliceRows,
    work: Workspace,
    output: BlockOutput,
    row: int,
    lane: int,
    start: int,
    width: int,
) -> None:
    """Move a row's slice by its solution; `step` receives what it moved by once rounded, Ax follows.

    Parameters
    ----------
    shared
        A, float32, shape (rank, rank) or (0, 0).
    rows, work, output
        The batch's rows, its solutions, and the rows as they are.
    row, lane
        The row, and its number in the batch.
    start, width
        First factor of the slice, and how many it has.
    """
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
def finish_row(
    block: BlockInput,
    slices: SliceInput,
    rows: SliceRows,
    residuals: Float32,
    output: BlockOutput,
    row: int,
    lane: int,
) -> None:
    """Write a solved row's statistics and status: Σ w·e² + xᵀAx, and the penalty.

    Parameters
    ----------
    block, slices
        What the rows are given.
    rows, residuals
        The batch's rows; float32, shape (ratings,).
    output
        Where they go.
    row, lane
        The row, and its number in the batch.
    """
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
