"""Predictions for given pairs, and the error of the model over ratings that are known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from daskals.kernels.toolkit.jit import PLAIN, jit
from daskals.kernels.toolkit.simd import prefetch_row
from daskals.types import FactorRows, Float32, Float64, Int32, Int64, RatingsBlock, UInt8


class ErrorSums(NamedTuple):
    """Sums over ratings from which every error figure follows; they add up over blocks.

    `n`: number of ratings, or what they count together; `squared`, `squared_clipped`: Σ(r − r̂)²,
    with r̂ as it is and with r̂ clipped to the rating scale; `absolute`: Σ|r − r̂|, unclipped.
    """

    n: float
    squared: float
    squared_clipped: float
    absolute: float

    def plus(self, other: ErrorSums) -> ErrorSums:
        """Return the sums over both sets of ratings."""
        return ErrorSums(
            self.n + other.n,
            self.squared + other.squared,
            self.squared_clipped + other.squared_clipped,
            self.absolute + other.absolute,
        )


NO_ERRORS = ErrorSums(0, 0.0, 0.0, 0.0)

AHEAD = 16
"""How many ratings ahead a row of the other side is asked for."""

ASKED_FLOATS = 32
"""How much of it: two cache lines."""


@jit
def _predict(row: Float32, other_row: Float32, rank: int, mean: float) -> float:
    # r̂ = μ + b_u + b_i + p_u·q_i (paper 1, Eq. 1), from two padded rows
    total = np.float32(0.0)
    for k in range(rank):
        total += row[k] * other_row[k]
    return mean + float(row[rank + 1]) + float(other_row[rank + 1]) + float(total)


class _Model(NamedTuple):
    """What predictions need beside the rows: rank, μ, and the ends of the scale."""

    rank: int
    mean: float
    low: float
    high: float


@jit
def _error_sums(
    indptr: Int64,
    indices: Int32,
    codes: UInt8,
    ratings: Float32,
    scale: Float32,
    rows: FactorRows,
    other: FactorRows,
    model: _Model,
    sums: Float64,
) -> None:
    rank, mean, low, high = model
    coded = len(scale) > 0
    for i in range(len(indptr) - 1):
        row = rows[i]
        squared = clipped = absolute = 0.0
        for j in range(indptr[i], indptr[i + 1]):
            rating = float(scale[codes[j]]) if coded else float(ratings[j])
            guess = _predict(row, other[indices[j]], rank, mean)
            error = rating - guess
            squared += error * error
            absolute += abs(error)
            error = rating - min(max(guess, low), high)
            clipped += error * error
        sums[0] += squared
        sums[1] += clipped
        sums[2] += absolute


def score_block(
    block: RatingsBlock,
    rows: FactorRows,
    other: FactorRows,
    *,
    rank: int,
    mean: float,
    limits: tuple[float, float],
) -> ErrorSums:
    """Compare a block's ratings with the model's predictions.

    Parameters
    ----------
    block, rows
        Ratings of the rows in `rows`; factor rows of the block, shape (block.n_rows, stride).
    other
        Factor rows of the whole other side, shape (rows, stride).
    rank, mean
        Number of factors; the global mean μ.
    limits
        Lowest and highest rating of the scale, for the clipped error.

    Returns
    -------
    ErrorSums
        Summed in float64, in row order, each rating as often as it counts.
    """
    if block.weights is not None:
        return _weighed_errors(block, predict_block(block, rows, other, rank=rank, mean=mean), limits)
    # of codes and ratings the one not in use is empty, so that one compilation serves both
    coded = len(block.scale) > 0
    codes = np.asarray(block.values if coded else block.values[:0], np.uint8)
    ratings = np.asarray(block.values[:0] if coded else block.values, np.float32)
    sums = np.zeros(3)
    _error_sums(
        block.indptr,
        block.indices,
        codes,
        ratings,
        block.scale,
        rows,
        other,
        _Model(rank, mean, limits[0], limits[1]),
        sums,
    )
    return ErrorSums(len(block.indices), float(sums[0]), float(sums[1]), float(sums[2]))


def _weighed_errors(block: RatingsBlock, guesses: Float32, limits: tuple[float, float]) -> ErrorSums:
    ratings, weights = block.ratings.astype(np.float64), np.asarray(block.weights, np.float64)
    errors, clipped = ratings - guesses, ratings - np.clip(guesses.astype(np.float64), *limits)
    sums = [float(np.sum(weights * of)) for of in (errors**2, clipped**2, np.abs(errors))]
    return ErrorSums(float(weights.sum()), *sums)


@jit
def _predict_pairs(
    users: Int64,
    items: Int64,
    user_rows: FactorRows,
    item_rows: FactorRows,
    rank: int,
    mean: float,
    out: Float32,
) -> None:
    nothing = np.zeros(rank + 2, np.float32)
    for j in range(len(users)):
        row = user_rows[users[j]] if users[j] >= 0 else nothing
        other = item_rows[items[j]] if items[j] >= 0 else nothing
        out[j] = _predict(row, other, rank, mean)


def predict_pairs(
    users: Int64, items: Int64, user_rows: FactorRows, item_rows: FactorRows, *, rank: int, mean: float
) -> Float32:
    """Predict the rating of each (user row, item row) pair (paper 1, Eq. 1), unclipped, float32.

    Parameters
    ----------
    users, items
        Shape (pairs,): rows of their sides, which is not checked here; −1 for an unknown one, which adds
        nothing.
    user_rows, item_rows
        Factor rows, shape (users, stride) and (items, stride).
    rank, mean
        Number of factors; the global mean μ.
    """
    out = np.empty(len(users), np.float32)
    _predict_pairs(users, items, user_rows, item_rows, rank, mean, out)
    return out


@jit
def _predict_rows(
    indptr: Int64,
    indices: Int32,
    rows: FactorRows,
    other: FactorRows,
    rank: int,
    mean: float,
    out: Float32,
) -> None:
    last = len(indices) - 1
    for i in range(len(indptr) - 1):
        row = rows[i]
        for j in range(indptr[i], indptr[i + 1]):
            if not PLAIN:
                prefetch_row(other, indices[min(j + AHEAD, last)], ASKED_FLOATS)
            out[j] = _predict(row, other[indices[j]], rank, mean)


def predict_block(
    block: RatingsBlock, rows: FactorRows, other: FactorRows, *, rank: int, mean: float
) -> Float32:
    """Predict every rating of a block (paper 1, Eq. 1), unclipped, shape (ratings,), in the block's order.

    Parameters
    ----------
    block
        The ratings.
    rows, other
        Factor rows of the block and of the whole other side, shape (rows, stride).
    rank, mean
        Number of factors; the global mean μ.
    """
    out = np.empty(len(block.indices), np.float32)
    _predict_rows(block.indptr, block.indices, rows, other, rank, mean, out)
    return out
