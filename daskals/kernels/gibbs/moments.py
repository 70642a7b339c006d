"""Moments of a side's rows, what these tell of their prior: sums that add up over blocks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from daskals.kernels.gibbs.moment_lanes import sum_residuals
from daskals.kernels.prior.features import FeatureRows
from daskals.kernels.toolkit.jit import PLAIN, exact_jit
from daskals.types import FactorRows, Float32, Float64, Int32, Int64


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
def sum_residuals_plain(
    rows: FactorRows, counts: Int64, means: Float64, first: Float64, second: Float64
) -> None:
    """Sum e and the lower triangle of eeᵀ row by row; the plain twin of `moment_lanes.sum_residuals`.

    Parameters
    ----------
    rows, counts
        Shape (rows, stride), and (rows,).
    means
        Shape (rows, size), or without rows.
    first, second
        Shape (size,), and (size, size).
    """
    size = len(first)
    for row in range(len(rows)):
        if counts[row] == 0:
            continue
        e = rows[row, : size + 1].astype(np.float64)
        e[size - 1] = e[size]
        if len(means) > 0:
            e[:size] -= means[row]
        for a in range(size):
            first[a] += e[a]
            for b in range(a + 1):
                second[a, b] += e[a] * e[b]


@exact_jit
def _project(
    indptr: Int64,
    indices: Int32,
    values: Float32,
    rows: FactorRows,
    counts: Int64,
    projected: Float64,
    counted: Float64,
) -> None:
    """Sum Fᵀx and Fᵀ1 over the rows with ratings."""
    last = projected.shape[1] - 1
    for row in range(len(rows)):
        if counts[row] == 0:
            continue
        for j in range(indptr[row], indptr[row + 1]):
            target, value = projected[indices[j]], np.float64(values[j])
            for k in range(last):
                target[k] += value * rows[row, k]
            target[last] += value * rows[row, last + 1]
            counted[indices[j]] += value


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
        projected, counted = np.zeros((features.n_features, size)), np.zeros(features.n_features)
        _project(features.indptr, features.indices, features.values, rows, counts, projected, counted)
    means = np.empty((0, size)) if pulls is None else pulls
    (sum_residuals_plain if PLAIN else sum_residuals)(rows, counts, means, first, second)
    return Moments(int(np.count_nonzero(counts)), first, second + np.tril(second, -1).T, projected, counted)


def prior_pull(moments: Moments, mean: Float64, precision: Float64) -> float:
    """Return Σ(x − m)ᵀΛ(x − m) over the rows with ratings, m = μ + fW, by way of their moments.

    `mean`, `precision`: μ, shape (size,), and Λ, shape (size, size); of Λ the lower triangle is read.
    """
    crossed = np.outer(mean, moments.first)
    second = moments.second - crossed - crossed.T + moments.n * np.outer(mean, mean)
    lower = np.tril(precision, -1)
    return float(2.0 * np.sum(lower * second) + np.sum(np.diag(precision) * np.diag(second)))
