"""The half-step's formulas, written down one after the other: what every fast kernel must agree with.

For each row, with z = [q, 1] and y = r − μ − b of the ratings' other side, the row's factors and bias x
minimise Σ (y − xᵀz)² + w·(x − m)ᵀT(x − m), where w = max(n, 1)^ν and T = diag(τ, …, τ, γ). That is
(Σ zzᵀ + wT) x = Σ zy + wTm. Sums are float64 and rows come one at a time; without the JIT (set
NUMBA_DISABLE_JIT=1) this is the kernel that runs, as plain Python.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from daskals.kernels.jit import exact_jit
from daskals.types import FactorRows, Float32, Float64, Int32, Int64, UInt8

OK, BAD_INDEX, BAD_PIVOT, NOT_FINITE = 0, 1, 2, 3


class CodedBlock(NamedTuple):
    """A block of ratings as kernels take it: `codes` into `scale`, or `ratings` where `scale` is empty.

    Of `codes` and `ratings` the one not in use is empty, so that one compilation serves both.
    """

    indptr: Int64
    indices: Int32
    codes: UInt8
    ratings: Float32
    scale: Float32


@exact_jit
def factorise(matrix: Float64) -> bool:
    """Replace the lower triangle of a symmetric matrix by its Cholesky factor; False if not positive."""
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
def substitute(factor: Float64, vector: Float64) -> None:
    """Solve L Lᵀ x = vector in place, L the lower triangle of `factor`."""
    size = len(vector)
    for row in range(size):
        for k in range(row):
            vector[row] -= factor[row, k] * vector[k]
        vector[row] /= factor[row, row]
    for row in range(size - 1, -1, -1):
        for k in range(row + 1, size):
            vector[row] -= factor[k, row] * vector[k]
        vector[row] /= factor[row, row]


@exact_jit
def gather_row(other: FactorRows, indices: Int32, ratings: Float32, mean: float, rank: int) -> Float64:
    """Return the row's augmented vectors [q, 1, y], shape (ratings, rank + 2)."""
    rows = np.empty((len(indices), rank + 2))
    for j in range(len(indices)):
        source = other[indices[j]]
        rows[j, :rank] = source[:rank]
        rows[j, rank] = 1.0
        rows[j, rank + 1] = ratings[j] - mean - source[rank + 1]
    return rows


@exact_jit
def augmented_gram(rows: Float64) -> Float64:
    """Return Σ zzᵀ over the rows z, shape (rank + 2, rank + 2)."""
    size = rows.shape[1]
    gram = np.zeros((size, size))
    for row in rows:
        for a in range(size):
            for b in range(size):
                gram[a, b] += row[a] * row[b]
    return gram


@exact_jit
def solve_jointly(gram: Float64, weights: Float64, prior: Float64, x: Float64) -> int:
    """Write the minimiser over factors and bias together into x, shape (rank + 1,)."""
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
    """Update x = [factors, bias] as the papers do (paper 1, Eq. 7-8): the bias, then the factors."""
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
def decode(codes: UInt8, ratings: Float32, scale: Float32) -> Float32:
    """Return the ratings as numbers: the codes looked up, or the ratings themselves without a scale."""
    if len(scale) == 0:
        return ratings
    decoded = np.empty(len(codes), np.float32)
    for j in range(len(codes)):
        decoded[j] = scale[codes[j]]
    return decoded


@exact_jit
def indices_in_range(indices: Int32, n_rows: int) -> bool:
    """Tell whether every index names one of the other side's rows."""
    lowest, highest = 0, 0
    for index in indices:
        lowest = min(lowest, index)
        highest = max(highest, index)
    return lowest >= 0 and (highest < n_rows or len(indices) == 0)


class Equations(NamedTuple):
    """What all rows of a block share: the residual's mean, the ridge and the way to solve.

    `coordinate` 1 updates bias and factors in turn, from the rows' present values; 0 solves them jointly.
    """

    rank: int
    mean: float
    ridge_factors: float
    ridge_bias: float
    ridge_exponent: float
    coordinate: int


@exact_jit
def solve_row(rows: Float64, equations: Equations, prior: Float64, x: Float64, stats: Float64) -> int:
    """Solve one row with ratings in place of its present x = [factors, bias]; SSE and penalty go to stats."""
    rank = equations.rank
    strength = float(max(len(rows), 1)) ** equations.ridge_exponent
    weights = np.full(rank + 1, strength * equations.ridge_factors)
    weights[rank] = strength * equations.ridge_bias
    if len(rows) == 0:
        x[:] = prior
        return OK
    gram = augmented_gram(rows)
    if equations.coordinate:
        status = solve_by_coordinates(gram, weights, prior, x)
    else:
        status = solve_jointly(gram, weights, prior, x)
    for row in rows:
        error = row[rank + 1]
        for k in range(rank + 1):
            error -= x[k] * row[k]
        stats[0] += error * error
    for k in range(rank + 1):
        stats[1] += weights[k] * (x[k] - prior[k]) ** 2
    if status == OK and not np.isfinite(stats[0] + stats[1]):
        status = NOT_FINITE
    return status


@exact_jit
def solve_block(
    block: CodedBlock,
    other: FactorRows,
    equations: Equations,
    priors: Float32,
    current: FactorRows,
    solved: FactorRows,
    stats: Float64,
    status: Int64,
) -> None:
    """Solve every row of a block.

    `priors` with no rows stands for 0. `solved`, the rows' SSE and penalty (`stats`, shape (rows, 2)) and
    their `status` are written.
    """
    rank = equations.rank
    for row in range(len(status)):
        lower, upper = block.indptr[row], block.indptr[row + 1]
        indices = block.indices[lower:upper]
        if not indices_in_range(indices, len(other)):
            status[row] = BAD_INDEX
            continue
        ratings = decode(block.codes[lower:upper], block.ratings[lower:upper], block.scale)
        prior = np.zeros(rank + 1)
        if len(priors) > 0:
            prior[:] = priors[row]
        x = np.zeros(rank + 1)
        if equations.coordinate:
            x[:rank] = current[row, :rank]
        rows = gather_row(other, indices, ratings, equations.mean, rank)
        status[row] = solve_row(rows, equations, prior, x, stats[row])
        solved[row, :rank] = x[:rank]
        solved[row, rank + 1] = x[rank]
