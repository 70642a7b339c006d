"""Rows of a batch that take conjugate gradients: begun from where they are, and written when they stop.

What `half_step.gradient_batches` does before and after a batch's steps.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from daskals.kernels.half_step.batch import LANES, aligned_floats, indices_in_range, row_status
from daskals.kernels.half_step.block import BlockInput, BlockOutput
from daskals.kernels.half_step.gradient_lanes import BEGIN, pass_over
from daskals.kernels.half_step.side_by_side_lanes import PANEL_COLUMNS, add_tridiagonal, batch_product
from daskals.kernels.half_step.status import BAD_INDEX
from daskals.kernels.half_step.turning_lanes import lay_beside
from daskals.kernels.toolkit.jit import exact_jit, jit
from daskals.types import Float32, Float64, Int64

LEAST_BEND = 1e-6
"""Share of what the pooled curvature has that a step must bend by, to be more than rounding."""


class GradientInput(NamedTuple):
    """What a half-step by conjugate gradients takes beside a `BlockInput`.

    Attributes
    ----------
    known, weights
        float32, shape (ratings + lanes,): ratings less μ, without the other side's bias; w.
    counts
        float64, shape (rows,): what a row's ridge takes for its number of ratings.
    shared, of_rating
        Times the pooled curvature: the matrix that all rows share, 0 for none; what a rating of weight 1
        stands for.
    into, back
        float32: Q and Qᵀ of the pooled curvature NQUQᵀN in panels, see `side_by_side_lanes.batch_product`.
    diagonal, beside, scales, inverses
        float32, shape (size,): U, with 0 last beside it; N, and 1/N.
    size
        Unknowns, with the bias or without.
    steps, relaxation
        Of a row; times the way they lead that it goes.
    """

    known: Float32
    weights: Float32
    counts: Float64
    shared: float
    of_rating: float
    into: Float32
    back: Float32
    diagonal: Float32
    beside: Float32
    scales: Float32
    inverses: Float32
    size: int
    steps: int
    relaxation: np.float32


class GradientRows(NamedTuple):
    """Memory for one batch after the other.

    One row after the other, in whole vectors: `x`, `step`, `change` (what a step adds to the gradient). Side
    by side, number k of row l at k·LANES + l: `right` (the gradient), `place` (x), `solved`, `along` (the
    step), all in the basis of the pooled curvature; `mixed`, before or after a change of basis; `pivots`,
    `below` of the rows' tridiagonal systems. Of each rating: `errors`, `turns` (how a step changes them). Of
    each row: `lower`, `upper`, `at` (of its first error), `ridges` (w of wT), `slopes`, `expected`
    (how strongly the pooled curvature bends along the step), `falls`, `bends`,
    `squares`; in single precision `multiples`, `shifts` (m and c), `lengths`, `ways` (the relaxed lengths).
    """

    x: Float32
    step: Float32
    change: Float32
    right: Float32
    place: Float32
    solved: Float32
    along: Float32
    mixed: Float32
    pivots: Float32
    below: Float32
    errors: Float32
    turns: Float32
    lower: Int64
    upper: Int64
    at: Int64
    ridges: Float64
    slopes: Float64
    expected: Float64
    falls: Float64
    bends: Float64
    squares: Float64
    multiples: Float32
    shifts: Float32
    lengths: Float32
    ways: Float32


@exact_jit
def make_rows(stride: int, size: int, ratings: int) -> GradientRows:
    """Make room for batches of so many ratings, their rows `stride` numbers apart, with `size` unknowns."""
    beside = (whole_vectors(size) + PANEL_COLUMNS) * LANES
    return GradientRows(
        aligned_floats(LANES * stride),
        aligned_floats(LANES * stride),
        aligned_floats(LANES * stride),
        aligned_floats(beside),
        aligned_floats(beside),
        aligned_floats(beside),
        aligned_floats(beside),
        aligned_floats(beside),
        aligned_floats(beside),
        aligned_floats(beside),
        aligned_floats(ratings),
        aligned_floats(ratings),
        np.zeros(LANES, np.int64),
        np.zeros(LANES, np.int64),
        np.zeros(LANES, np.int64),
        np.zeros(LANES),
        np.zeros(LANES),
        np.zeros(LANES),
        np.zeros(LANES),
        np.zeros(LANES),
        np.zeros(LANES),
        aligned_floats(LANES),
        aligned_floats(LANES),
        aligned_floats(LANES),
        aligned_floats(LANES),
    )


@exact_jit
def most_ratings(indptr: Int64, first: int, stop: int) -> int:
    """Return the most numbers that the ratings of a batch take, those of each row in whole vectors."""
    most = 0
    for batch in range(first, stop, LANES):
        most = max(most, indptr[min(batch + LANES, stop)] - indptr[batch])
    return int(most + (LANES + 1) * LANES)


@exact_jit
def clear(values: Float32) -> None:
    """Set numbers, shape (numbers,), to 0."""
    for k in range(len(values)):
        values[k] = 0.0


@exact_jit
def whole_vectors(count: int) -> int:
    """Return the numbers that the whole vectors around `count` of them have."""
    return -(-count // LANES) * LANES


@exact_jit
def panels_of(size: int) -> int:
    """Return how many panels a matrix of `size` columns is laid out in."""
    return -(-size // PANEL_COLUMNS)


@jit
def _total(values: Float32) -> float:
    """Return the sum of some numbers, shape (numbers,), in double precision."""
    total = 0.0
    for k in range(len(values)):
        total += np.float64(values[k])
    return total


@jit
def squares(values: Float32) -> float:
    """Return the sum of squares of some numbers, shape (numbers,), in double precision."""
    total = 0.0
    for k in range(len(values)):
        total += np.float64(values[k]) * np.float64(values[k])
    return total


@jit
def _squares_off(values: Float32, means: Float32) -> float:
    """Return how far numbers are from their means, of which there may be none, squared; shape (numbers,)."""
    total = 0.0
    for k in range(len(means)):
        off = np.float64(values[k]) - np.float64(means[k])
        total += off * off
    return total if len(means) > 0 else squares(values)


@exact_jit
def _place_row(block: BlockInput, given: GradientInput, rows: GradientRows, row: int, start: int) -> None:
    """Lay a row, as it is, out for a pass over its ratings."""
    rank = block.rank
    x, current = rows.x[start : start + rank + 2], block.current[row]
    for k in range(rank):
        x[k] = current[k]
    if given.size > rank:
        x[rank] = current[rank + 1]
        x[rank + 1] = 1.0  # the other side's bias explains its part


@exact_jit
def _draw(block: BlockInput, given: GradientInput, rows: GradientRows, row: int, lane: int) -> None:
    """Turn what a row's ratings pull at into its gradient over N, without what all rows share."""
    rank, size, start = block.rank, given.size, lane * block.other.shape[1]
    x, change, inverses = rows.x[start : start + size], rows.change[start : start + size], given.inverses
    step = rows.step[start : start + size]
    for k in range(size):
        step[k] = x[k]
    if len(block.priors) > 0:
        prior = block.priors[row, :size]
        for k in range(size):
            step[k] -= prior[k]
    ridge = np.float32(rows.ridges[lane] * block.ridge_factors)
    for k in range(rank):
        change[k] = (change[k] - ridge * step[k]) * inverses[k]
    if size > rank:
        ridge = np.float32(rows.ridges[lane] * block.ridge_bias)
        change[rank] = (change[rank] - ridge * step[rank]) * inverses[rank]


@exact_jit
def _scale(given: GradientInput, rows: GradientRows, start: int) -> None:
    """Lay N times a row out."""
    size, scales = given.size, given.scales
    x, step = rows.x[start : start + size], rows.step[start : start + size]
    for k in range(size):
        step[k] = x[k] * scales[k]


@exact_jit
def _begin_rows(block: BlockInput, given: GradientInput, rows: GradientRows, first: int) -> None:
    """Start the rows of a batch from where they are: their errors, and their gradients."""
    rank, stride = block.rank, block.other.shape[1]
    floats, turned = whole_vectors(rank + 2 if given.size > rank else rank), whole_vectors(given.size)
    clear(rows.step)
    for lane in range(LANES):
        if rows.upper[lane] > rows.lower[lane]:
            rows.squares[lane] = pass_over(
                block,
                given.known,
                given.weights,
                rows.x,
                lane * stride,
                rows.errors,
                rows.at[lane],
                rows.change,
                lane * stride,
                rows.lower[lane],
                rows.upper[lane],
                floats,
                BEGIN,
            )
            _draw(block, given, rows, first + lane, lane)
    lay_beside(rows.change, stride, rows.right, turned)
    if given.shared > 0.0:
        for lane in range(LANES):
            _scale(given, rows, lane * stride)
        lay_beside(rows.step, stride, rows.place, turned)


@exact_jit
def _into_basis(given: GradientInput, rows: GradientRows, values: Float32) -> None:
    """Replace the numbers of all rows by those in the basis of the pooled curvature."""
    size, mixed = given.size, rows.mixed
    batch_product(given.into, values, mixed, size, panels_of(size))
    for k in range(size * LANES):
        values[k] = mixed[k]


@exact_jit
def begin_batch(
    block: BlockInput, given: GradientInput, rows: GradientRows, output: BlockOutput, first: int, count: int
) -> None:
    """Start the rows of a batch; those that are none stand still.

    Parameters
    ----------
    block, given
        What the rows are given.
    rows, output
        Where the batch is kept; the status of a row whose indices are out of range is set.
    first, count
        The batch's first row, and how many rows it has.
    """
    for values in (rows.x, rows.change, rows.along):
        clear(values)
    at, stride = 0, block.other.shape[1]
    for lane in range(LANES):
        row = first + lane
        lower = block.indptr[row] if lane < count else 0
        upper = block.indptr[row + 1] if lane < count else 0
        if not indices_in_range(block.indices, lower, upper, len(block.other)):
            output.status[row] = BAD_INDEX
            upper = lower
        rows.lower[lane], rows.upper[lane], rows.at[lane] = lower, upper, at
        rows.ridges[lane], rows.slopes[lane], rows.expected[lane] = 1.0, 0.0, 0.0
        rows.squares[lane], rows.multiples[lane] = 0.0, np.float32(0.0)
        if upper > lower:
            rows.ridges[lane] = given.counts[row] ** block.ridge_exponent
            rows.multiples[lane] = np.float32(
                given.shared + given.of_rating * _total(given.weights[lower:upper])
            )
            _place_row(block, given, rows, row, lane * stride)
        rows.shifts[lane] = np.float32(rows.ridges[lane])
        at += whole_vectors(upper - lower)
    _begin_rows(block, given, rows, first)
    _into_basis(given, rows, rows.right)
    if given.shared > 0.0:
        _into_basis(given, rows, rows.place)
        add_tridiagonal(
            given.diagonal, given.beside, np.float32(-given.shared), rows.place, rows.right, given.size
        )


@exact_jit
def finish_batch(
    block: BlockInput, given: GradientInput, rows: GradientRows, output: BlockOutput, first: int, count: int
) -> None:
    """Write rows, their statistics and statuses; at their prior where they have no ratings to move them.

    Parameters
    ----------
    block, given
        What the rows are given.
    rows, output
        The batch's rows as their steps left them; where they go.
    first, count
        The batch's first row, and how many rows it has.
    """
    rank, size, stride, priors = block.rank, given.size, block.other.shape[1], block.priors
    drawn = len(priors) > 0
    for lane in range(count):
        row = first + lane
        target, x = output.rows[row], rows.x[lane * stride : lane * stride + size]
        moved = rows.upper[lane] > rows.lower[lane]
        for k in range(rank + 1):
            prior = priors[row, k] if drawn else np.float32(0.0)
            target[k if k < rank else rank + 1] = x[k] if moved and k < size else prior
        if moved:
            bias_off = np.float64(target[rank + 1])
            if drawn:
                bias_off -= np.float64(priors[row, rank])
            means = priors[row, :rank] if drawn else rows.x[:0]
            penalty = rows.ridges[lane] * block.ridge_factors * _squares_off(target[:rank], means)
            penalty += rows.ridges[lane] * block.ridge_bias * bias_off * bias_off
            output.stats[row, 0], output.stats[row, 1] = rows.squares[lane], penalty
            output.status[row] = row_status(rows.squares[lane], 1, penalty)
