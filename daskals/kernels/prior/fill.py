"""Filling in of eliminated rows: moved from a prior mean of zero to F·W; see `prior.eliminate`."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from daskals.kernels.half_step.batch import DIRECT_BELOW, LANES
from daskals.kernels.half_step.block import BlockInput, make_input
from daskals.kernels.half_step.inverse import multiply_interleaved
from daskals.kernels.half_step.joined import joined_pieces
from daskals.kernels.half_step.plain import direct_sse
from daskals.kernels.half_step.weighted import (
    Weighting,
    pack_weighting,
    shared_product,
    weighted_squares,
    weights_of,
)
from daskals.kernels.half_step.weighted_batches import WeightedInput
from daskals.kernels.prior.eliminated import Eliminated
from daskals.kernels.prior.features import FeatureRows, kinds_times
from daskals.kernels.prior.whitened_product import product_floats, whitened_product
from daskals.kernels.toolkit.jit import PLAIN, exact_jit
from daskals.kernels.toolkit.layout import empty_rows
from daskals.types import BlockStats, FactorRows, Float32, Float64, Int64, RatingsBlock, Ridge


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
def pull_lanes(priors: Float64, weights: Float64, rows: Int64, places: Int64, pull: Float64) -> None:
    """Lay Tm of a batch's rows side by side; `places` says which of the priors is a row's.

    Parameters
    ----------
    priors, weights
        m, shape (kinds, rank + 1); T of factors and bias, shape (rows of the block, 2).
    rows, places
        Shape (rows of the batch,); shape (rows of the block,).
    pull
        Shape (rank + 1, LANES): receives Tm.
    """
    last = len(pull) - 1
    pull[:] = 0.0
    for lane in range(len(rows)):
        row = rows[lane]
        prior = priors[places[row]]
        for a in range(last):
            pull[a, lane] = weights[row, 0] * prior[a]
        pull[last, lane] = weights[row, 1] * prior[last]


@exact_jit
def _keep(x: Float64, solved: Float32) -> None:
    """Write [factors, bias] to a factor row."""
    last = len(x) - 1
    for a in range(last):
        solved[a] = x[a]
    solved[last + 1] = x[last]


@exact_jit
def _lay_out(rows: Int64, places: Int64, means: Float64, x0: Float32, prior: Float64, own: Float64) -> None:
    """Lay m and x⁰ of a batch's rows side by side; lanes without a row keep what they have."""
    for lane in range(len(rows)):
        mean, solution = means[places[rows[lane]]], x0[rows[lane]]
        for a in range(len(prior)):
            prior[a, lane] = mean[a]
            own[a, lane] = solution[a]


@exact_jit
def _move(step: Float64, pull: Float64, prior: Float64, own: Float64, sums: Float64) -> None:
    """Turn the steps into x = x⁰ + step; write what the rows' objective changes by, and Σ(x − m)² of factors.

    All are side by side; `sums` has the shape (3, LANES), its last row for (x − m)² of the bias.
    """
    last = len(step) - 1
    for a in range(last + 1):
        for lane in range(LANES):
            moved, mean, solution = step[a, lane], prior[a, lane], own[a, lane]
            sums[0, lane] += pull[a, lane] * (mean - 2.0 * solution - moved)
            x = solution + moved
            step[a, lane] = x
            square = (x - mean) ** 2
            if a < last:
                sums[1, lane] += square
            else:
                sums[2, lane] = square


@exact_jit
def _fill_solved(
    eliminated: Eliminated, means: Float64, places: Int64, solved: FactorRows, stats: Float64
) -> None:
    """Fill in the rows that have inverses: x = x⁰ + (S + T)⁻¹Tm; stats get objective and penalty."""
    weights, x0, inverse = eliminated.weights, eliminated.x0, eliminated.inverse
    objective, order = eliminated.objective, eliminated.order
    size = x0.shape[1]
    pull, step, sums = np.empty((size, LANES)), np.empty((size, LANES)), np.empty((3, LANES))
    prior, own = np.zeros((size, LANES)), np.zeros((size, LANES))
    for first in range(0, len(order), LANES):
        rows = order[first : first + LANES]
        _lay_out(rows, places, means, x0, prior, own)
        pull_lanes(means, weights, rows, places, pull)
        multiply_lanes(inverse[first // LANES], pull, step, size)
        for lane in range(LANES):
            sums[0, lane] = objective[rows[lane]] if lane < len(rows) else 0.0
            sums[1, lane] = 0.0
        _move(step, pull, prior, own, sums)
        for lane in range(len(rows)):
            row = rows[lane]
            for a in range(size):
                solved[row, a if a < size - 1 else size] = step[a, lane]
            stats[row, 0] = sums[0, lane]
            stats[row, 1] = weights[row, 0] * sums[1, lane] + weights[row, 1] * sums[2, lane]


@lru_cache
def _filling_whitened(rank: int) -> Callable[[Eliminated, Float64, Int64, FactorRows, Float64], None]:
    """Return the kernel that fills in the rows that have whitened ratings: x = m + T⁻¹Yᵀ(u − Ym)."""
    size, floats = rank + 1, product_floats(rank)
    multiply = whitened_product(rank)

    @exact_jit
    def fill_whitened(
        eliminated: Eliminated, means: Float64, places: Int64, solved: FactorRows, stats: Float64
    ) -> None:
        weights, starts, whitened = eliminated.weights, eliminated.starts, eliminated.whitened
        prior, x = np.zeros(floats), np.zeros(floats)
        prior[size + 1] = 1.0
        for row in range(len(solved)):
            if starts[row + 1] == starts[row]:
                continue
            mean = means[places[row]]
            for a in range(size):
                prior[a] = mean[a]
            total = multiply(whitened, starts[row], starts[row + 1], prior, x)
            of_factors, of_bias = 1.0 / weights[row, 0], 1.0 / weights[row, 1]
            penalty = 0.0
            for a in range(size - 1):
                step = of_factors * x[a]
                penalty += step * x[a]
                solved[row, a] = mean[a] + step
            step = of_bias * x[size - 1]
            solved[row, size] = mean[size - 1] + step
            stats[row, 0] = total
            stats[row, 1] = penalty + step * x[size - 1]

    return fill_whitened


@exact_jit
def _finish(
    block: BlockInput, given: WeightedInput, means: Float64, places: Int64, solved: FactorRows, stats: Float64
) -> None:
    """Set rows that did not count to their prior mean, and turn the others' objectives into SSEs."""
    size, roots, shared = means.shape[1], given.roots, given.shared
    x = np.empty(size)
    for row in range(len(solved)):
        if block.indptr[row + 1] == block.indptr[row] and len(shared) == 0:
            _keep(means[places[row]], solved[row])
            continue
        total = stats[row, 0]
        stats[row, 0] -= stats[row, 1]
        if stats[row, 0] < DIRECT_BELOW * abs(total):
            for a in range(size - 1):
                x[a] = solved[row, a]
            x[size - 1] = solved[row, size]
            if len(roots) + len(shared) > 0:
                stats[row, 0] = weighted_squares(block, roots, row, x) + shared_product(shared, x)
            else:
                stats[row, 0] = direct_sse(block, row, x)


def fill_rows(
    eliminated: Eliminated,
    features: FeatureRows,
    weights: Float64,
    block: RatingsBlock,
    other: FactorRows,
    *,
    rank: int,
    mean: float,
    weighting: Weighting | None = None,
    third: FactorRows | None = None,
) -> tuple[FactorRows, BlockStats]:
    """Move the rows of a block from a prior mean of zero to F·W.

    Parameters
    ----------
    eliminated, features
        The block's rows, of `eliminate_rows`; F of these rows.
    weights
        W, float64, shape (features, rank + 1).
    block
        The ratings: rows that are fitted almost exactly are compared with them.
    other
        Factor rows of the other side, shape (rows, stride).
    rank, mean
        Number of factors; the global mean μ.
    weighting
        Of implicit feedback, as `eliminate_rows` took it.
    third
        Factor rows of a third side, shape (rows, stride), as `eliminate_rows` took them.

    Returns
    -------
    The block's factor rows, shape (rows, stride), rows that did not count at their prior mean, and what
    they add to the objective; of implicit feedback its `sse` holds Σ w(y − xᵀz)² + Σ pᵀAp over all rows.
    """
    solved = empty_rows(block.n_rows, rank)
    stats = np.zeros((block.n_rows, 2))
    means, places = kinds_times(features, weights)
    _fill_solved(eliminated, means, places, solved, stats)
    _filling_whitened(rank)(eliminated, means, places, solved, stats)
    if third is None:
        given = make_input(block, other, rank, mean, Ridge(0.0, 0.0))
        weighs = weights_of(block) if weighting is None else pack_weighting(block, weighting, rank)
        _finish(given, weighs, means, places, solved, stats)
    else:
        compared = stats[:, 0] - stats[:, 1] < DIRECT_BELOW * np.abs(stats[:, 0])
        for piece, joined in joined_pieces(block, other, third, rank, wanted=compared):
            here = slice(piece.start - block.start, piece.start - block.start + piece.n_rows)
            given = make_input(piece, joined, rank, mean, Ridge(0.0, 0.0))
            _finish(given, weights_of(piece), means, places[here], solved[here], stats[here])
    sse, penalty = np.add.accumulate(stats, axis=0)[-1] if block.n_rows else (0.0, 0.0)
    return solved, BlockStats(float(sse), float(penalty))
