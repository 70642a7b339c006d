"""Leverages of ratings: how much each pulled its own prediction, in the ridge systems of a side's rows."""

from __future__ import annotations

import numpy as np

from daskals.kernels.toolkit.dense import factorise_wide, forward_in_place
from daskals.kernels.toolkit.jit import jit
from daskals.types import FactorRows, Float64, Int32, Int64


@jit
def _normal_matrix(
    entries: Int32, other: FactorRows, diagonal: Float64, scale: float, matrix: Float64
) -> None:
    """Set matrix = Σxxᵀ + scale·D (lower triangle)."""
    size = len(diagonal)
    matrix[:] = 0.0
    for k in range(size):
        matrix[k, k] = diagonal[k] * scale
    for entry in entries:
        for a in range(size):
            for b in range(a + 1):
                matrix[a, b] += float(other[entry, a]) * float(other[entry, b])


@jit
def _add_inverse(factor: Float64, unit: Float64, out: Float64) -> None:
    """Add (LLᵀ)⁻¹ to the lower triangle of out."""
    size = len(factor)
    unit[:] = 0.0
    for k in range(size):
        unit[k, k] = 1.0
    forward_in_place(factor, unit)
    for k in range(size):
        for a in range(size):
            for b in range(a + 1):
                out[a, b] += unit[k, a] * unit[k, b]


@jit
def _leverages(
    first: int,
    stop: int,
    indptr: Int64,
    indices: Int32,
    other: FactorRows,
    ridge: Float64,
    exponent: float,
    out: Float64,
    inverses: Float64,
) -> None:
    size = len(ridge)
    matrix, unit = np.empty((size, size)), np.empty((size, size))
    column = np.empty((size, 1))
    for row in range(first, stop):
        start, end = indptr[row], indptr[row + 1]
        scale = float(max(end - start, 1)) ** exponent
        _normal_matrix(indices[start:end], other, ridge, scale, matrix)
        if not factorise_wide(matrix):
            # without a ridge, a row of few ratings fits all of them
            out[start:end] = 1.0
            continue
        for entry in range(start, end):
            for k in range(size):
                column[k, 0] = other[indices[entry], k]
            forward_in_place(matrix, column)
            out[entry] = min(np.sum(column**2), 1.0)
        _add_inverse(matrix, unit, inverses)


def leverages(
    rows: range,
    indptr: Int64,
    indices: Int32,
    other: FactorRows,
    ridge: Float64,
    exponent: float,
    out: Float64,
) -> Float64:
    """Write h = xᵀ(Σxxᵀ + D)⁻¹x of each rating of some rows, x = [q, 1] (paper 1, section 4.4).

    Parameters
    ----------
    rows
        The rows to look at.
    indptr, indices
        Ratings of all rows, shape (rows + 1,) and (ratings,): where rows start, and rows of the other side.
    other
        Factor rows of the other side, which begin with [q, 1], shape (rows, stride).
    ridge
        D's diagonal, relative to λ, float64, shape (rank + 1,).
    exponent
        Power of a row's number of ratings that D is multiplied by.
    out
        float64, shape (ratings,): receives the leverages; 1 where a row's system has no unique solution.

    Returns
    -------
        Sum of (Σxxᵀ + D)⁻¹ over the rows, float64, shape (rank + 1, rank + 1).
    """
    sums = np.zeros((len(ridge), len(ridge)))
    _leverages(rows.start, rows.stop, indptr, indices, other, ridge, exponent, out, sums)
    lower: Float64 = np.tril(sums)
    return lower + np.tril(sums, -1).T
