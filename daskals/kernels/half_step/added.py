"""What a third side adds to ratings: b_t + p·d_t + q·d_t over the ratings of its rows."""

from __future__ import annotations

import numpy as np

from daskals.kernels.half_step.block import frozen, narrowed
from daskals.kernels.half_step.join_batches import predicting_kernel
from daskals.kernels.half_step.joined import join_block
from daskals.kernels.toolkit.jit import PLAIN
from daskals.kernels.toolkit.layout import aligned_rows
from daskals.types import FactorRows, RatingsBlock


def added_by_rows(
    block: RatingsBlock, first: FactorRows, second: FactorRows, rows: FactorRows, rank: int
) -> float:
    """Return the sum over a block's ratings of b + p·x, [p, b] their row and x of their joined row.

    Parameters
    ----------
    block
        Ratings whose rows of both other sides there are, as solving them has shown.
    first, second, rows
        Factor rows of the sides of `indices` and of `thirds`, and of the block, shape (rows, stride).
    rank
        Number of factors.
    """
    assert block.thirds is not None, "there is a third side"
    if PLAIN:
        each, joined = join_block(block, first, second, rank)
        repeated = np.repeat(rows, np.diff(each.indptr), axis=0).astype(np.float64)
        return float(np.sum(repeated[:, :rank] * joined[:, :rank]) + np.sum(repeated[:, rank + 1]))
    n_ratings = len(block.indices)
    predicted, constants = np.empty(n_ratings, np.float32), np.empty(n_ratings, np.float32)
    one, two, own = (frozen(aligned_rows(side, rank), np.float32) for side in (first, second, rows))
    indices, thirds = frozen(block.indices, np.int32), narrowed(block.thirds, len(two))
    indptr = frozen(block.indptr, np.int64)
    predicting_kernel(rank)(indptr, indices, thirds, one, two, own, predicted, constants)
    return float(np.sum(predicted, dtype=np.float64) - np.sum(constants, dtype=np.float64))
