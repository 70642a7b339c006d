"""Rows that two sides make of ratings, one by one: `half_step.joined` and `half_step.added`, at speed."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from daskals.kernels.half_step.join_lanes import join_row, predict_joined
from daskals.kernels.toolkit.jit import exact_jit
from daskals.kernels.toolkit.layout import row_stride
from daskals.kernels.toolkit.simd import prefetch_row
from daskals.kernels.toolkit.target import current_target
from daskals.types import FactorRows, Float32, Int32, Int64, UInt16

AHEAD = 16
"""How many ratings ahead rows are asked for where they are joined."""


@lru_cache
def join_kernel(rank: int) -> Callable[[Int32, Int32 | UInt16, FactorRows, FactorRows, FactorRows], int]:
    """Return the kernel that writes x and c of each rating, made for a rank.

    It returns the place of the first rating whose rows are none, or −1.
    """
    stride, floats = row_stride(rank), rank + 2
    vectors = stride // current_target().lanes

    @exact_jit
    def join(
        indices: Int32, thirds: Int32 | UInt16, first: FactorRows, second: FactorRows, out: FactorRows
    ) -> int:
        last = len(indices) - 1
        for j in range(len(indices)):
            ahead = min(j + AHEAD, last)
            prefetch_row(first, indices[ahead], floats)
            prefetch_row(second, thirds[ahead], floats)
            # without a sign nothing need be counted from the end
            a, b = np.uint32(indices[j]), np.uint32(thirds[j])
            if a >= len(first) or b >= len(second):
                return j
            join_row(first, a * stride, second, b * stride, out, j * stride, rank, vectors)
        return -1

    return join


@lru_cache
def predicting_kernel(
    rank: int,
) -> Callable[[Int64, Int32, Int32 | UInt16, FactorRows, FactorRows, FactorRows, Float32, Float32], None]:
    """Return the kernel that writes what each rating is predicted as less μ, and c of its joined row."""
    stride, floats = row_stride(rank), rank + 2

    @exact_jit
    def predict(
        indptr: Int64,
        indices: Int32,
        thirds: Int32 | UInt16,
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
