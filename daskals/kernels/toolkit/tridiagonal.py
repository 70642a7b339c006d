"""Symmetric matrices as QTQᵀ, T tridiagonal: systems of (matrix + shift) for any shift, by two products.

Householder reflections, as LAPACK's `sytrd` takes them, without LAPACK: its sums depend on threads and on the
library. Q stays a product of reflections. Once for a matrix of n rows, 2n³ operations; a right side then
costs 4n², whatever the shift.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from daskals.errors import NumericalError
from daskals.kernels.toolkit.jit import exact_jit
from daskals.types import Float64


class Tridiagonal(NamedTuple):
    """A symmetric matrix of n rows as QTQᵀ.

    Attributes
    ----------
    reflections
        Float64, shape (n, n): row k holds from column k + 1 on the vector v of reflection k, I − s·vvᵀ; Q is
        their product in order.
    scales
        The s of each, shape (n,); 0 for none.
    diagonal, beside
        T: its diagonal, shape (n,), and the entries beside it, shape (n,), the last 0.
    """

    reflections: Float64
    scales: Float64
    diagonal: Float64
    beside: Float64


def tridiagonalise(matrix: Float64) -> Tridiagonal:
    """Decompose a symmetric matrix, shape (n, n), of which all entries are read."""
    work = np.array(matrix, np.float64, order="C")
    n = len(work)
    scales, diagonal, beside = np.zeros(n), np.zeros(n), np.zeros(n)
    _tridiagonalise(work, scales, diagonal, beside)
    return Tridiagonal(work, scales, diagonal, beside)


@exact_jit
def _reflection(row: Float64, beside: Float64, k: int) -> float:
    """Turn row k, from column k + 1 on, into the vector of its reflection; return its scale."""
    first, rest = row[k + 1], 0.0
    for j in range(k + 2, len(row)):
        rest += row[j] * row[j]
    if rest == 0.0:
        beside[k] = first
        return 0.0
    length = np.sqrt(first * first + rest)
    beside[k] = -length if first >= 0.0 else length
    row[k + 1] = first - beside[k]
    return float(2.0 / (row[k + 1] * row[k + 1] + rest))


@exact_jit
def _reflect_both_sides(work: Float64, k: int, scale: float, p: Float64) -> None:
    """Apply reflection k from left and right to the rows and columns past k."""
    # by slices: an index that could be negative is looked at one by one, and nothing goes by vectors
    v, along = work[k, k + 1 :], 0.0
    n = len(v)
    for j in range(n):
        p[j] = 0.0
    for i in range(n):
        source, value = work[k + 1 + i, k + 1 :], scale * v[i]
        for j in range(n):
            p[j] += value * source[j]
    for j in range(n):
        along += p[j] * v[j]
    along *= 0.5 * scale
    for j in range(n):
        p[j] -= along * v[j]
    for i in range(n):
        target, a, b = work[k + 1 + i, k + 1 :], v[i], p[i]
        for j in range(n):
            target[j] -= a * p[j] + b * v[j]


@exact_jit
def _tridiagonalise(work: Float64, scales: Float64, diagonal: Float64, beside: Float64) -> None:
    n = len(work)
    p = np.zeros(n)
    for k in range(n):
        diagonal[k] = work[k, k]
        if k == n - 2:
            beside[k] = work[k, k + 1]
        elif k < n - 2:
            scales[k] = _reflection(work[k], beside, k)
            if scales[k] != 0.0:
                _reflect_both_sides(work, k, scales[k], p)


@exact_jit
def _reflect(reflections: Float64, scales: Float64, k: int, right: Float64, along: Float64) -> None:
    """Apply reflection k to the columns of `right`."""
    v, columns = reflections[k], right.shape[1]
    for c in range(columns):
        along[c] = 0.0
    for row in range(k + 1, len(right)):
        source, value = right[row], scales[k] * v[row]
        for c in range(columns):
            along[c] += value * source[c]
    for row in range(k + 1, len(right)):
        target, value = right[row], v[row]
        for c in range(columns):
            target[c] -= value * along[c]


@exact_jit
def _into(reflections: Float64, scales: Float64, right: Float64) -> None:
    """Replace `right`, shape (n, columns), by Qᵀ·right."""
    along = np.empty(right.shape[1])
    for k in range(len(right) - 2):
        _reflect(reflections, scales, k, right, along)


@exact_jit
def _back(reflections: Float64, scales: Float64, right: Float64) -> None:
    """Replace `right`, shape (n, columns), by Q·right."""
    along = np.empty(right.shape[1])
    for k in range(len(right) - 3, -1, -1):
        _reflect(reflections, scales, k, right, along)


def orthogonal(decomposed: Tridiagonal) -> Float64:
    """Return Q, shape (n, n)."""
    out = np.eye(len(decomposed.diagonal))
    _back(decomposed.reflections, decomposed.scales, out)
    return out


@exact_jit
def _solve_shifted(
    diagonal: Float64, beside: Float64, shifts: Float64, normals: Float64, right: Float64
) -> bool:
    """Replace column c of `right` by (T + shift·I)⁻¹·column, plus normals with that covariance.

    With T + shift·I = LDLᵀ a column becomes L⁻ᵀ(D⁻¹L⁻¹x + D^(−1/2)ξ); no `normals` for no noise.
    """
    n, columns = right.shape
    pivots, below = np.empty((n, columns)), np.zeros((n, columns))
    for c in range(columns):
        for i in range(n):
            pivot = diagonal[i] + shifts[c]
            if i > 0:
                below[i, c] = beside[i - 1] / pivots[i - 1, c]
                pivot -= below[i, c] * beside[i - 1]
                right[i, c] -= below[i, c] * right[i - 1, c]
            if not pivot > 0.0:
                return False
            pivots[i, c] = pivot
        for i in range(n - 1, -1, -1):
            right[i, c] /= pivots[i, c]
            if len(normals) > 0:
                right[i, c] += normals[i, c] / np.sqrt(pivots[i, c])
            if i < n - 1:
                right[i, c] -= below[i + 1, c] * right[i + 1, c]
    return True


def solve_shifted(
    decomposed: Tridiagonal, shifts: Float64, right: Float64, normals: Float64 | None = None
) -> Float64:
    """Solve (matrix + shift·I)·x = column for each column; with normals, draw around the solution.

    Parameters
    ----------
    decomposed
        The matrix.
    shifts
        Float64, shape (columns,): what is added to the diagonal, for each column.
    right
        Float64, shape (n, columns).
    normals
        Standard normals, shape (n, columns): the draw then has the covariance (matrix + shift·I)⁻¹.

    Raises
    ------
    NumericalError
        If the matrix with a shift is not positive definite.
    """
    out = np.array(right, np.float64, order="C")
    _into(decomposed.reflections, decomposed.scales, out)
    noise = np.empty((0, 0)) if normals is None else normals
    if not _solve_shifted(decomposed.diagonal, decomposed.beside, shifts, noise, out):
        raise NumericalError(
            "the system of the features' weights is not positive definite",
            remedy="Use fewer features, or leave out those that say the same",
        )
    _back(decomposed.reflections, decomposed.scales, out)
    return out
