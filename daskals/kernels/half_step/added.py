"""What a third side adds to ratings: b_t + p·d_t + q·d_t over the ratings of its rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from daskals.kernels.half_step.block import frozen
from daskals.kernels.half_step.join_lanes import predict_joined
from daskals.kernels.half_step.joined import AHEAD, join_block
from daskals.kernels.toolkit.jit import PLAIN, exact_jit
from daskals.kernels.toolkit.layout import aligned_rows, row_stride
from daskals.kernels.toolkit.simd import prefetch_row
from daskals.types import FactorRows, Float32, Int32, Int64, RatingsBlock


@lru_cache
def _predicting(
    rank: int,
) -> Callable[[Int64, Int32, Int32, FactorRows, FactorRows, FactorRows, Float32, Float32], None]:
    """Return the kernel that writes what each rating is predicted as less μ, and c of its joined row."""
    stride, floats = row_stride(rank), rank + 2

    @exact_jit
    def predict(
        indptr: Int64,
        indices: Int32,
        thirds: Int32,
        first: FactorRows,
        second: FactorRows,
        rows: FactorRows,
        predicted: Float32,
        constants: Float32,
    ) -> None:
        last = len(indices) - 1
        for row in range(len(indptr) - 1):
            for j in range(indptr[row], indptr[row + 1]):
                ahead = min(j + AHEAD, last)
                prefetch_row(first, indices[ahead], floats)
                prefetch_row(second, thirds[ahead], floats)
                one, two = indices[j] * stride, thirds[j] * stride
                predicted[j], constants[j] = predict_joined(first, one, second, two, rows, row * stride, rank)

    return predict


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
    indices, thirds = frozen(block.indices, np.int32), frozen(block.thirds, np.int32)
    _predicting(rank)(frozen(block.indptr, np.int64), indices, thirds, one, two, own, predicted, constants)
    return float(np.sum(predicted, dtype=np.float64) - np.sum(constants, dtype=np.float64))
