"""Formulas of the half-step, written down one after the other: what every fast kernel must agree with.

For each row, with z = [q, 1] and y = r − μ − b of the ratings' other side, the row's factors and bias x
minimise Σ (y − xᵀz)² + w·(x − m)ᵀT(x − m), where w = max(n, 1)^ν and T = diag(τ, …, τ, γ). That is
(Σ zzᵀ + wT) x = Σ zy + wTm. Sums are float64 and rows come one at a time; without the JIT (set
NUMBA_DISABLE_JIT=1) this is the kernel that runs, as plain Python.
"""

from __future__ import annotations

import numpy as np

from daskals.kernels.half_step.block import BlockInput, BlockOutput
from daskals.kernels.half_step.status import BAD_INDEX, BAD_PIVOT, NOT_FINITE, OK
from daskals.kernels.toolkit.jit import exact_jit
from daskals.types import Float64


@exact_jit
def factorise(matrix: Float64) -> bool:
    """Replace the lower triangle of a matrix, shape (n, n), by its Cholesky factor; False if not positive."""
    size = len(matrix)
    for column in range(size):
        pivot = matrix[column, column]
        for k in range(column):
            pivot -= matrix[column, k] * matrix[column, k]
        if not pivot > 0.0:
            return False
        root = np.sqrt(pivot)
        matrix[column, column] = root
        for row in range(column + 1, size):
            entry = matrix[row, column]
            for k in range(column):
                entry -= matrix[row, k] * matrix[column, k]
            matrix[row, column] = entry / root
    return True


@exact_jit
def substitute_forward(factor: Float64, vector: Float64) -> None:
    """Solve L x = vector, shape (n,), in place, L the lower triangle of `factor`, shape (n, n)."""
    for row in range(len(vector)):
        for k in range(row):
            vector[row] -= factor[row, k] * vector[k]
        vector[row] /= factor[row, row]


@exact_jit
def substitute_back(factor: Float64, vector: Float64) -> None:
    """Solve Lᵀ x = vector, shape (n,), in place, L the lower triangle of `factor`, shape (n, n)."""
    size = len(vector)
    for row in range(size - 1, -1, -1):
        for k in range(row + 1, size):
            vector[row] -= factor[k, row] * vector[k]
        vector[row] /= factor[row, row]


@exact_jit
def substitute(factor: Float64, vector: Float64) -> None:
    """Solve L Lᵀ x = vector, shape (n,), in place, L the lower triangle of `factor`, shape (n, n)."""
    substitute_forward(factor, vector)
    substitute_back(factor, vector)


@exact_jit
def residual_at(block: BlockInput, j: int) -> float:
    """Return the j-th rating less μ; a code that the scale does not have is NaN."""
    if len(block.table) > 0:
        return float(block.table[np.uint8(block.values[j])])
    return float(block.values[j] - block.mean)


@exact_jit
def row_gram(block: BlockInput, row: int, gram: Float64) -> int:
    """Write the lower triangle of Σ zzᵀ, z = [q, 1, y], of a row's ratings; return the row's status.

    `gram`, shape (rank + 2, rank + 2), receives it, and zeros above the diagonal.
    """
    other, rank = block.other, block.rank
    size = rank + 2
    gram[:] = 0.0
    z = np.empty(size)
    z[rank] = 1.0
    for j in range(block.indptr[row], block.indptr[row + 1]):
        index = block.indices[j]
        if index < 0 or index >= len(other):
            return BAD_INDEX
        source = other[index]
        for k in range(rank):
            z[k] = source[k]
        z[rank + 1] = residual_at(block, j) - source[rank + 1]
        for a in range(size):
            for b in range(a + 1):
                gram[a, b] += z[a] * z[b]
    return OK


@exact_jit
def direct_sse(block: BlockInput, row: int, x: Float64) -> float:
    """Return Σ (y − xᵀz)² of a row rating by rating, x = [factors, bias] of shape (rank + 1,)."""
    rank = block.rank
    sse = 0.0
    for j in range(block.indptr[row], block.indptr[row + 1]):
        source = block.other[block.indices[j]]
        error = residual_at(block, j) - source[rank + 1] - x[rank]
        for k in range(rank):
            error -= x[k] * source[k]
        sse += error * error
    return sse


@exact_jit
def solve_jointly(gram: Float64, weights: Float64, prior: Float64, x: Float64) -> int:
    """Write the minimiser over factors and bias together into x, shape (rank + 1,).

    `gram` has shape (rank + 2, rank + 2); `weights` and `prior`, wT and m, that of x.
    """
    size = len(x)
    matrix = gram[:size, :size].copy()
    for k in range(size):
        matrix[k, k] += weights[k]
        x[k] = gram[size, k] + weights[k] * prior[k]
    if not factorise(matrix):
        return BAD_PIVOT
    substitute(matrix, x)
    return OK


@exact_jit
def solve_by_coordinates(gram: Float64, weights: Float64, prior: Float64, x: Float64) -> int:
    """Update x = [factors, bias] as the papers do (paper 1, Eq. 7-8): the bias, then the factors.

    `gram` has shape (rank + 2, rank + 2); `weights` and `prior`, wT and m, that of x, (rank + 1,).
    """
    rank = len(x) - 1
    error = gram[rank + 1, rank]
    for k in range(rank):
        error -= gram[rank, k] * x[k]
    total = gram[rank, rank] + weights[rank]
    if not total > 0.0:
        return BAD_PIVOT
    bias = (error + weights[rank] * prior[rank]) / total
    matrix = gram[:rank, :rank].copy()
    for k in range(rank):
        matrix[k, k] += weights[k]
        x[k] = gram[rank + 1, k] - bias * gram[rank, k] + weights[k] * prior[k]
    x[rank] = bias
    if not factorise(matrix):
        return BAD_PIVOT
    substitute(matrix, x[:rank])
    return OK


@exact_jit
def solve_row(
    gram: Float64,
    weights: Float64,
    prior: Float64,
    x: Float64,
    coordinate: bool,  # noqa: FBT001
) -> int:
    """Solve one row with ratings, in place of its present x = [factors, bias]; return its status.

    Parameters
    ----------
    gram
        Shape (rank + 2, rank + 2).
    weights, prior
        wT and m, shape (rank + 1,).
    x, coordinate
        Shape (rank + 1,); whether by the papers' two steps.
    """
    if not np.isfinite(np.trace(gram)):
        return NOT_FINITE
    if coordinate:
        return solve_by_coordinates(gram, weights, prior, x)
    return solve_jointly(gram, weights, prior, x)


@exact_jit
def solve_block(block: BlockInput, output: BlockOutput, coordinate: bool) -> None:  # noqa: FBT001
    """Solve every row of a block: the whole half-step, by the papers' two steps where `coordinate`."""
    rank = block.rank
    gram = np.empty((rank + 2, rank + 2))
    for row in range(len(block.indptr) - 1):
        output.status[row] = row_gram(block, row, gram)
        if output.status[row] != OK:
            continue
        n = block.indptr[row + 1] - block.indptr[row]
        strength = float(max(n, 1)) ** block.ridge_exponent
        weights = np.full(rank + 1, strength * block.ridge_factors)
        weights[rank] = strength * block.ridge_bias
        prior = np.zeros(rank + 1)
        if len(block.priors) > 0:
            prior[:] = block.priors[row]
        x = prior.copy()
        if n > 0:
            if coordinate:
                x[:rank] = block.current[row, :rank]
            output.status[row] = solve_row(gram, weights, prior, x, coordinate)
            output.stats[row, 0] = direct_sse(block, row, x)
            for k in range(rank + 1):
                output.stats[row, 1] += weights[k] * (x[k] - prior[k]) ** 2
            if output.status[row] == OK and not np.isfinite(output.stats[row].sum()):
                output.status[row] = NOT_FINITE
        output.rows[row, :rank] = x[:rank]
        output.rows[row, rank + 1] = x[rank]
