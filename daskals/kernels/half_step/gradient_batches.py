"""Half-step by conjugate gradients at speed: batches of rows take their steps side by side.

The formulas are those of `half_step.gradients`. A row's numbers lie one after the other where its ratings are
passed over, and beside those of the batch's other rows where all are multiplied by one matrix.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from daskals.kernels.half_step.batch import LANES, aligned_floats
from daskals.kernels.half_step.block import BlockInput, BlockOutput
from daskals.kernels.half_step.gradient_lanes import END, GO_ON, move_errors, pass_over
from daskals.kernels.half_step.gradient_row_batches import (
    LEAST_BEND,
    GradientInput,
    GradientRows,
    begin_batch,
    clear,
    finish_batch,
    make_rows,
    most_ratings,
    panels_of,
    squares,
    whole_vectors,
)
from daskals.kernels.half_step.side_by_side_lanes import (
    PANEL_COLUMNS,
    add_inner_products,
    add_multiples,
    add_tridiagonal,
    batch_product,
    solve_tridiagonals,
)
from daskals.kernels.half_step.turning_lanes import lay_apart, lay_beside
from daskals.kernels.toolkit.jit import exact_jit
from daskals.kernels.toolkit.simd import unowned
from daskals.types import Float32, Float64


@exact_jit
def _shared_form(given: GradientInput, rows: GradientRows, values: Float32, totals: Float64) -> None:
    """Add xᵀAx to the totals of all rows, A what they share and x the values."""
    clear(rows.mixed)
    add_tridiagonal(given.diagonal, given.beside, np.float32(given.shared), values, rows.mixed, given.size)
    add_inner_products(rows.mixed, values, totals, given.size)


@exact_jit
def _turn(given: GradientInput, rows: GradientRows, slopes: Float64, stride: int) -> None:
    """Choose the rows' next step: down the preconditioned gradient, conjugate to the step before."""
    size, along, solved, step, inverses = given.size, rows.along, rows.solved, rows.step, given.inverses
    solve_tridiagonals(
        given.diagonal,
        given.beside,
        rows.multiples,
        rows.shifts,
        rows.right,
        solved,
        rows.pivots,
        rows.below,
        size,
    )
    for lane in range(LANES):
        slopes[lane] = 0.0
    add_inner_products(rows.right, solved, slopes, size)
    for lane in range(LANES):
        before = rows.slopes[lane]
        share = slopes[lane] / before if before > 0.0 else 0.0
        rows.lengths[lane], rows.slopes[lane] = np.float32(share), slopes[lane]
        rows.expected[lane] = slopes[lane] + share * share * rows.expected[lane]
    add_multiples(rows.lengths, along, solved, size)
    for k in range(size * LANES):
        along[k] = solved[k]
    for lane in range(LANES):
        rows.falls[lane] = 0.0
    # rounding makes steps less conjugate: how far to go is asked of the gradient there is
    add_inner_products(rows.right, along, rows.falls, size)
    mixed = rows.mixed
    batch_product(given.back, along, mixed, size, panels_of(size))
    lay_apart(mixed, step, stride, whole_vectors(size))
    for lane in range(LANES):
        own = step[lane * stride : lane * stride + size]
        for k in range(size):
            own[k] *= inverses[k]
        clear(step[lane * stride + size : (lane + 1) * stride])


def _passing(kind: int) -> Callable[[BlockInput, GradientInput, GradientRows, int], None]:
    """Return the kernel that passes over the ratings of a batch along its steps, made for a kind of pass."""

    @exact_jit
    def pass_along(block: BlockInput, given: GradientInput, rows: GradientRows, step: int) -> None:
        stride, floats = block.other.shape[1], whole_vectors(given.size)
        for place in range(LANES):
            # there and back: what the last pass read last is still in the cache
            lane = place if step % 2 else LANES - 1 - place
            if rows.upper[lane] > rows.lower[lane]:
                rows.bends[lane] += pass_over(
                    block,
                    given.known,
                    given.weights,
                    rows.step,
                    lane * stride,
                    rows.turns,
                    rows.at[lane],
                    rows.change,
                    lane * stride,
                    rows.lower[lane],
                    rows.upper[lane],
                    floats,
                    kind,
                )

    return pass_along


_go_on, _end = _passing(GO_ON), _passing(END)


@exact_jit
def _bend(block: BlockInput, given: GradientInput, rows: GradientRows, lane: int, start: int) -> float:
    """Return how strongly the objective bends along a row's step; lay out what that adds to its gradient."""
    rank, size, inverses = block.rank, given.size, given.inverses
    step, change = rows.step[start : start + size], rows.change[start : start + size]
    ridge = np.float32(rows.ridges[lane] * block.ridge_factors)
    bend = rows.bends[lane] + np.float64(ridge) * squares(step[:rank])
    for k in range(rank):
        change[k] = (change[k] - ridge * step[k]) * inverses[k]
    if size > rank:
        ridge, own = np.float32(rows.ridges[lane] * block.ridge_bias), step[rank]
        bend += np.float64(ridge) * np.float64(own) * np.float64(own)
        change[rank] = (change[rank] - ridge * own) * inverses[rank]
    return float(bend)


@exact_jit
def _go(block: BlockInput, given: GradientInput, rows: GradientRows) -> None:
    """Find how long the rows' steps are, to the lowest point; move rows and errors the relaxed way."""
    stride, size = block.other.shape[1], given.size
    for lane in range(LANES):
        if rows.upper[lane] == rows.lower[lane]:
            continue
        start = lane * stride
        bend = _bend(block, given, rows, lane, start)
        # where the objective bends by rounding alone there is nowhere to go
        bends = bend > max(LEAST_BEND * rows.expected[lane], 0.0)
        length = np.float32(rows.falls[lane] / bend) if bends else np.float32(0.0)
        way = given.relaxation * length
        rows.lengths[lane], rows.ways[lane] = length, way
        x, step = rows.x[start : start + size], rows.step[start : start + size]
        for k in range(size):
            x[k] += way * step[k]
        rows.squares[lane] = move_errors(
            rows.errors,
            rows.turns,
            rows.at[lane],
            way,
            given.weights,
            rows.lower[lane],
            rows.upper[lane],
        )


@exact_jit
def _step(
    block: BlockInput,
    given: GradientInput,
    rows: GradientRows,
    slopes: Float64,
    changes: Float32,
    step: int,
) -> None:
    """Take one step with every row of a batch; the last one leaves no gradient."""
    size, ends = given.size, step == given.steps - 1
    _turn(given, rows, slopes, block.other.shape[1])
    clear(rows.change)
    for lane in range(LANES):
        rows.bends[lane] = 0.0
        rows.lengths[lane] = rows.ways[lane] = np.float32(0.0)
    if given.shared > 0.0:
        _shared_form(given, rows, rows.along, rows.bends)
    if ends:
        _end(block, given, rows, step)
    else:
        _go_on(block, given, rows, step)
    _go(block, given, rows)
    if given.shared > 0.0:
        add_multiples(rows.ways, rows.along, rows.place, size)
    if ends:
        return
    lay_beside(rows.change, block.other.shape[1], rows.mixed, whole_vectors(size))
    batch_product(given.into, rows.mixed, changes, size, panels_of(size))
    if given.shared > 0.0:
        add_tridiagonal(given.diagonal, given.beside, np.float32(-given.shared), rows.along, changes, size)
    add_multiples(rows.lengths, changes, rows.right, size)


@exact_jit
def improve_rows(block: BlockInput, given: GradientInput, output: BlockOutput, first: int, stop: int) -> None:
    """Improve the rows first, …, stop − 1 of a block by some steps each.

    Parameters
    ----------
    block, given
        What the rows are given.
    output
        Where they go.
    first, stop
        Which.
    """
    memory = make_rows(block.other.shape[1], given.size, most_ratings(block.indptr, first, stop))
    changes, slopes = aligned_floats((given.size + PANEL_COLUMNS) * LANES), np.zeros(LANES)
    rows, shown, besides, written = unowned(memory), unowned(block), unowned(given), unowned(output)
    for batch in range(first, stop, LANES):
        count = min(LANES, stop - batch)
        begin_batch(shown, besides, rows, written, batch, count)
        for step in range(besides.steps):
            _step(shown, besides, rows, slopes, changes, step)
        if besides.shared > 0.0:
            _shared_form(besides, rows, rows.place, rows.squares)
        finish_batch(shown, besides, rows, written, batch, count)
    memory.at[0] = 0  # memory is alive until here
