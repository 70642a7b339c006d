"""Weighted sums of rows of a matrix for many at once, and the best places of what they sum to.

Each sum adds one row after the other, in the order given, and every operation rounds: it has the same bits
whoever is summed beside it. Rows are taken four at a time: sums are then loaded and stored less often.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from daskals.kernels.scoring.best import select
from daskals.kernels.toolkit.jit import exact_jit
from daskals.types import Float32, Float64, Int64

_SPARSE_RUN = 4096
"""Columns of one sum that are worked on at a time: they stay in the first cache while rows pass by."""

_DENSE_RUN = 512
_DENSE_SUMS = 128
"""Columns and sums that four rows are added to while all of them stay in the second cache.

Few sums are worked on in as many more columns at a time, so that a row is read without jumps.
"""


@exact_jit
def _add_rows(
    indptr: Int64, rows: Int64, weights: Float32 | Float64, matrix: Float32, out: Float32 | Float64
) -> None:
    for one in range(len(out)):
        last = indptr[one + 1]
        whole = indptr[one] + (last - indptr[one]) // 4 * 4
        for start in range(0, out.shape[1], _SPARSE_RUN):
            sums = out[one, start : min(start + _SPARSE_RUN, out.shape[1])]
            end = start + len(sums)
            for k in range(indptr[one], whole, 4):
                row0, row1 = matrix[rows[k], start:end], matrix[rows[k + 1], start:end]
                row2, row3 = matrix[rows[k + 2], start:end], matrix[rows[k + 3], start:end]
                w0, w1, w2, w3 = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
                for i in range(len(sums)):
                    value = sums[i] + w0 * row0[i]
                    value += w1 * row1[i]
                    value += w2 * row2[i]
                    sums[i] = value + w3 * row3[i]
            for k in range(whole, last):
                row, weight = matrix[rows[k], start:end], weights[k]
                for i in range(len(sums)):
                    sums[i] += weight * row[i]


def add_rows(
    indptr: Int64, rows: Int64, weights: Float32 | Float64, matrix: Float32, out: Float32 | Float64
) -> None:
    """Add to each row of `out` its sum of weighted rows of a matrix, one row after the other.

    Parameters
    ----------
    indptr
        Where each sum's terms begin, int64, shape (sums + 1,).
    rows, weights
        int64, and float32 or float64 as `out`, shape (terms,): how much of which row.
    matrix
        float32, shape (rows, columns), contiguous.
    out
        float32 or float64, which it is then summed in, shape (sums, columns); changed.
    """
    _add_rows(indptr, rows, weights, matrix, out)


@exact_jit
def _add_product(weights: Float32, matrix: Float32, out: Float32) -> None:
    n_terms, n_columns = matrix.shape
    whole = n_terms // 4 * 4
    for first in range(0, len(out), _DENSE_SUMS):
        behind = min(first + _DENSE_SUMS, len(out))
        run = _DENSE_RUN * _DENSE_SUMS // (behind - first)
        for start in range(0, n_columns, run):
            end = min(start + run, n_columns)
            for k in range(0, whole, 4):
                row0, row1 = matrix[k, start:end], matrix[k + 1, start:end]
                row2, row3 = matrix[k + 2, start:end], matrix[k + 3, start:end]
                for one in range(first, behind):
                    sums, own = out[one, start:end], weights[one]
                    w0, w1, w2, w3 = own[k], own[k + 1], own[k + 2], own[k + 3]
                    for i in range(len(sums)):
                        value = sums[i] + w0 * row0[i]
                        value += w1 * row1[i]
                        value += w2 * row2[i]
                        sums[i] = value + w3 * row3[i]
            for k in range(whole, n_terms):
                row = matrix[k, start:end]
                for one in range(first, behind):
                    sums, weight = out[one, start:end], weights[one, k]
                    for i in range(len(sums)):
                        sums[i] += weight * row[i]


def add_product(weights: Float32, matrix: Float32, out: Float32) -> None:
    """Add to each row of `out` the sum of all rows of a matrix, weighted, one row after the other.

    Parameters
    ----------
    weights
        float32, shape (sums, rows): how much of each row.
    matrix
        float32, shape (rows, columns), contiguous.
    out
        float32, shape (sums, columns); changed.
    """
    _add_product(weights, matrix, out)


@exact_jit
def _add_at(columns: Int64, values: Float32, out: Float32) -> None:
    for one in range(len(out)):
        for i in range(len(columns)):
            out[one, columns[i]] += values[one, i]


def add_at(columns: Int64, values: Float32, out: Float32) -> None:
    """Add numbers to some columns of a matrix.

    Parameters
    ----------
    columns
        int64, shape (some,), distinct.
    values
        float32, shape (rows, some).
    out
        float32, shape (rows, columns); changed.
    """
    _add_at(columns, values, out)


def best_of(scores: Float32, allowed: NDArray[np.bool_], n: int) -> Int64:
    """Return the places of the n best allowed scores, int64, the best first, equal ones by place; or fewer.

    Parameters
    ----------
    scores, allowed
        float32 and bool, shape (items,); a score of −∞ or NaN is not listed.
    n
        Places to find, at least 1.
    """
    found = np.empty(n, np.int32)
    size = select(np.ascontiguousarray(scores), allowed, np.empty(n, np.float32), found)
    return found[:size].astype(np.int64)
