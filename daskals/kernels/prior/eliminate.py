"""Elimination of rows from the equations of W, to be filled in once W is known.

With S = Σ zzᵀ and v = Σ zy of a row's ratings (z = [q, 1]), T its ridge weights and m = fW its prior mean,
the row minimises Σ(y − xᵀz)² + (x − m)ᵀT(x − m) at x = x⁰ + (S + T)⁻¹Tm, x⁰ = (S + T)⁻¹v, where that
minimum is J⁰ − 2mᵀTx⁰ + mᵀAm with A = T(S + T)⁻¹S and J⁰ = Σy² − vᵀx⁰. Summed over the rows, with η'‖W‖²
added, it is quadratic in W alone: (Σ ffᵀ ⊗ A + η'I) vec W = Σ f ⊗ Tx⁰. Everything is relative to λ.

Implicit feedback has a matrix that all rows share, S = Σ w·qqᵀ + A, and no bias: its weight in T is 0, so
that it is 0 and takes no part. Rows without observations answer for A as well, and count as the others do.

`eliminate_rows` builds each row's Gram matrix once and keeps x⁰, J⁰ and (S + T)⁻¹; of rows with few ratings
it keeps less, their whitened ratings (`prior.whiten`). `prior.fill` finishes.
"""

from __future__ import annotations

import numpy as np

from daskals.errors import DataError
from daskals.kernels.half_step.batch import LANES
from daskals.kernels.half_step.block import BlockInput, frozen, make_input, make_output
from daskals.kernels.half_step.joined import join_block
from daskals.kernels.half_step.plain import factorise, row_gram
from daskals.kernels.half_step.status import BAD_PIVOT, NOT_FINITE, OK, raise_first
from daskals.kernels.half_step.weighted import (
    Weighting,
    add_packed,
    pack_weighting,
    weighted_gram,
    weights_of,
)
from daskals.kernels.half_step.weighted_batches import WeightedInput
from daskals.kernels.prior.eliminate_batches import elimination_kernel
from daskals.kernels.prior.eliminated import Eliminated
from daskals.kernels.prior.pattern_sums import PatternSums, start_sums, sum_solved
from daskals.kernels.prior.unbiased_batches import unbiased_elimination
from daskals.kernels.prior.whiten import most_whitened, whiten_plain
from daskals.kernels.prior.whiten_batches import whitening_kernel
from daskals.kernels.toolkit.jit import PLAIN, exact_jit
from daskals.kernels.toolkit.layout import aligned_zeros, row_stride
from daskals.types import FactorRows, Float32, Float64, Int64, RatingsBlock, Ridge


@exact_jit
def invert_factor(factor: Float64) -> None:
    """Replace the lower triangle L, shape (n, n), by L⁻¹."""
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
def _share_without_bias(gram: Float64, v: Float64, shared: Float32) -> None:
    """Add the matrix that all rows share, and hold the bias at 0, on its own."""
    last = len(v) - 1
    add_packed(shared, gram)
    gram[last, :last] = 0.0
    gram[last, last] = 1.0
    v[last] = 0.0


@exact_jit
def _eliminate(block: BlockInput, given: WeightedInput, result: Eliminated, status: Int64) -> None:
    """Eliminate rows one by one; the plain twin of `prior.eliminate_batches`."""
    size, roots, shared = block.rank + 1, given.roots, given.shared
    gram = np.empty((size + 1, size + 1))
    v = np.empty(size)
    for place in range(len(result.order)):
        row = result.order[place]
        if len(roots) > 0:
            status[row] = weighted_gram(block, roots, row, gram)
        else:
            status[row] = row_gram(block, row, gram)
        for k in range(size):
            v[k] = gram[size, k]
            gram[k, k] += result.weights[row, 0 if k < size - 1 else 1]
        squares = gram[size, size]
        if len(shared) > 0:
            _share_without_bias(gram[:size, :size], v, shared)
        if status[row] == OK and not factorise(gram[:size, :size]):
            status[row] = BAD_PIVOT if np.isfinite(squares) else NOT_FINITE
        if status[row] != OK:
            continue
        invert_factor(gram[:size, :size])
        explained = _invert_row(gram, v, result.x0[row], result.inverse[place // LANES, :, place % LANES])
        result.objective[row] = squares - explained
        if not np.isfinite(explained + squares):
            status[row] = NOT_FINITE


def eliminate_rows(
    block: RatingsBlock,
    other: FactorRows,
    *,
    rank: int,
    mean: float,
    ridge: Ridge,
    weighting: Weighting | None = None,
    third: FactorRows | None = None,
    sums: PatternSums | None = None,
) -> Eliminated:
    """Solve every row of a block for a prior mean of zero, keeping what another needs.

    Parameters
    ----------
    block, other
        The rows' ratings; factor rows of the other side, shape (rows, stride).
    rank, mean
        Number of factors; the global mean μ.
    ridge
        Regularisation of this side.
    weighting
        Of implicit feedback, without a bias: what its observations weigh and all rows share. Rows without
        observations then count as well.
    third
        Factor rows of a third side, shape (rows, stride), if there is one: the ratings are of both.
    sums
        What the rows with inverses are added to at once; `sum_system` adds the others.

    Raises
    ------
    DataError
        If the factor rows are not of this rank, or what weighs them does not fit or has a bias.
    RowError
        If a row's equations are not positive definite, or it holds an index or rating that is none.

    Notes
    -----
    About twice the operations of a plain solve beside the Gram, n·K²/2 + K³/2 a row; about n²K for rows with
    few ratings.
    """
    if weighting is not None:
        result = _eliminate_unbiased(block, other, weighting, rank, ridge)
        if sums is not None:
            sum_solved(result, sums)
        return result
    if third is not None and PLAIN:
        (block, other), third = join_block(block, other, third, rank), None
    given = make_input(block, other, rank, mean, ridge, third=third)
    sides = 2 if third is None else 3
    counts = np.diff(given.indptr)
    weights, weighted = weights_of(block), block.weights is not None
    # whitened ratings are as many as the rows': those that count otherwise go by their rows' equations
    can_whiten = min(ridge.factors, ridge.bias) > 0 and not weighted
    order, few = _share_out(counts, most_whitened(rank) if can_whiten else 0)
    result = _make_room(block, rank, order, few, counts)
    output = make_output(given, solved=False)
    if PLAIN:
        strengths = block.row_weights**ridge.exponent * (counts > 0)
        result.weights[:] = strengths[:, None] * np.array([ridge.factors, ridge.bias])
        _eliminate(given, weights, result, output.status)
        whiten_plain(given, result, output.status)
        if sums is not None:
            sum_solved(result, sums)
    else:
        ordered = given._replace(order=frozen(order, np.int64))
        added = start_sums(order[:0], rank) if sums is None else sums
        elimination_kernel(rank, weighted=weighted, sides=sides)(ordered, weights, output, result, added)
        whitening_kernel(rank, sides)(given, few, result, output.status)
    raise_first(output.status, block.start)
    return result


def _eliminate_unbiased(
    block: RatingsBlock, other: FactorRows, weighting: Weighting, rank: int, ridge: Ridge
) -> Eliminated:
    """Eliminate all rows of a block of implicit feedback; `eliminate_rows` tells of it."""
    if weighting.biased or weighting.shared is None:
        raise DataError(
            "a weighting with a bias, or with nothing shared", expected="that of implicit feedback"
        )
    given, weights = make_input(block, other, rank, 0.0, ridge), pack_weighting(block, weighting, rank)
    order, nothing = np.arange(block.n_rows), np.empty(0, np.int64)
    result = _make_room(block, rank, order, nothing, nothing)
    output = make_output(given, solved=False)
    if PLAIN:
        result.weights[:, 0] = weights.counts**ridge.exponent * ridge.factors
        _eliminate(given, weights, result, output.status)
    else:
        ordered = given._replace(order=frozen(order, np.int64))
        unbiased_elimination(rank)(ordered, weights, output, result)
    raise_first(output.status, block.start)
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
    make = np.zeros if PLAIN else np.empty  # at speed whole vectors are written, lanes without a row too
    return Eliminated(
        block.start,
        np.zeros((n_rows, 2)),
        order,
        make((-(-len(order) // LANES), size * (size + 1) // 2, LANES), np.float32),
        np.zeros((n_rows, size), np.float32),
        np.zeros(n_rows),
        starts,
        aligned_zeros(int(starts[-1]), row_stride(size)),  # the other side's rows to whoever sums them
    )
