"""Dense symmetric systems of a few thousand unknowns, with the same bits for any number of BLAS threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from daskals.errors import NumericalError
from daskals.kernels.toolkit.jit import exact_jit
from daskals.types import Float64

PANEL = 32
"""Columns of a factor that are finished before they are applied to the rest."""

_RUN = 256
"""Columns that are worked on at a time: four of them and a row stay in the first cache."""

_ROWS = 256
"""Rows that a thread applies a panel to, before it takes others."""

_JACOBI_SWEEPS = 12
"""Far more than it takes: convergence is quadratic once the off-diagonal is small."""


@exact_jit
def _subtract_product(
    target: Float64,
    left: Float64,
    right: Float64,
    rows: tuple[int, int],
    terms: tuple[int, int],
    columns: tuple[int, int],
) -> None:
    """Take left·right from rows and columns of `target`, in place, all three contiguous.

    `terms` are columns of `left`, shape (n, any), and the first rows of `right`, shape (any, m); `target` has
    the shape (n, m). Four terms at a time, of a run of columns that stays in the cache with them: numbers are
    then loaded and stored a quarter as often. Each entry is changed by one term after the other, so that its
    bits are those of a term at a time.
    """
    first, last = terms
    whole = first + (last - first) // 4 * 4
    for start in range(columns[0], columns[1], _RUN):
        end = min(start + _RUN, columns[1])
        for k in range(first, whole, 4):
            term = k - first
            b0, b1 = right[term, start:end], right[term + 1, start:end]
            b2, b3 = right[term + 2, start:end], right[term + 3, start:end]
            for i in range(rows[0], rows[1]):
                row = target[i, start:end]
                a0, a1, a2, a3 = left[i, k], left[i, k + 1], left[i, k + 2], left[i, k + 3]
                for j in range(len(row)):
                    value = row[j] - a0 * b0[j]
                    value -= a1 * b1[j]
                    value -= a2 * b2[j]
                    row[j] = value - a3 * b3[j]
        for k in range(whole, last):
            other = right[k - first, start:end]
            for i in range(rows[0], rows[1]):
                row, value = target[i, start:end], left[i, k]
                for j in range(len(row)):
                    row[j] -= value * other[j]


@exact_jit
def factorise_wide(matrix: Float64) -> bool:
    """Replace the lower triangle, shape (n, n), by its Cholesky factor; False if it is not positive.

    A panel of columns at a time, which is then applied to the rest of the matrix while it is in the cache.
    """
    size = len(matrix)
    columns = np.empty((PANEL, size))
    for first in range(0, size, PANEL):
        last = min(first + PANEL, size)
        if not _factorise_panel(matrix, first, last, columns):
            return False
        _apply_panel(matrix, first, last, columns, last, size)
    return True


@exact_jit
def _factorise_panel(matrix: Float64, first: int, last: int, columns: Float64) -> bool:
    """Finish columns [first, last), to which all before have been applied; copy them as rows of `columns`.

    `matrix` has shape (n, n), `columns` (`PANEL`, n). False if the matrix is not positive.
    """
    width = last - first
    roots = np.empty(width)
    for row in range(first, last):
        own = matrix[row, first:last]
        for k in range(row - first):
            _eliminate(own, k, roots[k], columns[k], row, first, row + 1)
        pivot = own[row - first]
        if not pivot > 0.0:
            return False
        roots[row - first] = np.sqrt(pivot)
        own[row - first] = roots[row - first]
    fours = last + (len(matrix) - last) // 4 * 4
    for row in range(last, fours, 4):
        _finish_four(matrix[row : row + 4, first:last], roots, columns, row, first)
    for row in range(fours, len(matrix)):
        own = matrix[row, first:last]
        for k in range(width):
            _eliminate(own, k, roots[k], columns[k], row, first, last)
    return True


@exact_jit
def _eliminate(own: Float64, k: int, root: float, column: Float64, row: int, first: int, stop: int) -> None:
    """Finish entry k of a row of a panel, whose first column is `first`, and apply it to the row's others.

    `own` is the row in the panel, shape (columns,); the entry goes to `column`, shape (n,), as well, which
    has those of the rows above. Columns from `stop` on are let alone.
    """
    scale = own[k] / root
    own[k] = scale
    column[row] = scale
    rest, other = own[k + 1 : stop - first], column[first + k + 1 : stop]
    for j in range(len(rest)):
        rest[j] -= scale * other[j]


@exact_jit
def _finish_four(own: Float64, roots: Float64, columns: Float64, row: int, first: int) -> None:
    """Do with four rows from `row` on what `_eliminate` does with one: none waits for another's divisions.

    `own` are they in the panel, shape (4, columns of it), `roots` its pivots' roots, shape (columns of it,).
    """
    for k in range(len(roots)):
        root = roots[k]
        a, b, c, d = own[0, k] / root, own[1, k] / root, own[2, k] / root, own[3, k] / root
        own[0, k], own[1, k], own[2, k], own[3, k] = a, b, c, d
        at = columns[k, row : row + 4]
        at[0], at[1], at[2], at[3] = a, b, c, d
        other = columns[k, first + k + 1 : first + len(roots)]
        one, two, three, four = own[0, k + 1 :], own[1, k + 1 :], own[2, k + 1 :], own[3, k + 1 :]
        for j in range(len(other)):
            one[j] -= a * other[j]
            two[j] -= b * other[j]
            three[j] -= c * other[j]
            four[j] -= d * other[j]


@exact_jit
def _apply_panel(matrix: Float64, first: int, last: int, columns: Float64, start: int, stop: int) -> None:
    """Apply finished columns [first, last) to the lower triangle's rows [start, stop), all from `last` on."""
    for low in range(start, stop, PANEL):
        high = min(low + PANEL, stop)
        _subtract_product(matrix, matrix, columns, (low, high), (first, last), (last, low))
        for row in range(low, high):  # nothing is written above the diagonal
            _subtract_product(matrix, matrix, columns, (row, row + 1), (first, last), (low, row + 1))


@exact_jit
def forward_in_place(factor: Float64, right: Float64) -> None:
    """Replace each column of `right`, shape (n, columns), by the solution of L·x = column, L lower."""
    size, columns = right.shape
    for low in range(0, size, PANEL):
        high = min(low + PANEL, size)
        _subtract_product(right, factor, right, (low, high), (0, low), (0, columns))
        for row in range(low, high):
            for k in range(low, row):
                for c in range(columns):
                    right[row, c] -= factor[row, k] * right[k, c]
            for c in range(columns):
                right[row, c] /= factor[row, row]


@exact_jit
def backward_in_place(factor: Float64, right: Float64) -> None:
    """Replace each column of `right`, shape (n, columns), by the solution of Lᵀ·x = column, L lower."""
    size, columns = right.shape
    low = (size - 1) // PANEL * PANEL
    while low >= 0:
        high = min(low + PANEL, size)
        for row in range(high - 1, low - 1, -1):
            for c in range(columns):
                right[row, c] /= factor[row, row]
            for k in range(low, row):
                for c in range(columns):
                    right[k, c] -= factor[row, k] * right[row, c]
        if low > 0:
            # from the last row to the first, as without panels
            left, solved = np.empty((low, high - low)), np.empty((high - low, columns))
            for term in range(high - low):
                for k in range(low):
                    left[k, term] = factor[high - 1 - term, k]
                for c in range(columns):
                    solved[term, c] = right[high - 1 - term, c]
            _subtract_product(right, left, solved, (0, low), (0, high - low), (0, columns))
        low -= PANEL


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


def cholesky(matrix: Float64, name: str, threads: int = 1) -> Float64:
    """Return the lower Cholesky factor.

    Parameters
    ----------
    matrix
        Shape (n, n); only the lower triangle is read.
    name
        What the message calls it.
    threads
        How many work on it, to the same bits.

    Raises
    ------
    NumericalError
        If the matrix is not positive definite.
    """
    factor = np.tril(matrix)
    if not (factorise_wide(factor) if threads == 1 else _factorise_on_threads(factor, threads)):
        raise NumericalError(
            f"{name} is not positive definite", remedy="Raise --eta, --tau or --gamma, or scale the features"
        )
    return factor


def _factorise_on_threads(matrix: Float64, threads: int) -> bool:
    """Do what `factorise_wide` does, some rows a thread."""
    size = len(matrix)
    columns = np.empty((PANEL, size))
    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, size, PANEL):
            last = min(first + PANEL, size)
            if not _factorise_panel(matrix, first, last, columns):
                return False
            applied = [
                pool.submit(_apply_panel, matrix, first, last, columns, start, min(start + _ROWS, size))
                for start in range(last, size, _ROWS)
            ]
            for each in applied:
                each.result()
    return True


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
