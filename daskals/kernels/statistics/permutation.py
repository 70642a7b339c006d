"""Permutation test of a series' level: partial sums against those of its blocks in random order."""

from __future__ import annotations

import numpy as np

from daskals.kernels.toolkit.jit import jit
from daskals.kernels.toolkit.random import random_bits, row_key
from daskals.types import Float64, Int64

EXCEEDANCES = 20
"""Random orders that reach what was found, that make a row's p-value good enough (Besag and Clifford)."""


@jit
def _largest(
    sums: Float64, sizes: Float64, order: Int64, mean: Float64, partial: Float64
) -> tuple[float, int]:
    """Return max over k of ‖Σ_{b ≤ k} (sum_b − size_b·mean)‖², and the k."""
    partial[:] = 0.0
    best, place = 0.0, 0
    for k in range(len(order) - 1):
        block = order[k]
        length = 0.0
        for j in range(len(mean)):
            partial[j] += sums[block, j] - sizes[block] * mean[j]
            length += partial[j] * partial[j]
        if length > best:
            best, place = length, k + 1
    return best, place


@jit
def _moves(
    key: np.uint64,
    starts: Int64,
    sums: Float64,
    sizes: Float64,
    orders: int,
    found: Float64,
    places: Int64,
    p_values: Float64,
) -> None:
    width = sums.shape[1]
    mean, partial = np.empty(width), np.empty(width)
    for row in range(len(starts) - 1):
        first, stop = starts[row], starts[row + 1]
        own, weights = sums[first:stop], sizes[first:stop]
        n = stop - first
        order = np.arange(n)
        for j in range(width):
            mean[j] = own[:, j].sum() / weights.sum()
        found[row], places[row] = _largest(own, weights, order, mean, partial)
        of_row = row_key(key, row)
        drawn = reached = column = 0
        while n > 1 and drawn < orders and reached < EXCEEDANCES:
            for k in range(n - 1, 0, -1):
                other = int(random_bits(of_row, column) >> np.uint64(1)) % (k + 1)
                column += 1
                order[k], order[other] = order[other], order[k]
            drawn += 1
            # rounding differs by the order: equal sums count as reached
            reached += _largest(own, weights, order, mean, partial)[0] >= found[row] * (1.0 - 1e-9)
        p_values[row] = reached / drawn if reached == EXCEEDANCES else (reached + 1.0) / (drawn + 1.0)


def block_moves(
    key: np.uint64, starts: Int64, sums: Float64, sizes: Float64, orders: int
) -> tuple[Float64, Int64, Float64]:
    """Test, for each row, whether its blocks keep one level over time (a CUSUM test by permutation).

    The order of the blocks is permuted, so a block's values may depend on one another as they like.

    Parameters
    ----------
    key
        Key of a stream of random numbers.
    starts
        Where the blocks of each row start, int64, shape (rows + 1,); blocks are in order of time.
    sums
        Sum of each block's values, float64, shape (blocks, values a rating).
    sizes
        Ratings of each block, float64, shape (blocks,).
    orders
        Most random orders to draw; a row is done earlier once `EXCEEDANCES` of them reach what was found.

    Returns
    -------
    found, places, p_values
        The largest squared length of the centred partial sums; after how many blocks it is reached; and the
        p-value. Shape (rows,) each.
    """
    n_rows = len(starts) - 1
    found, places, p_values = np.empty(n_rows), np.empty(n_rows, np.int64), np.ones(n_rows)
    with np.errstate(over="ignore"):
        _moves(key, starts, np.ascontiguousarray(sums), sizes, orders, found, places, p_values)
    return found, places, p_values
