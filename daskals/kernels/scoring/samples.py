"""Predictions of a posterior kept as samples: their mean as one long product, their spread pair by pair."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from daskals.kernels.toolkit.jit import exact_jit
from daskals.kernels.toolkit.layout import aligned_empty, row_stride
from daskals.types import FactorRows, Float32, Float64, Int64


@exact_jit
def _stack(rows: Float32, chosen: Int64, scale: np.float32, out: FactorRows, biases: Float32) -> None:
    n_samples, rank = rows.shape[1], rows.shape[2] - 1
    for place in range(len(chosen)):
        row, stacked = rows[chosen[place]], out[place]
        for s in range(n_samples):
            source, target = row[s], stacked[s * rank : (s + 1) * rank]
            for k in range(rank):
                target[k] = source[k] * scale
            biases[place, s] = source[rank]


def stack_samples(rows: Float32, scale: float, chosen: Int64) -> FactorRows:
    """Lay samples of some rows out as factor rows of rank samples·rank whose products add the samples' up.

    Parameters
    ----------
    rows
        float32, shape (rows, samples, rank + 1), [factors, bias] of each sample.
    scale
        What factors are multiplied with: for the samples' mean 1 on one side and 1/samples on the other.
    chosen
        Which rows, shape (chosen,).
    """
    _, n_samples, size = rows.shape
    rank = n_samples * (size - 1)
    stacked, biases = (
        aligned_empty(len(chosen), row_stride(rank)),
        np.empty((len(chosen), n_samples), np.float32),
    )
    _stack(rows, chosen, np.float32(scale), stacked, biases)
    stacked[:, rank:] = 0.0
    stacked[:, rank] = 1.0
    stacked[:, rank + 1] = biases.mean(axis=1, dtype=np.float64)
    return stacked


@exact_jit
def _project(rows: Float32, basis: Float64, out: Float64) -> None:
    n_rows, n_samples, size = rows.shape
    for row in range(n_rows):
        for s in range(n_samples):
            for k in range(size - 1):
                value = float(rows[row, s, k])
                source = basis[s * (size - 1) + k]
                for j in range(out.shape[1]):
                    out[row, j] += value * source[j]


def project(rows: Float32, basis: Float64) -> Float64:
    """Return X·B, shape (rows, columns), X the rows' factors of all samples side by side."""
    out = np.zeros((len(rows), basis.shape[1]))
    _project(rows, basis, out)
    return out


@exact_jit
def _collect(rows: Float32, left: Float64, out: Float64) -> None:
    n_rows, n_samples, size = rows.shape
    for row in range(n_rows):
        source = left[row]
        for s in range(n_samples):
            for k in range(size - 1):
                value = float(rows[row, s, k])
                for j in range(out.shape[1]):
                    out[s * (size - 1) + k, j] += value * source[j]


def collect(rows: Float32, left: Float64) -> Float64:
    """Return Xᵀ·L, shape (samples·rank, columns), summed in row order; see `project`."""
    out = np.zeros((rows.shape[1] * (rows.shape[2] - 1), left.shape[1]))
    _collect(rows, left, out)
    return out


@exact_jit
def _quadratic(row: Float32, matrix: Float64) -> float:
    """Return zᵀMz, z = [factors, 1]."""
    size = len(row)
    total: float = 0.0
    for a in range(size):
        za = float(row[a]) if a < size - 1 else 1.0
        for b in range(size):
            zb = float(row[b]) if b < size - 1 else 1.0
            total += za * zb * matrix[a, b]
    return total


@exact_jit
def _both_unknown(user: Float64, item: Float64) -> float:
    """Return the variance of b_u + b_i + p·q, both rows drawn from priors of mean zero."""
    size = len(user)
    total = user[size - 1, size - 1] + item[size - 1, size - 1]
    for a in range(size - 1):
        for b in range(size - 1):
            total += user[a, b] * item[a, b]
    return float(total)


class BothSides(NamedTuple):
    """Samples of a posterior over both sides.

    Attributes
    ----------
    users, items
        float32, shape (rows, samples, rank + 1): [factors, bias] of each sample.
    means
        float64, shape (samples,): global mean of each sample.
    user_spread, item_spread
        float64, shape (samples, rank + 1, rank + 1): prior covariance of users and of items.
    """

    users: Float32
    items: Float32
    means: Float64
    user_spread: Float64
    item_spread: Float64


@exact_jit
def _variances(users: Int64, items: Int64, samples: BothSides, out: Float64) -> None:
    user_rows, item_rows, means, user_spread, item_spread = samples
    n_samples, size = len(means), user_rows.shape[2]
    zero = np.zeros(size, np.float32)
    for pair in range(len(users)):
        u, i = users[pair], items[pair]
        total = squares = within = 0.0
        for s in range(n_samples):
            p = user_rows[u, s] if u >= 0 else zero
            q = item_rows[i, s] if i >= 0 else zero
            value = means[s] + float(p[size - 1]) + float(q[size - 1])
            for k in range(size - 1):
                value += float(p[k]) * float(q[k])
            total += value
            squares += value * value
            if u < 0 and i < 0:
                within += _both_unknown(user_spread[s], item_spread[s])
            elif u < 0:
                within += _quadratic(q, user_spread[s])
            elif i < 0:
                within += _quadratic(p, item_spread[s])
        mean = total / n_samples
        between = max(squares / n_samples - mean * mean, 0.0)
        if n_samples > 1:
            between *= n_samples / (n_samples - 1)
        out[pair] = between + within / n_samples


def sample_variances(users: Int64, items: Int64, samples: BothSides) -> Float64:
    """Return the posterior variance of the prediction of each pair of rows, the ratings' noise apart.

    `users`, `items` and the variances have shape (pairs,); row −1 is someone or something unknown, who adds
    the variance of their prior.
    """
    out = np.empty(len(users))
    _variances(users, items, samples, out)
    return out
