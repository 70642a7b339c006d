"""Rows eliminated from the equations of W, to be filled in once W is known.

With S = Σ zzᵀ and v = Σ zy of a row's ratings (z = [q, 1]), T its ridge weights and m = fW its prior mean,
the row minimises Σ(y − xᵀz)² + (x − m)ᵀT(x − m) at x = x⁰ + (S + T)⁻¹Tm, x⁰ = (S + T)⁻¹v, where that
minimum is J⁰ − 2mᵀTx⁰ + mᵀAm with A = T(S + T)⁻¹S and J⁰ = Σy² − vᵀx⁰. Summed over the rows, with η'‖W‖²
added, it is quadratic in W alone: (Σ ffᵀ ⊗ A + η'I) vec W = Σ f ⊗ Tx⁰. Everything is relative to λ.

`eliminate_rows` builds each row's Gram matrix once and keeps x⁰, J⁰ and (S + T)⁻¹; of rows with few ratings
it keeps less, their whitened ratings (`prior.whiten`). `prior.fill` finishes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from daskals.errors import RowError
from daskals.kernels.half_step.batches import LANES
from daskals.kernels.half_step.coded import BAD_PIVOT, FOUND, NOT_FINITE, OK, Coded, coded_block, row_gram
from daskals.kernels.half_step.lane_rows import elimination_kernel, make_outcome, make_task
from daskals.kernels.half_step.plain import factorise
from daskals.kernels.half_step.rows import PLAIN
from daskals.kernels.prior.lane_few import whitening_kernel
from daskals.kernels.prior.whiten import most_whitened, whiten_plain
from daskals.kernels.toolkit.jit import exact_jit
from daskals.kernels.toolkit.layout import row_stride
from daskals.types import FactorRows, Float32, Float64, Int64, RatingsBlock, Ridge


class Eliminated(NamedTuple):
    """The rows of a block, solved for a prior mean of zero, with what any other prior mean needs.

    Attributes
    ----------
    start
        Index of the first row on its side.
    weights
        float64, shape (rows, 2): T of factors and of the bias; zero for rows without ratings.
    order
        int64: the rows that are solved, from 0 in this block, in their order among the inverses.
    inverse
        float32, shape (batches, (rank + 1)(rank + 2)/2, lanes): lower triangle of (S + T)⁻¹ of those rows,
        entry by entry for as many side by side as a vector has lanes.
    x0
        float32, shape (rows, rank + 1): x⁰ = [factors, bias] of those rows, zero for others.
    objective
        float64, shape (rows,): J⁰ of those rows.
    starts
        int64, shape (rows + 1,): where the whitened ratings of each row start; other rows have none.
    whitened
        float32, shape (whitened ratings, row_stride(rank + 1)): [Y, 1, −u] of each, then zeros.
    """

    start: int
    weights: Float64
    order: Int64
    inverse: Float32
    x0: Float32
    objective: Float64
    starts: Int64
    whitened: FactorRows


@exact_jit
def invert_factor(factor: Float64) -> None:
    """Replace the lower triangle L by L⁻¹."""
    size = len(factor)
    for column in range(size):
        factor[column, column] = 1.0 / factor[column, column]
        for row in range(column + 1, size):
            total = 0.0
            for k in range(column, row):
                total -= factor[row, k] * factor[k, column]
            factor[row, column] = total / factor[row, row]


@exact_jit
def _invert_row(root: Float64, v: Float64, x0: Float32, inverse: Float32) -> float:
    """Write (S + T)⁻¹ and x⁰ = (S + T)⁻¹v, given the inverse of the Cholesky factor; return vᵀx⁰."""
    size = len(v)
    explained, entry = 0.0, 0
    for a in range(size):
        x = 0.0
        for b in range(size):
            low, high = min(a, b), max(a, b)
            total = 0.0
            for k in range(high, size):
                total += root[k, low] * root[k, high]
            x += total * v[b]
            if b <= a:
                inverse[entry] = total
                entry += 1
        x0[a] = x
        explained += x * v[a]
    return explained


@exact_jit
def _eliminate(
    block: Coded,
    other: FactorRows,
    mean: float,
    order: Int64,
    inverse: Float32,
    x0: Float32,
    objective: Float64,
    weights: Float64,
    status: Int64,
) -> None:
    size = x0.shape[1]
    gram = np.empty((size + 1, size + 1))
    v = np.empty(size)
    for place in range(len(order)):
        row = order[place]
        status[row] = row_gram(block, row, other, mean, gram)
        for k in range(size):
            v[k] = gram[size, k]
            gram[k, k] += weights[row, 0 if k < size - 1 else 1]
        squares = gram[size, size]
        if status[row] == OK and not factorise(gram[:size, :size]):
            status[row] = BAD_PIVOT if np.isfinite(squares) else NOT_FINITE
        if status[row] != OK:
            continue
        invert_factor(gram[:size, :size])
        explained = _invert_row(gram, v, x0[row], inverse[place // LANES, :, place % LANES])
        objective[row] = squares - explained
        if not np.isfinite(explained + squares):
            status[row] = NOT_FINITE


def eliminate_rows(
    block: RatingsBlock, other: FactorRows, *, rank: int, mean: float, ridge: Ridge
) -> Eliminated:
    """Solve every row of a block for a prior mean of zero, keeping what another needs.

    Parameters
    ----------
    block
        The rows' ratings.
    other
        Factor rows of the other side.
    rank, mean
        Number of factors; the global mean μ.
    ridge
        Regularisation of this side.

    Raises
    ------
    DataError
        If the factor rows are not of this rank.
    RowError
        If a row's equations are not positive definite, or it holds an index or rating that is none.

    Notes
    -----
    About twice the operations of a plain solve beside the Gram, n·K²/2 + K³/2 a row; about n²K for rows with
    few ratings.
    """
    coded = coded_block(block, other, rank)
    counts = np.diff(coded.indptr)
    order, few = _share_out(counts, most_whitened(rank) if min(ridge.factors, ridge.bias) > 0 else 0)
    result = _make_room(block, rank, order, few, counts)
    status = np.zeros(block.n_rows, dtype=np.int64)
    if PLAIN:
        strengths = counts.astype(np.float64) ** ridge.exponent * (counts > 0)
        result.weights[:] = strengths[:, None] * np.array([ridge.factors, ridge.bias])
        room = (result.inverse, result.x0, result.objective, result.weights)
        _eliminate(coded, other, float(mean), order, *room, status)
        whitened = (result.weights, result.starts, result.whitened)
        whiten_plain(coded, other, float(mean), *whitened, status, rank + 1)
    else:
        task = make_task(block, other, rank, mean, ridge, order)
        outcome = make_outcome(task, 0)._replace(status=status)
        elimination_kernel(rank)(task, outcome, result.x0, result.inverse, result.objective, result.weights)
        whitening_kernel(rank)(task, few, result.starts, result.whitened, result.weights, status)
    raise_first(status, block.start)
    return result


def _share_out(counts: Int64, most: int) -> tuple[Int64, Int64]:
    """Return the rows to be solved, and those to be whitened by ascending number of ratings."""
    few = np.flatnonzero((counts > 0) & (counts <= most))
    by_count = np.argsort(counts[few].astype(np.uint8), kind="stable")
    return np.flatnonzero(counts > most), few[by_count]


def _make_room(block: RatingsBlock, rank: int, order: Int64, few: Int64, counts: Int64) -> Eliminated:
    size, n_rows = rank + 1, block.n_rows
    starts = np.zeros(n_rows + 1, np.int64)
    starts[few + 1] = counts[few]
    np.cumsum(starts, out=starts)
    return Eliminated(
        block.start,
        np.zeros((n_rows, 2)),
        order,
        np.zeros((-(-len(order) // LANES), size * (size + 1) // 2, LANES), np.float32),
        np.zeros((n_rows, size), np.float32),
        np.zeros(n_rows),
        starts,
        np.zeros((starts[-1], row_stride(size)), np.float32),
    )


def raise_first(status: Int64, start: int) -> None:
    """Raise RowError for the first row whose status is not OK."""
    bad = np.flatnonzero(status)
    if len(bad):
        raise RowError(FOUND[int(status[bad[0]])], row=start + int(bad[0]))
