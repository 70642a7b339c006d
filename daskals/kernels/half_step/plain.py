"""The half-step's formulas, written down one after the other: what every fast kernel must agree with.

For each row, with z = [q, 1] and y = r − μ − b of the ratings' other side, the row's factors and bias x
minimise Σ (y − xᵀz)² + w·(x − m)ᵀT(x − m), where w = max(n, 1)^ν and T = diag(τ, …, τ, γ). That is
(Σ zzᵀ + wT) x = Σ zy + wTm. Sums are float64 and rows come one at a time; without the JIT (set
NUMBA_DISABLE_JIT=1) this is the kernel that runs, as plain Python.
"""

from __future__ import annotations

import numpy as np

from daskals.kernels.half_step.task import BAD_INDEX, BAD_PIVOT, NOT_FINITE, OK, Outcome, Task
from daskals.kernels.toolkit.jit import exact_jit
from daskals.types import FactorRows, Float32, Float64, Int32


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
def substitute_forward(factor: Float64, vector: Float64) -> None:
    """Solve L x = vector in place, L the lower triangle of `factor`."""
    for row in range(len(vector)):
        for k in range(row):
            vector[row] -= factor[row, k] * vector[k]
        vector[row] /= factor[row, row]


@exact_jit
def substitute_back(factor: Float64, vector: Float64) -> None:
    """Solve Lᵀ x = vector in place, L the lower triangle of `factor`."""
    size = len(vector)
    for row in range(size - 1, -1, -1):
        for k in range(row + 1, size):
            vector[row] -= factor[k, row] * vector[k]
        vector[row] /= factor[row, row]


@exact_jit
def substitute(factor: Float64, vector: Float64) -> None:
    """Solve L Lᵀ x = vector in place, L the lower triangle of `factor`."""
    substitute_forward(factor, vector)
    substitute_back(factor, vector)


@exact_jit
def gather_row(other: FactorRows, indices: Int32, ratings: Float32, rank: int) -> Float64:
    """Return the row's augmented vectors [q, 1, y], shape (ratings, rank + 2)."""
    rows = np.empty((len(indices), rank + 2))
    for j in range(len(indices)):
        source = other[indices[j]]
        rows[j, :rank] = source[:rank]
        rows[j, rank] = 1.0
        rows[j, rank + 1] = ratings[j] - source[rank + 1]
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
def residuals(task: Task, lower: int, upper: int) -> Float32:
    """Return rating less μ of ratings lower, …, upper − 1, looked up where they are codes."""
    if len(task.table) == 0:
        return task.values[lower:upper] - task.mean
    result = np.empty(upper - lower, np.float32)
    for j in range(lower, upper):
        result[j - lower] = task.table[np.uint8(task.values[j])]
    return result


@exact_jit
def indices_in_range(indices: Int32, n_rows: int) -> bool:
    """Tell whether every index names one of the other side's rows."""
    lowest, highest = 0, 0
    for index in indices:
        lowest = min(lowest, index)
        highest = max(highest, index)
    return lowest >= 0 and (highest < n_rows or len(indices) == 0)


@exact_jit
def solve_row(
    rows: Float64,
    weights: Float64,
    prior: Float64,
    x: Float64,
    coordinate: bool,  # noqa: FBT001
) -> int:
    """Solve one row with ratings, in place of its present x = [factors, bias]; return its status."""
    gram = augmented_gram(rows)
    trace = 0.0
    for k in range(len(gram)):
        trace += gram[k, k]
    if not np.isfinite(trace):
        return NOT_FINITE
    if coordinate:
        return solve_by_coordinates(gram, weights, prior, x)
    return solve_jointly(gram, weights, prior, x)


@exact_jit
def squared_errors(rows: Float64, x: Float64) -> float:
    """Return Σ (y − xᵀz)² over the rows [z, y]."""
    total = 0.0
    for row in rows:
        error = row[len(x)]
        for k in range(len(x)):
            error -= x[k] * row[k]
        total += error * error
    return total


@exact_jit
def solve_block(task: Task, outcome: Outcome, coordinate: bool) -> None:  # noqa: FBT001
    """Solve every row of a block: the whole half-step."""
    rank = task.rank
    for row in range(len(task.indptr) - 1):
        lower, upper = task.indptr[row], task.indptr[row + 1]
        indices = task.indices[lower:upper]
        if not indices_in_range(indices, len(task.other)):
            outcome.status[row] = BAD_INDEX
            continue
        strength = float(max(upper - lower, 1)) ** task.ridge_exponent
        weights = np.full(rank + 1, strength * task.ridge_factors)
        weights[rank] = strength * task.ridge_bias
        prior = np.zeros(rank + 1)
        if len(task.priors) > 0:
            prior[:] = task.priors[row]
        x = prior.copy()
        if upper > lower:
            if coordinate:
                x[:rank] = task.current[row, :rank]
            rows = gather_row(task.other, indices, residuals(task, lower, upper), rank)
            outcome.status[row] = solve_row(rows, weights, prior, x, coordinate)
            outcome.stats[row, 0] = squared_errors(rows, x)
            for k in range(rank + 1):
                outcome.stats[row, 1] += weights[k] * (x[k] - prior[k]) ** 2
            if outcome.status[row] == OK and not np.isfinite(outcome.stats[row].sum()):
                outcome.status[row] = NOT_FINITE
        outcome.rows[row, :rank] = x[:rank]
        outcome.rows[row, rank + 1] = x[rank]
