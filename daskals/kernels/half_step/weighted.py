"""Half-step of a block whose ratings have weights, beside a matrix that all rows share.

For each row, with z = [q, 1] and y = r − μ − b of the ratings' other side, x = [factors p, bias] minimises
Σ w(y − xᵀz)² + pᵀAp + c^ν·(x − m)ᵀT(x − m), T = diag(τ, …, τ, γ): that is (Σ w·zzᵀ + A + c^ν·T) x =
Σ w·zy + c^ν·Tm. A weight of 2 is the rating twice, where c is the sum of the weights. Implicit feedback has
A = α₀QᵀQ, for all pairs nobody observed, and no bias. Rows without ratings are at their prior m.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from daskals.errors import DataError
from daskals.kernels.half_step.block import BlockInput, BlockOutput, frozen, make_input, make_output, outcome
from daskals.kernels.half_step.joined import join_block
from daskals.kernels.half_step.plain import factorise, residual_at, substitute
from daskals.kernels.half_step.status import BAD_INDEX, BAD_PIVOT, NOT_FINITE, OK
from daskals.kernels.half_step.weighted_batches import WeightedInput, weighted_solver
from daskals.kernels.toolkit.jit import PLAIN, exact_jit
from daskals.types import BlockStats, FactorRows, Float32, Float64, RatingsBlock, Ridge

NO_WEIGHTS = WeightedInput(
    frozen(np.empty(0), np.float32), frozen(np.empty(0), np.float64), frozen(np.empty(0), np.float32)
)
"""Of ratings that all count once."""


@dataclass(frozen=True)
class Weighting:
    """What weighs a block's ratings.

    Attributes
    ----------
    weights
        float32, shape (ratings,): w of each, above 0.
    counts
        float64, shape (rows,): c, what a row's ridge takes for its number of ratings.
    shared
        A, float64, shape (rank, rank), or None for none.
    biased
        Whether rows have a bias.
    """

    weights: Float32
    counts: Float64
    shared: Float64 | None = None
    biased: bool = True


def weights_of(block: RatingsBlock) -> WeightedInput:
    """Return √w of a block's ratings and Σw of its rows, as kernels take them; nothing where all count once.

    Raises DataError if a weight is not a positive number, or they are not one a rating.
    """
    if block.weights is None:
        return NO_WEIGHTS
    _check_weights(block.weights, block)
    return WeightedInput(
        frozen(np.sqrt(block.weights), np.float32),
        frozen(block.row_weights, np.float64),
        NO_WEIGHTS.shared,
    )


@exact_jit
def weighted_gram(block: BlockInput, roots: Float32, row: int, gram: Float64) -> int:
    """Write the lower triangle of Σ w·zzᵀ, z = [q, 1, y]; return the row's status.

    Parameters
    ----------
    block, roots
        The block, and √w of its ratings, float32, shape (ratings,).
    row
        The row.
    gram
        float64, shape (rank + 2, rank + 2): receives it.
    """
    rank = block.rank
    gram[:] = 0.0
    z = np.ones(rank + 2)
    for j in range(block.indptr[row], block.indptr[row + 1]):
        index = block.indices[j]
        if index < 0 or index >= len(block.other):
            return BAD_INDEX
        other = block.other[index]
        for k in range(rank):
            z[k] = other[k]
        z[rank + 1] = residual_at(block, j) - other[rank + 1]
        weight = float(roots[j]) * float(roots[j])
        for a in range(rank + 2):
            for b in range(a + 1):
                gram[a, b] += weight * z[a] * z[b]
    return OK


@exact_jit
def weighted_squares(block: BlockInput, roots: Float32, row: int, x: Float64) -> float:
    """Return Σ w(y − xᵀz)² of a row rating by rating, as `plain.direct_sse` does.

    Parameters
    ----------
    block, roots
        The block, and √w of its ratings, float32, shape (ratings,).
    row
        The row.
    x
        Factors and bias, float64, shape (rank + 1,).
    """
    rank = block.rank
    sse = 0.0
    for j in range(block.indptr[row], block.indptr[row + 1]):
        source = block.other[block.indices[j]]
        error = residual_at(block, j) - source[rank + 1] - x[rank]
        for k in range(rank):
            error -= x[k] * source[k]
        sse += float(roots[j]) * float(roots[j]) * error * error
    return sse


@exact_jit
def add_packed(shared: Float32, matrix: Float64) -> None:
    """Add A, packed, shape (entries,), to the lower triangle of a matrix, float64, shape (n, n)."""
    row, column = 0, 0
    for entry in range(len(shared)):
        matrix[row, column] += shared[entry]
        column += 1
        if column > row:
            row, column = row + 1, 0


@exact_jit
def shared_product(shared: Float32, x: Float64) -> float:
    """Return pᵀAp of A, packed, shape (entries,), and p, the first of x, shape (unknowns,); 0 for no A."""
    total, row, column = 0.0, 0, 0
    for entry in range(len(shared)):
        total += (1.0 if row == column else 2.0) * x[row] * x[column] * shared[entry]
        column += 1
        if column > row:
            row, column = row + 1, 0
    return total


@exact_jit
def _solve_plainly(block: BlockInput, weighted: WeightedInput, output: BlockOutput, size: int) -> None:
    """Solve rows one by one for `size` unknowns; the plain twin of `half_step.weighted_batches`."""
    rank, shared = block.rank, weighted.shared
    gram = np.empty((rank + 2, rank + 2))
    for row in range(len(weighted.counts)):
        output.status[row] = weighted_gram(block, weighted.roots, row, gram)
        prior = np.zeros(rank + 1)
        if len(block.priors) > 0:
            prior[:] = block.priors[row]
        x = prior.copy()
        if output.status[row] == OK and block.indptr[row + 1] > block.indptr[row]:
            ridge = np.full(rank + 1, block.ridge_factors)
            ridge[rank] = block.ridge_bias
            ridge *= weighted.counts[row] ** block.ridge_exponent
            matrix, x = gram[:size, :size].copy(), np.zeros(rank + 1)
            for k in range(size):
                matrix[k, k] += ridge[k]
                x[k] = gram[rank + 1, k] + ridge[k] * prior[k]
            for entry in range(len(shared)):
                a = int((np.sqrt(8.0 * entry + 1.0) - 1.0) / 2.0)
                matrix[a, entry - a * (a + 1) // 2] += shared[entry]
            sound = factorise(matrix)
            substitute(matrix, x[:size])
            _count(gram, shared, ridge, x - prior, x, output.stats[row])
            finite = np.isfinite(output.stats[row].sum())
            if not sound or not finite:
                output.status[row] = NOT_FINITE if not np.isfinite(np.trace(gram)) or sound else BAD_PIVOT
        output.rows[row, :rank] = x[:rank]
        output.rows[row, rank + 1] = x[rank]


@exact_jit
def _count(gram: Float64, shared: Float32, ridge: Float64, step: Float64, x: Float64, stats: Float64) -> None:
    """Write Σ w(y − xᵀz)² + pᵀAp and the penalty."""
    size = len(x)
    stats[0] = gram[size, size]
    for a in range(size):
        stats[0] -= 2.0 * x[a] * gram[size, a]
        stats[1] += ridge[a] * step[a] * step[a]
        for b in range(a + 1):
            entry = gram[a, b]
            place = a * (a + 1) // 2 + b
            if place < len(shared):
                entry += shared[place]
            stats[0] += (1.0 if a == b else 2.0) * x[a] * x[b] * entry


def solve_weighted(
    block: RatingsBlock,
    other: FactorRows,
    weighting: Weighting,
    *,
    rank: int,
    mean: float,
    ridge: Ridge,
    prior: Float32 | None = None,
    third: FactorRows | None = None,
) -> tuple[FactorRows, BlockStats]:
    """Solve every row of a block whose ratings have weights.

    Parameters
    ----------
    block
        The rows' ratings.
    other
        Factor rows of the other side, shape (rows of the other side, stride).
    weighting
        Their weights, and what all rows share.
    rank, mean, ridge
        Number of factors; mean rating μ; regularisation of this side.
    prior
        Prior means [factors, bias], float32, shape (rows, rank + 1); zero if absent.
    third
        Factor rows of a third side, shape (rows, stride), if there is one: the ratings are of both.

    Returns
    -------
    tuple
        The block's new factor rows, float32, shape (rows, stride), and what it adds to the objective: its
        `sse` holds Σ w(y − xᵀz)² + Σ pᵀAp over the rows with ratings.

    Raises
    ------
    DataError
        If arrays do not fit one another, or a weight is not a positive number.
    RowError
        If a row holds an index out of range, its equations are not positive definite, or its solution is
        not finite.
    """
    weighted = pack_weighting(block, weighting, rank)
    if third is not None and PLAIN:
        (block, other), third = join_block(block, other, third, rank), None
    given = make_input(block, other, rank, mean, ridge, prior=prior, third=third)
    output = make_output(given)
    if PLAIN:
        with np.errstate(all="ignore"):  # what is not finite is found by status, as in compiled code
            _solve_plainly(given, weighted, output, rank + int(weighting.biased))
    else:
        sides = 2 if third is None else 3
        weighted_solver(rank, biased=weighting.biased, sides=sides)(given, weighted, output)
    return outcome(output, block.start)


def pack_weighting(block: RatingsBlock, weighting: Weighting, rank: int) -> WeightedInput:
    """Return what weighs a block as kernels take it; raise DataError if it does not fit it."""
    check_weighting(block, weighting, rank)
    shared = np.empty(0) if weighting.shared is None else weighting.shared[np.tril_indices(rank)]
    return WeightedInput(
        frozen(np.sqrt(weighting.weights), np.float32),
        frozen(weighting.counts, np.float64),
        frozen(shared, np.float32),
    )


def check_weighting(block: RatingsBlock, weighting: Weighting, rank: int) -> None:
    """Refuse, with DataError, what weighs a block if it does not fit it."""
    weights, counts, shared = weighting.weights, weighting.counts, weighting.shared
    _check_weights(weights, block)
    if len(counts) != block.n_rows:
        raise DataError(f"{len(counts)} counts", expected=f"one for each of {block.n_rows} rows")
    if shared is not None and shared.shape != (rank, rank):
        raise DataError(f"the shared matrix has shape {shared.shape}", expected=f"{(rank, rank)}")


def _check_weights(weights: Float32, block: RatingsBlock) -> None:
    if len(weights) != len(block.indices):
        raise DataError(f"{len(weights)} weights", expected=f"one for each of {len(block.indices)} ratings")
    if len(weights) and not (weights.min() > 0 and weights.max() < np.inf):  # NaN is below nothing
        bad = np.flatnonzero(~((weights > 0) & np.isfinite(weights)))
        raise DataError(
            f"weight {weights[bad[0]]} of rating {int(bad[0])} of a block", expected="a positive number"
        )
