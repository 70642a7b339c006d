"""Weighted sums of rows of a matrix, and the best places of what they sum to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from daskals.kernels.scoring.best import offer, sort_heap
from daskals.kernels.toolkit.jit import exact_jit, jit
from daskals.types import Float32, Int32, Int64


@exact_jit
def _add_rows(weights: Float32, rows: Int64, matrix: Float32, out: Float32) -> None:
    for k in range(len(rows)):
        weight, row = weights[k], matrix[rows[k]]
        for i in range(len(out)):
            out[i] += weight * row[i]


def add_rows(weights: Float32, rows: Int64, matrix: Float32, out: Float32) -> None:
    """Add to `out` the sum of weighted rows of a matrix, one row after the other.

    Parameters
    ----------
    weights, rows
        float32 and int64, shape (terms,): how much of which row.
    matrix
        float32, shape (rows, columns).
    out
        float32, shape (columns,); changed.
    """
    _add_rows(weights, rows, matrix, out)


@jit
def _best(scores: Float32, allowed: NDArray[np.bool_], best_scores: Float32, best_items: Int32) -> int:
    size = 0
    for item in range(len(scores)):
        if allowed[item]:
            size = offer(best_scores, best_items, size, scores[item], item)
    sort_heap(best_scores, best_items, size)
    return size


def best_of(scores: Float32, allowed: NDArray[np.bool_], n: int) -> Int64:
    """Return the places of the n best allowed scores, int64, the best first, equal ones by place; or fewer.

    Parameters
    ----------
    scores, allowed
        float32 and bool, shape (items,).
    n
        Places to find, at least 1.
    """
    found = np.empty(n, np.int32)
    size = _best(scores, allowed, np.empty(n, np.float32), found)
    return found[:size].astype(np.int64)
