"""Dense symmetric systems of a few thousand unknowns, with the same bits for any number of BLAS threads."""

from __future__ import annotations

import numpy as np

from daskals.errors import NumericalError
from daskals.kernels.toolkit.jit import exact_jit
from daskals.types import Float64

_JACOBI_SWEEPS = 12
"""Far more than it takes: convergence is quadratic once the off-diagonal is small."""


@exact_jit
def factorise_wide(matrix: Float64) -> bool:
    """Replace the lower triangle, shape (n, n), by its Cholesky factor; False if it is not positive.

    Four columns at a time: what is left of the matrix is then read a quarter as often. Each entry is changed
    by one column after the other, so that its bits are those of a column at a time.
    """
    size = len(matrix)
    columns = np.empty((4, size))
    for first in range(0, size, 4):
        last = min(first + 4, size)
        if not _factorise_columns(matrix, first, last):
            return False
        for row in range(last, size):  # a loop compiles in a tenth of a slice assignment's time
            for k in range(first, last):
                columns[k - first, row] = matrix[row, k]
        for row in range(last, size):
            target = matrix[row]
            a, b, c, d = target[first], target[first + 1], target[first + 2], target[first + 3]
            for j in range(last, row + 1):
                value = target[j] - a * columns[0, j]
                value -= b * columns[1, j]
                value -= c * columns[2, j]
                target[j] = value - d * columns[3, j]
    return True


@exact_jit
def _factorise_columns(matrix: Float64, first: int, last: int) -> bool:
    """Finish columns [first, last), to which all columns before have been applied."""
    for k in range(first, last):
        pivot = matrix[k, k]
        if not pivot > 0.0:
            return False
        root = np.sqrt(pivot)
        matrix[k, k] = root
        for row in range(k + 1, len(matrix)):
            scale = matrix[row, k] / root
            matrix[row, k] = scale
            for j in range(k + 1, min(last, row + 1)):
                matrix[row, j] -= scale * matrix[j, k]
    return True


@exact_jit
def forward_in_place(factor: Float64, right: Float64) -> None:
    """Replace each column of `right`, shape (n, columns), by the solution of L·x = column, L lower."""
    for row in range(len(factor)):
        for k in range(row):
            for c in range(right.shape[1]):
                right[row, c] -= factor[row, k] * right[k, c]
        for c in range(right.shape[1]):
            right[row, c] /= factor[row, row]


@exact_jit
def backward_in_place(factor: Float64, right: Float64) -> None:
    """Replace each column of `right`, shape (n, columns), by the solution of Lᵀ·x = column, L lower."""
    for row in range(len(factor) - 1, -1, -1):
        for c in range(right.shape[1]):
            right[row, c] /= factor[row, row]
        for k in range(row):
            for c in range(right.shape[1]):
                right[k, c] -= factor[row, k] * right[row, c]


@exact_jit
def _multiply(a: Float64, b: Float64, out: Float64) -> None:
    """Add a·b to `out`, four terms of a sum at a time, one after the other: it is then stored less often."""
    inner = a.shape[1]
    whole = inner // 4 * 4
    for i in range(a.shape[0]):
        target = out[i]
        for k in range(0, whole, 4):
            a0, a1, a2, a3 = a[i, k], a[i, k + 1], a[i, k + 2], a[i, k + 3]
            for j in range(b.shape[1]):
                total = target[j] + a0 * b[k, j] + a1 * b[k + 1, j]
                target[j] = total + a2 * b[k + 2, j] + a3 * b[k + 3, j]
        for k in range(whole, inner):
            value = a[i, k]
            for j in range(b.shape[1]):
                target[j] += value * b[k, j]


def cholesky(matrix: Float64, name: str) -> Float64:
    """Return the lower Cholesky factor, shape (n, n); only the lower triangle is read.

    Raises NumericalError if the matrix, called `name` in the message, is not positive definite.
    """
    factor = np.tril(matrix)
    if not factorise_wide(factor):
        raise NumericalError(
            f"{name} is not positive definite", remedy="Raise --eta, --tau or --gamma, or scale the features"
        )
    return factor


def forward(factor: Float64, right: Float64) -> Float64:
    """Solve L·x = right for each column; both have the shape (n,) or (n, columns)."""
    out = np.array(right, dtype=np.float64, order="C")
    forward_in_place(factor, out.reshape(len(out), -1))
    return out


def backward(factor: Float64, right: Float64) -> Float64:
    """Solve Lᵀ·x = right for each column; both have the shape (n,) or (n, columns)."""
    out = np.array(right, dtype=np.float64, order="C")
    backward_in_place(factor, out.reshape(len(out), -1))
    return out


def solve_positive(matrix: Float64, right: Float64, name: str) -> Float64:
    """Solve a positive definite system, `right` of shape (n,) or (n, columns); errors as of `cholesky`."""
    factor = cholesky(matrix, name)
    return backward(factor, forward(factor, right))


@exact_jit
def _rotate(matrix: Float64, vectors: Float64, p: int, q: int) -> None:
    """Make entry (p, q) of a symmetric matrix zero by a rotation, and apply it to the vectors' columns."""
    if matrix[p, q] == 0.0:
        return
    theta = (matrix[q, q] - matrix[p, p]) / (2.0 * matrix[p, q])
    t = 1.0 / (abs(theta) + np.sqrt(theta * theta + 1.0))
    t = t if theta >= 0.0 else -t
    c = 1.0 / np.sqrt(t * t + 1.0)
    s = t * c
    for k in range(len(matrix)):
        a, b = matrix[k, p], matrix[k, q]
        matrix[k, p], matrix[k, q] = c * a - s * b, s * a + c * b
    for k in range(len(matrix)):
        a, b = matrix[p, k], matrix[q, k]
        matrix[p, k], matrix[q, k] = c * a - s * b, s * a + c * b
        a, b = vectors[k, p], vectors[k, q]
        vectors[k, p], vectors[k, q] = c * a - s * b, s * a + c * b


@exact_jit
def _diagonalise(matrix: Float64, vectors: Float64, sweeps: int) -> None:
    for _ in range(sweeps):
        for p in range(len(matrix)):
            for q in range(p + 1, len(matrix)):
                _rotate(matrix, vectors, p, q)


def symmetric_eigen(matrix: Float64) -> tuple[Float64, Float64]:
    """Return eigenvalues, largest first, shape (n,), and eigenvectors, the columns, shape (n, n) (Jacobi)."""
    work, vectors = np.array(matrix, np.float64), np.eye(len(matrix))
    with np.errstate(over="ignore"):  # an entry that is nearly zero is hardly turned
        _diagonalise(work, vectors, _JACOBI_SWEEPS)
    values = np.diag(work).copy()
    order = np.argsort(-values, kind="stable")
    return values[order], np.ascontiguousarray(vectors[:, order])


def product(a: Float64, b: Float64) -> Float64:
    """Return the matrix product, shape (n, m), terms added in the order of the inner index."""
    out = np.zeros((a.shape[0], b.shape[1]))
    _multiply(np.ascontiguousarray(a), np.ascontiguousarray(b), out)
    return out
