"""Rows eliminated from the equations of W, and filled in once W is known.

With S = Σ zzᵀ and v = Σ zy of a row's ratings (z = [q, 1]), T its ridge weights and m = fW its prior mean,
the row minimises Σ(y − xᵀz)² + (x − m)ᵀT(x − m) at x = x⁰ + (S + T)⁻¹Tm, x⁰ = (S + T)⁻¹v, where that
minimum is J⁰ − 2mᵀTx⁰ + mᵀAm with A = T(S + T)⁻¹S and J⁰ = Σy² − vᵀx⁰. Summed over the rows, with η'‖W‖²
added, it is quadratic in W alone: (Σ ffᵀ ⊗ A + η'I) vec W = Σ f ⊗ Tx⁰. Everything is relative to λ.

`eliminate_rows` builds each row's Gram matrix once and keeps x⁰, J⁰ and (S + T)⁻¹; `fill_rows` finishes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from daskals.errors import RowError
from daskals.kernels.batches import LANES
from daskals.kernels.coded import (
    BAD_PIVOT,
    FOUND,
    NOT_FINITE,
    OK,
    Coded,
    coded_block,
    direct_sse,
    row_gram,
)
from daskals.kernels.features import FeatureRows, times
from daskals.kernels.jit import exact_jit
from daskals.kernels.lane_algebra import multiply_interleaved
from daskals.kernels.lane_rows import elimination_kernel, make_outcome, make_task
from daskals.kernels.layout import empty_rows
from daskals.kernels.plain import factorise
from daskals.kernels.rows import PLAIN
from daskals.types import BlockStats, FactorRows, Float32, Float64, Int64, RatingsBlock, Ridge

DIRECT_BELOW = 1e-3
"""Share of the row's objective below which an SSE taken from it has lost too many digits."""


class Eliminated(NamedTuple):
    """The rows of a block, solved for a prior mean of zero, with what any other prior mean needs.

    Attributes
    ----------
    start
        Index of the first row on its side.
    x0
        float32, shape (rows, rank + 1): x⁰ = [factors, bias].
    inverse
        float32, shape (batches, (rank + 1)(rank + 2)/2, lanes): lower triangle of (S + T)⁻¹, entry by entry
        for as many rows side by side as a vector has lanes.
    objective
        float64, shape (rows,): J⁰.
    weights
        float64, shape (rows, 2): T of factors and of the bias; zero for rows without ratings.
    """

    start: int
    x0: Float32
    inverse: Float32
    objective: Float64
    weights: Float64


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
    exponent: float,
    ridge: tuple[float, float],
    x0: Float32,
    inverse: Float32,
    objective: Float64,
    weights: Float64,
    status: Int64,
) -> None:
    size = x0.shape[1]
    gram = np.empty((size + 1, size + 1))
    v = np.empty(size)
    for row in range(len(x0)):
        n = block.indptr[row + 1] - block.indptr[row]
        if n == 0:
            continue
        status[row] = row_gram(block, row, other, mean, gram)
        strength = float(n) ** exponent
        weights[row, 0] = strength * ridge[0]
        weights[row, 1] = strength * ridge[1]
        for k in range(size):
            v[k] = gram[size, k]
            gram[k, k] += weights[row, 0 if k < size - 1 else 1]
        squares = gram[size, size]
        if status[row] == OK and not factorise(gram[:size, :size]):
            status[row] = BAD_PIVOT if np.isfinite(squares) else NOT_FINITE
        if status[row] != OK:
            continue
        invert_factor(gram[:size, :size])
        explained = _invert_row(gram, v, x0[row], inverse[row // LANES, :, row % LANES])
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
    About twice the operations of a plain solve beside the Gram: n·K²/2 + K³/2 a row.
    """
    size, n_rows = rank + 1, block.n_rows
    result = Eliminated(
        block.start,
        np.zeros((n_rows, size), np.float32),
        np.zeros((-(-n_rows // LANES), size * (size + 1) // 2, LANES), np.float32),
        np.zeros(n_rows),
        np.zeros((n_rows, 2)),
    )
    coded = coded_block(block, other, rank)
    if PLAIN:
        status = np.zeros(n_rows, dtype=np.int64)
        limits = (float(ridge.factors), float(ridge.bias))
        _eliminate(coded, other, float(mean), float(ridge.exponent), limits, *result[1:], status)
    else:
        task = make_task(block, other, rank, mean, ridge)
        outcome = make_outcome(task, n_rows)
        elimination_kernel(rank)(task, outcome, *result[1:])
        status = outcome.status
    raise_first(status, block.start)
    return result


def raise_first(status: Int64, start: int) -> None:
    """Raise RowError for the first row whose status is not OK."""
    bad = np.flatnonzero(status)
    if len(bad):
        raise RowError(FOUND[int(status[bad[0]])], row=start + int(bad[0]))


def _multiply_plain(matrices: Float32, vectors: Float64, products: Float64, size: int) -> None:
    """Multiply one lane after the other; the plain twin of `multiply_interleaved`."""
    lower = np.tril_indices(size)
    for lane in range(LANES):
        matrix = np.zeros((size, size))
        matrix[lower] = matrices[:, lane]
        matrix += np.tril(matrix, -1).T
        products[:, lane] = matrix @ vectors[:, lane]


multiply_lanes = _multiply_plain if PLAIN else multiply_interleaved


@exact_jit
def pull_lanes(priors: Float64, weights: Float64, first: int, count: int, pull: Float64) -> None:
    """Lay Tm of a batch's rows side by side."""
    last = len(pull) - 1
    pull[:] = 0.0
    for lane in range(count):
        row = first + lane
        for a in range(last + 1):
            pull[a, lane] = weights[row, 0 if a < last else 1] * priors[row, a]


@exact_jit
def _fill(
    block: Coded,
    other: FactorRows,
    mean: float,
    priors: Float64,
    x0: Float32,
    inverse: Float32,
    objective: Float64,
    weights: Float64,
    solved: FactorRows,
    stats: Float64,
) -> None:
    size = x0.shape[1]
    last = size - 1
    pull = np.empty((size, LANES))
    step = np.empty((size, LANES))
    x = np.empty(size)
    for first in range(0, len(x0), LANES):
        count = min(LANES, len(x0) - first)
        pull_lanes(priors, weights, first, count, pull)
        multiply_lanes(inverse[first // LANES], pull, step, size)
        for lane in range(count):
            row = first + lane
            if block.indptr[row + 1] == block.indptr[row]:
                solved[row, :last] = priors[row, :last]
                solved[row, size] = priors[row, last]
                continue
            total, penalty = objective[row], 0.0
            for a in range(size):
                own, moved, prior = x0[row, a], step[a, lane], priors[row, a]
                x[a] = own + moved
                total += pull[a, lane] * (prior - 2.0 * own - moved)
                penalty += weights[row, 0 if a < last else 1] * (x[a] - prior) ** 2
            solved[row, :last] = x[:last]
            solved[row, size] = x[last]
            stats[row, 0] = total - penalty
            stats[row, 1] = penalty
            if stats[row, 0] < DIRECT_BELOW * abs(total):
                stats[row, 0] = direct_sse(block, row, other, mean, x)


def fill_rows(
    eliminated: Eliminated,
    features: FeatureRows,
    weights: Float64,
    block: RatingsBlock,
    other: FactorRows,
    *,
    rank: int,
    mean: float,
) -> tuple[FactorRows, BlockStats]:
    """Move the rows of a block from a prior mean of zero to F·W.

    Parameters
    ----------
    eliminated
        The block's rows, of `eliminate_rows`.
    features
        F of these rows.
    weights
        W, float64, shape (features, rank + 1).
    block, other, rank, mean
        As for `eliminate_rows`; rows that are fitted almost exactly are compared with their ratings.

    Returns
    -------
    The block's factor rows, rows without ratings at their prior mean, and what they add to the objective.
    """
    solved = empty_rows(block.n_rows, rank)
    stats = np.zeros((block.n_rows, 2))
    _fill(
        coded_block(block, other, rank),
        other,
        float(mean),
        times(features, weights),
        *eliminated[1:],
        solved,
        stats,
    )
    sse, penalty = np.add.accumulate(stats, axis=0)[-1] if block.n_rows else (0.0, 0.0)
    return solved, BlockStats(float(sse), float(penalty))
