"""Ratings blocks as the eliminating and drawing kernels take them, one kind of array whatever the scale."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from daskals.errors import DataError
from daskals.kernels.toolkit.jit import exact_jit
from daskals.kernels.toolkit.layout import row_stride
from daskals.types import FactorRows, Float32, Float64, Int32, Int64, RatingsBlock, UInt8

SCALE_SIZE = 256

OK, BAD_INDEX, BAD_PIVOT, NOT_FINITE = 0, 1, 2, 3

FOUND = {
    BAD_INDEX: "an index points past the other side's last row",
    BAD_PIVOT: "the ridge equations are not positive definite",
    NOT_FINITE: "the solution is not finite",
}


class Coded(NamedTuple):
    """A block of ratings: `codes` into `scale`, or `ratings` where `scale` is empty; the other is empty."""

    indptr: Int64
    indices: Int32
    codes: UInt8
    ratings: Float32
    scale: Float32


def check_rows(rows: FactorRows, rank: int) -> None:
    """Raise DataError unless factor rows are of a rank."""
    if rows.ndim != 2 or rows.shape[1] != row_stride(rank):
        raise DataError(
            f"factor rows have shape {rows.shape}", expected=f"(rows, {row_stride(rank)}) for rank {rank}"
        )


def coded_block(block: RatingsBlock, other: FactorRows, rank: int) -> Coded:
    """Return a block for a kernel; raise DataError where the other side's rows are not of this rank."""
    check_rows(other, rank)
    coded = len(block.scale) > 0
    scale = np.full(SCALE_SIZE if coded else 0, np.nan, np.float32)
    scale[: len(block.scale)] = block.scale
    return Coded(
        np.array(block.indptr, np.int64),
        np.array(block.indices, np.int32, copy=None),
        np.array(block.values if coded else block.values[:0], np.uint8, copy=None),
        np.array(block.values[:0] if coded else block.values, np.float32, copy=None),
        scale,
    )


@exact_jit
def rating_at(block: Coded, j: int) -> float:
    """Return the j-th rating as a number; a code that the scale does not have is NaN."""
    if len(block.scale) > 0:
        return float(block.scale[block.codes[j]])
    return float(block.ratings[j])


@exact_jit
def row_gram(block: Coded, row: int, other: FactorRows, mean: float, gram: Float64) -> int:
    """Write Σ zzᵀ, z = [q, 1, y], of a row's ratings to the lower triangle of `gram`, (rank + 2)²."""
    size = len(gram)
    rank = size - 2
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
        z[rank + 1] = rating_at(block, j) - mean - source[rank + 1]
        for a in range(size):
            for b in range(a + 1):
                gram[a, b] += z[a] * z[b]
    return OK


@exact_jit
def direct_sse(block: Coded, row: int, other: FactorRows, mean: float, x: Float64) -> float:
    """Return Σ (y − xᵀz)² rating by rating, for rows that are fitted almost exactly."""
    rank = len(x) - 1
    sse = 0.0
    for j in range(block.indptr[row], block.indptr[row + 1]):
        source = other[block.indices[j]]
        error = rating_at(block, j) - mean - source[rank + 1] - x[rank]
        for k in range(rank):
            error -= x[k] * source[k]
        sse += error * error
    return sse
