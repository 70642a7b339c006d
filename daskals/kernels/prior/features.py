"""Sparse feature rows: joining groups of columns, products with W, and rows that are alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from daskals.kernels.toolkit.jit import exact_jit
from daskals.types import Float32, Float64, Int32, Int64


class FeatureRows(NamedTuple):
    """Features of a range of rows as a compressed sparse matrix.

    Attributes
    ----------
    indptr, indices
        int64, shape (rows + 1,), starting at 0; int32: features of a row, ascending.
    values, n_features
        float32: their values; columns of the matrix.
    patterns
        int64, shape (rows,): equal for rows with equal features, numbered from 0 in order of first
        appearance; empty where not counted.
    """

    indptr: Int64
    indices: Int32
    values: Float32
    n_features: int
    patterns: Int64

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.indptr) - 1


def join_columns(parts: Sequence[FeatureRows]) -> FeatureRows:
    """Put groups of features side by side; all have the same rows."""
    if len(parts) == 1:
        return parts[0]
    n_rows = parts[0].n_rows
    counts = [np.diff(part.indptr) for part in parts]
    indptr = np.zeros(n_rows + 1, dtype=np.int64)
    np.cumsum(np.sum(counts, axis=0), out=indptr[1:])
    indices = np.empty(indptr[-1], np.int32)
    values = np.empty(indptr[-1], np.float32)
    offset, before = 0, np.zeros(n_rows, dtype=np.int64)
    for part, count in zip(parts, counts, strict=True):
        within = np.arange(len(part.indices)) - np.repeat(part.indptr[:-1], count)
        places = np.repeat(indptr[:-1] + before, count) + within
        indices[places] = part.indices + offset
        values[places] = part.values
        offset += part.n_features
        before += count
    return FeatureRows(indptr, indices, values, offset, np.empty(0, np.int64))


def mean_of_rows(indptr: Int64, indices: Int32, other: FeatureRows) -> FeatureRows:
    """Return, for each row, the mean of the `other` rows that its ratings name; no ratings, no features.

    `indptr` and `indices` are the ratings', shape (rows + 1,) and (ratings,).
    """
    n_rows = len(indptr) - 1
    sums = np.zeros((n_rows, other.n_features))
    _sum_rows(indptr, indices, other.indptr, other.indices, other.values, sums)
    means = sums / np.maximum(np.diff(indptr), 1)[:, None]
    rows, columns = np.nonzero(means)
    starts = np.zeros(n_rows + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=n_rows), out=starts[1:])
    return FeatureRows(
        starts,
        columns.astype(np.int32),
        means[rows, columns].astype(np.float32),
        other.n_features,
        np.empty(0, np.int64),
    )


@exact_jit
def _sum_rows(
    indptr: Int64,
    indices: Int32,
    other_indptr: Int64,
    other_indices: Int32,
    other_values: Float32,
    sums: Float64,
) -> None:
    for row in range(len(sums)):
        for j in range(indptr[row], indptr[row + 1]):
            other = indices[j]
            for k in range(other_indptr[other], other_indptr[other + 1]):
                sums[row, other_indices[k]] += other_values[k]


def number_patterns(rows: FeatureRows) -> FeatureRows:
    """Give rows with equal features equal numbers, in order of first appearance."""
    numbers: dict[bytes, int] = {}
    patterns = np.empty(rows.n_rows, dtype=np.int64)
    for row in range(rows.n_rows):
        here = slice(int(rows.indptr[row]), int(rows.indptr[row + 1]))
        text = rows.indices[here].tobytes() + rows.values[here].tobytes()
        patterns[row] = numbers.setdefault(text, len(numbers))
    return rows._replace(patterns=patterns)


def first_rows(patterns: Int64) -> Int64:
    """Return the first row of each pattern of `number_patterns`, in order, shape (patterns,)."""
    first = np.empty(int(patterns.max(initial=-1)) + 1, dtype=np.int64)
    _find_first(patterns, first)
    return first


@exact_jit
def _find_first(patterns: Int64, first: Int64) -> None:
    found = 0
    for row in range(len(patterns)):
        if patterns[row] == found:
            first[found] = row
            found += 1


@exact_jit
def _times(
    indptr: Int64, indices: Int32, values: Float32, weights: Float64, rows: Int64, out: Float64
) -> None:
    for place in range(len(rows)):
        row = rows[place]
        for j in range(indptr[row], indptr[row + 1]):
            source, value = weights[indices[j]], values[j]
            for k in range(out.shape[1]):
                out[place, k] += value * source[k]


@exact_jit
def _transposed_times(indptr: Int64, indices: Int32, values: Float32, rows: Float64, out: Float64) -> None:
    for row in range(len(rows)):
        for j in range(indptr[row], indptr[row + 1]):
            target, value = out[indices[j]], values[j]
            for k in range(out.shape[1]):
                target[k] += value * rows[row, k]


def times(features: FeatureRows, weights: Float64, rows: Int64 | None = None) -> Float64:
    """Return F·W, float64, shape (rows, columns of W), of all rows or of some, shape (some rows,)."""
    rows = np.arange(features.n_rows) if rows is None else rows
    out = np.zeros((len(rows), weights.shape[1]))
    _times(features.indptr, features.indices, features.values, np.ascontiguousarray(weights), rows, out)
    return out


def kinds_times(features: FeatureRows, weights: Float64) -> tuple[Float64, Int64]:
    """Return the different rows of F·W, shape (kinds, columns), and which each row has, shape (rows,)."""
    if len(features.patterns) < features.n_rows:
        return times(features, weights), np.arange(features.n_rows)
    return times(features, weights, first_rows(features.patterns)), features.patterns


def transposed_times(features: FeatureRows, rows: Float64) -> Float64:
    """Return Fᵀ·X, X the rows, float64, shape (features, columns of X), summed in row order."""
    out = np.zeros((features.n_features, rows.shape[1]))
    _transposed_times(features.indptr, features.indices, features.values, np.ascontiguousarray(rows), out)
    return out


@exact_jit
def _feature_gram(indptr: Int64, indices: Int32, values: Float32, counted: Int64, out: Float64) -> None:
    for row in range(len(counted)):
        if counted[row] == 0:
            continue
        for j in range(indptr[row], indptr[row + 1]):
            for k in range(indptr[row], indptr[row + 1]):
                out[indices[j], indices[k]] += float(values[j]) * float(values[k])


def feature_gram(features: FeatureRows, counted: Int64) -> Float64:
    """Return FᵀF over the rows whose `counted`, shape (rows,), is not 0, shape (features, features)."""
    out = np.zeros((features.n_features, features.n_features))
    _feature_gram(features.indptr, features.indices, features.values, counted, out)
    return out


def squared_transposed_times(features: FeatureRows, rows: Float64) -> Float64:
    """Return (F∘F)ᵀ·X, shape (features, columns of X), which the diagonal of FᵀAF needs."""
    return transposed_times(features._replace(values=np.square(features.values)), rows)
