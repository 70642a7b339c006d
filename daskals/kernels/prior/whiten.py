"""Whitened ratings: rows with few, eliminated by way of their ratings rather than of their unknowns.

With the z = [q, 1] of a row's n ratings as the rows of X and their y as r, let I + XT⁻¹Xᵀ = LLᵀ, Y = L⁻¹X
and u = L⁻¹r. Then A of `prior.eliminate` is T(S + T)⁻¹S = YᵀY, and Tx⁰ = Yᵀu; for a prior mean m
the row is x = m + T⁻¹Yᵀw with w = u − Ym, and its objective there is |w|². That keeps n(K + 2) numbers a row
rather than K²/2, takes a factor of order n rather than an inverse, and subtracts no numbers that are nearly
equal.

L is not formed before Y: its entry (j, i), i < j, is what row i of Y and row j of X give, Yᵢᵀ T⁻¹ Xⱼ.

Whitened ratings are laid out as factor rows of rank K + 1, [Y, 1, −u]: sums of YᵀY and Yᵀu over some rows are
Gram matrices, for the kernel that sums those of ratings.
"""

from __future__ import annotations

import numpy as np

from daskals.kernels.half_step.block import BlockInput
from daskals.kernels.half_step.plain import residual_at
from daskals.kernels.half_step.status import BAD_INDEX, BAD_PIVOT, NOT_FINITE, OK
from daskals.kernels.prior.eliminated import Eliminated
from daskals.kernels.toolkit.jit import exact_jit
from daskals.types import Float64, Int64

FEW = 8
"""Most ratings of a row that is whitened: with more its own equations are about as fast."""


def most_whitened(rank: int) -> int:
    """Return the most ratings of a row that is whitened, for a T above zero.

    With as many ratings as unknowns, a row's own equations are the smaller and the better conditioned.
    """
    return min(FEW, (rank + 1) // 2)


@exact_jit
def whiten_plain(block: BlockInput, result: Eliminated, status: Int64) -> None:
    """Whiten the ratings of rows one by one; the plain twin of `prior.whiten_batches`.

    `result` has the rows' weights, and room for their whitened ratings, none for most rows; `status`, shape
    (rows,), receives the statuses.
    """
    size, starts = block.rank + 1, result.starts
    for row in range(len(status)):
        n = starts[row + 1] - starts[row]
        if n == 0:
            continue
        ratings = np.empty((n, size + 1))
        status[row] = _read_ratings(block, block.indptr[row], ratings)
        if status[row] == OK:
            status[row] = _whiten(ratings, result.weights[row, 0], result.weights[row, 1])
        for j in range(n):
            target = result.whitened[starts[row] + j]
            target[:size] = ratings[j, :size]
            target[size] = 1.0
            target[size + 1] = ratings[j, size]


@exact_jit
def _read_ratings(block: BlockInput, first: int, ratings: Float64) -> int:
    """Write [z, −y] of a row's ratings."""
    last = ratings.shape[1] - 1
    for j in range(len(ratings)):
        index = block.indices[first + j]
        if index < 0 or index >= len(block.other):
            return BAD_INDEX
        ratings[j] = block.other[index, : last + 1]
        ratings[j, last] -= residual_at(block, first + j)
    return OK


@exact_jit
def _whiten(ratings: Float64, tau: float, gamma: float) -> int:
    """Turn [X, −r] into [Y, −u]."""
    size = ratings.shape[1] - 1
    trace, squares = 0.0, 0.0
    for j in range(len(ratings)):
        scaled = ratings[j, :size] / tau
        scaled[size - 1] = ratings[j, size - 1] / gamma
        product = np.sum(ratings[j, :size] * scaled)
        trace += product
        pivot = 1.0 + product
        factors = np.empty(j)
        for i in range(j):
            factors[i] = np.sum(ratings[i, :size] * scaled)
            pivot -= factors[i] * factors[i]
        if not pivot > 0.0:
            return BAD_PIVOT if np.isfinite(trace) else NOT_FINITE
        for i in range(j):
            ratings[j] -= factors[i] * ratings[i]
        ratings[j] /= np.sqrt(pivot)
        squares += ratings[j, size] * ratings[j, size]
    return OK if np.isfinite(trace + squares) else NOT_FINITE
