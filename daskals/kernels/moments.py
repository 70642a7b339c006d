"""What the rows of a side tell of their prior: sums that add up over blocks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from daskals.kernels.features import FeatureRows, times, transposed_times
from daskals.kernels.jit import exact_jit
from daskals.types import FactorRows, Float64, Int64


class Moments(NamedTuple):
    """What a side's rows with ratings tell of their prior; adds up over blocks.

    Attributes
    ----------
    n
        Rows with ratings.
    first, second
        Σe, shape (size,), and Σeeᵀ, shape (size, size), of e = x − fW, W the one the rows were drawn with.
    projected
        Fᵀx, shape (features, size), over the same rows; no rows without features.
    counted
        Fᵀ1, shape (features,).
    """

    n: int
    first: Float64
    second: Float64
    projected: Float64
    counted: Float64

    def plus(self, other: Moments) -> Moments:
        """Return the sums over both sets of rows."""
        return Moments(
            self.n + other.n,
            self.first + other.first,
            self.second + other.second,
            self.projected + other.projected,
            self.counted + other.counted,
        )


def row_vectors(rows: FactorRows, rank: int) -> Float64:
    """Return [factors, bias] of factor rows as float64, shape (rows, rank + 1)."""
    x = rows[:, : rank + 1].astype(np.float64)
    x[:, rank] = rows[:, rank + 1]
    return x


@exact_jit
def _second_moments(x: Float64, rated: Int64, first: Float64, second: Float64) -> None:
    for row in range(len(x)):
        if rated[row] == 0:
            continue
        for a in range(x.shape[1]):
            first[a] += x[row, a]
            for b in range(a + 1):
                second[a, b] += x[row, a] * x[row, b]


def sum_moments(
    rows: FactorRows, counts: Int64, features: FeatureRows | None, weights: Float64, rank: int
) -> Moments:
    """Sum what a block's rows tell of their prior.

    Parameters
    ----------
    rows
        Factor rows.
    counts
        Ratings of each row; those without are left out.
    features, weights
        F of the rows, or None, and W, float64, shape (features, rank + 1).
    rank
        Number of factors.
    """
    size = rank + 1
    x = row_vectors(rows, rank)
    x[counts == 0] = 0.0
    first, second = np.zeros(size), np.zeros((size, size))
    if features is None:
        projected, counted = np.zeros((0, size)), np.zeros(0)
        residuals = x
    else:
        rated = (counts > 0).astype(np.float64)[:, None]
        projected = transposed_times(features, x)
        counted = transposed_times(features, rated)[:, 0]
        residuals = x - times(features, weights)
    _second_moments(residuals, counts, first, second)
    return Moments(int(np.count_nonzero(counts)), first, second + np.tril(second, -1).T, projected, counted)


def prior_pull(moments: Moments, mean: Float64, precision: Float64) -> float:
    """Return Σ(x − m)ᵀΛ(x − m) over the rows with ratings, m = μ + fW, by way of their moments.

    Parameters
    ----------
    moments
        Of the rows.
    mean, precision
        μ, shape (size,), and Λ, shape (size, size); of Λ the lower triangle is read.
    """
    crossed = np.outer(mean, moments.first)
    second = moments.second - crossed - crossed.T + moments.n * np.outer(mean, mean)
    lower = np.tril(precision, -1)
    return float(2.0 * np.sum(lower * second) + np.sum(np.diag(precision) * np.diag(second)))
