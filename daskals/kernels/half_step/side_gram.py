"""Gram matrix Σ qqᵀ over all factor rows of a side, which every row of an implicit half-step shares."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from daskals.kernels.half_step.batch import LANES, gram_batch, make_workspace
from daskals.kernels.half_step.block import BlockInput, BlockOutput, make_input, make_output
from daskals.kernels.half_step.plain import row_gram
from daskals.kernels.toolkit.jit import PLAIN, exact_jit
from daskals.kernels.toolkit.simd import unowned
from daskals.types import FactorRows, Float64, RatingsBlock, Ridge


@lru_cache
def _sum_kernel(rank: int) -> Callable[[BlockInput, BlockOutput, Float64], None]:
    """Return the kernel that writes the Gram matrix of a block's one row, packed."""
    sum_batch = gram_batch(rank)

    @exact_jit
    def sum_row(block: BlockInput, output: BlockOutput, packed: Float64) -> None:
        memory = make_workspace(rank, len(block.places))
        work = unowned(memory)
        sum_batch(unowned(block), work, 0, 1, unowned(output))
        for entry in range(len(packed)):
            packed[entry] = work.grams[entry * LANES]
        memory.positive[0] = 0  # memory is alive until here

    return sum_row


def side_gram(rows: FactorRows, rank: int, *, biased: bool = False) -> Float64:
    """Return Σ qqᵀ over all rows of a side, float64, shape (rank, rank), summed in row order.

    Parameters
    ----------
    rows
        Factor rows, shape (rows, stride).
    rank
        Number of factors.
    biased
        Whether the sum is of zzᵀ, z = [q, 1], shape (rank + 1, rank + 1).
    """
    n_rows, size = len(rows), rank + int(biased)
    block = RatingsBlock(
        0,
        np.array([0, n_rows], np.int64),
        np.arange(n_rows, dtype=np.int32),
        np.zeros(n_rows, np.float32),
        np.empty(0, np.float32),
    )
    given = make_input(block, rows, rank, 0.0, Ridge(0.0, 0.0))
    lower = np.tril_indices(size)
    gram = np.zeros((size, size))
    if PLAIN:
        whole = np.empty((rank + 2, rank + 2))
        row_gram(given, 0, whole)
        gram[lower] = whole[lower]
    else:
        packed = np.empty(len(lower[0]))
        _sum_kernel(rank)(given, make_output(given), packed)
        gram[lower] = packed
    gram += np.tril(gram, -1).T
    return gram
