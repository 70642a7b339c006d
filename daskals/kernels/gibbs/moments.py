"""Moments of a side's rows, what these tell of their prior: sums that add up over blocks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from daskals.kernels.prior.features import FeatureRows, transposed_times
from daskals.kernels.toolkit.jit import exact_jit
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
        Fᵀx, shape (features, size), over the same rows; no rows where nobody needs it.
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
    """Return [factors, bias] of factor rows, shape (rows, stride), as float64, shape (rows, rank + 1)."""
    x = rows[:, : rank + 1].astype(np.float64)
    x[:, rank] = rows[:, rank + 1]
    return x


@exact_jit
def _residual(rows: FactorRows, counts: Int64, means: Float64, row: int, out: Float64) -> None:
    """Write a row's [factors, bias] less its mean, if it has one; zeros past the end and without ratings."""
    rank = len(out) - 1
    for k in range(len(out)):
        out[k] = 0.0
        if row < len(rows) and counts[row] > 0:
            out[k] = rows[row, k if k < rank else rank + 1]
            if len(means) > 0:
                out[k] -= means[row, k]


@exact_jit
def _residual_moments(
    rows: FactorRows, counts: Int64, means: Float64, first: Float64, second: Float64
) -> None:
    """Sum e and the lower triangle of eeᵀ, e the rows' residuals.

    Four rows at a time: the sums are then loaded and stored a quarter as often. Rows are still added one
    after the other, so that the bits are those of a row at a time.
    """
    size = len(first)
    e = np.empty((4, size))
    for start in range(0, len(rows), 4):
        for k in range(4):
            _residual(rows, counts, means, start + k, e[k])
        for a in range(size):
            e0, e1, e2, e3 = e[0, a], e[1, a], e[2, a], e[3, a]
            first[a] = first[a] + e0 + e1 + e2 + e3
            for b in range(a + 1):
                total = second[a, b] + e0 * e[0, b] + e1 * e[1, b]
                second[a, b] = total + e2 * e[2, b] + e3 * e[3, b]


def sum_moments(
    rows: FactorRows, counts: Int64, features: FeatureRows | None, pulls: Float64 | None, rank: int
) -> Moments:
    """Sum what a block's rows tell of their prior.

    Parameters
    ----------
    rows
        Factor rows, shape (rows, stride).
    counts
        Shape (rows,): ratings of each row; those without are left out.
    features
        F of the rows; None where there is none, or where nobody needs Fᵀx.
    pulls
        F·W, float64, shape (rows, rank + 1); None without features.
    rank
        Number of factors.
    """
    size = rank + 1
    first, second = np.zeros(size), np.zeros((size, size))
    projected, counted = np.zeros((0, size)), np.zeros(0)
    if features is not None:
        x = row_vectors(rows, rank)
        x[counts == 0] = 0.0
        rated = (counts > 0).astype(np.float64)[:, None]
        projected = transposed_times(features, x)
        counted = transposed_times(features, rated)[:, 0]
    means = np.empty((0, size)) if pulls is None else pulls
    _residual_moments(rows, counts, means, first, second)
    return Moments(int(np.count_nonzero(counts)), first, second + np.tril(second, -1).T, projected, counted)


def prior_pull(moments: Moments, mean: Float64, precision: Float64) -> float:
    """Return Σ(x − m)ᵀΛ(x − m) over the rows with ratings, m = μ + fW, by way of their moments.

    `mean`, `precision`: μ, shape (size,), and Λ, shape (size, size); of Λ the lower triangle is read.
    """
    crossed = np.outer(mean, moments.first)
    second = moments.second - crossed - crossed.T + moments.n * np.outer(mean, mean)
    lower = np.tril(precision, -1)
    return float(2.0 * np.sum(lower * second) + np.sum(np.diag(precision) * np.diag(second)))
