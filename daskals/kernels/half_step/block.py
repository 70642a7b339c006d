"""Block of ratings as every kernel is given it, checked and packed once, and what kernels write of its rows.

A *block* holds the ratings of neighbouring rows of one side. A kernel takes its rows in *batches* of as many
as a vector has lanes; threads share out *strips* of neighbouring rows; the sums of a row with very many
ratings are formed in *segments* of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from daskals.errors import DataError
from daskals.kernels.half_step.gram_tiles import tile_places
from daskals.kernels.half_step.status import raise_first
from daskals.kernels.toolkit.layout import aligned_rows, empty_rows, row_stride
from daskals.kernels.toolkit.target import Target, current_target
from daskals.types import (
    NARROW_ROWS,
    BlockStats,
    FactorRows,
    Float32,
    Float64,
    Int32,
    Int64,
    RatingsBlock,
    Ridge,
    UInt8,
    UInt16,
)

SCALE_SIZE = 256


class BlockInput(NamedTuple):
    """A block's ratings, the other side, and the ridge: what kernels are given, plain and fast alike.

    Attributes
    ----------
    indptr, indices
        Where rows start, and rows of the other side, as in `daskals.types.RatingsBlock`.
    values
        uint8 codes into `table`, or float32 ratings from which `mean` is to be taken if `table` is empty.
    table, mean
        For each of 256 codes the rating less μ; the mean rating μ.
    places, other
        `half_step.gram_tiles.tile_places` of the factors that are summed at a time; factor rows of the other
        side, shape (rows, stride).
    priors
        Prior means [factors, bias] of the rows, shape (rows, rank + 1); no rows stand for zero.
    current
        Present factor rows, where solves start from them; no rows where they are not needed.
    order
        Rows in the order in which they are put into batches, without those that are left out; empty for all
        of them one after the other.
    thirds, third
        Where there is a third side: for each rating its row there, and the factor rows of that side, shape
        (rows, stride). Both empty where there is none.
    segments
        Partial Gram sums that are formed on their own, before the rows: row, first and stop rating of each,
        shape (segments, 3), in order. Rows without segments are summed when their turn comes.
    rank, ridge_factors, ridge_bias, ridge_exponent
        The rank, and the rows' ridge (see `daskals.types.Ridge`).
    """

    indptr: Int64
    indices: Int32
    values: UInt8 | Float32
    table: Float32
    mean: np.float32
    places: Int64
    other: FactorRows
    priors: Float32
    current: FactorRows
    order: Int64
    segments: Int64
    thirds: Int32 | UInt16
    third: FactorRows
    rank: int
    ridge_factors: float
    ridge_bias: float
    ridge_exponent: float


class BlockOutput(NamedTuple):
    """What a kernel writes.

    `rows`: factor rows; `stats`: each row's SSE and penalty, shape (rows, 2); `status`: what can be said of
    each row (see `half_step.status`); `segment_tiles`: partial Gram sums, shape (segments, floats of a row's
    tiles).
    """

    rows: FactorRows
    stats: Float64
    status: Int64
    segment_tiles: Float32


def make_input(
    block: RatingsBlock,
    other: FactorRows,
    rank: int,
    mean: float,
    ridge: Ridge,
    *,
    prior: Float32 | None = None,
    current: FactorRows | None = None,
    summed: int | None = None,
    third: FactorRows | None = None,
) -> BlockInput:
    """Pack a block for a kernel, for all its rows.

    Parameters
    ----------
    block, other
        The rows' ratings; factor rows of the other side, shape (rows, stride).
    rank, mean
        Number of factors; the mean rating μ.
    ridge
        Regularisation of the rows.
    prior
        Prior means [factors, bias], shape (rows, rank + 1); zero if absent.
    current
        Present factor rows, shape (rows, stride), where solves start from them.
    summed
        Number of factors whose Gram matrix is formed at a time; all of them if None.
    third
        Factor rows of a third side, shape (rows, stride), which the block's `thirds` are rows of.

    Returns
    -------
    BlockInput
        Its arrays are read-only, aligned and in C order; codes that the scale does not have stand for NaN.

    Raises
    ------
    DataError
        If the factor rows are not of this rank, or arrays do not fit one another.
    """
    check_rows(other, rank)
    _check_ratings(block)
    _check_start(block, rank, prior, current)
    absent = _absent(rank)
    table = np.full(SCALE_SIZE if len(block.scale) else 0, np.nan, np.float32)
    table[: len(block.scale)] = block.scale.astype(np.float32) - np.float32(mean)
    return BlockInput(
        indptr=frozen(block.indptr, np.int64),
        indices=frozen(block.indices, np.int32),
        values=frozen(block.values, np.uint8 if len(block.scale) else np.float32),
        table=table,
        mean=np.float32(mean),
        places=_places(rank if summed is None else summed, current_target()),
        other=frozen(aligned_rows(other, rank), np.float32),
        priors=absent.priors if prior is None else frozen(prior, np.float32),
        current=absent.rows if current is None else frozen(aligned_rows(current, rank), np.float32),
        order=absent.order,
        segments=absent.segments,
        thirds=absent.thirds if third is None else narrowed(_thirds(block, third, rank), len(third)),
        third=absent.rows if third is None else frozen(aligned_rows(third, rank), np.float32),
        rank=rank,
        ridge_factors=float(ridge.factors),
        ridge_bias=float(ridge.bias),
        ridge_exponent=float(ridge.exponent),
    )


class _Absent(NamedTuple):
    """What stands for the arrays of a `BlockInput` that are not there: made once, for blocks are many."""

    priors: Float32
    rows: FactorRows
    order: Int64
    segments: Int64
    thirds: Int32


@lru_cache
def _absent(rank: int) -> _Absent:
    return _Absent(
        frozen(np.empty((0, rank + 1)), np.float32),
        frozen(empty_rows(0, rank), np.float32),
        frozen(np.empty(0), np.int64),
        frozen(np.empty((0, 3)), np.int64),
        frozen(np.empty(0), np.int32),
    )


@lru_cache
def _places(rank: int, target: Target) -> Int64:
    return frozen(tile_places(rank, target), np.int64)


def make_output(block: BlockInput, *, solved: bool = True) -> BlockOutput:
    """Make room for what a kernel writes of a block, or where it is not `solved`, for its statuses alone."""
    n_rows = len(block.indptr) - 1
    n_solved = n_rows if solved else 0
    return BlockOutput(
        empty_rows(n_solved, block.rank),
        np.zeros((n_solved, 2)),
        np.zeros(n_rows, dtype=np.int64),
        np.empty((len(block.segments), len(block.places)), np.float32),
    )


def outcome(
    output: BlockOutput, start: int, limits: Sequence[int] | None = None
) -> tuple[FactorRows, BlockStats]:
    """Return a block's new factor rows, shape (rows, stride), and what they add to the objective, in order.

    Raises the RowError of the first row that failed; `start` is the number of the block's first. Between
    `limits`, which begin with 0 and end with the number of rows, rows are added up first, as in pieces.
    """
    raise_first(output.status, start)
    sse = penalty = 0.0
    for first, stop in itertools.pairwise(limits or (0, len(output.stats))):
        if stop > first:
            own = np.add.accumulate(output.stats[first:stop], axis=0)[-1]
            sse, penalty = sse + float(own[0]), penalty + float(own[1])
    return output.rows, BlockStats(sse, penalty)


def frozen(array: NDArray[Any], dtype: type[np.generic]) -> NDArray[Any]:
    """Make an array of any shape and dtype read-only and C-ordered: kernels are compiled for one kind."""
    view = np.ascontiguousarray(array, dtype).view()
    view.flags.writeable = False
    return view


def narrowed(thirds: Int32 | UInt16, n_rows: int) -> Int32 | UInt16:
    """Return rows of a third side as kernels read them, of shape (ratings,): uint16, of many rows int32.

    What is no row of `n_rows` stays none. They are kept so: nothing is copied for a kernel.
    """
    if n_rows > NARROW_ROWS:
        return frozen(thirds, np.int32)
    if thirds.dtype != np.uint16:
        thirds = np.minimum(thirds.astype(np.uint32), NARROW_ROWS).astype(np.uint16)  # negative ones are huge
    return frozen(thirds, np.uint16)


def check_rows(rows: FactorRows, rank: int) -> None:
    """Refuse, with DataError, factor rows whose shape is not (rows, `row_stride(rank)`)."""
    if rows.ndim != 2 or rows.shape[1] != row_stride(rank):
        raise DataError(
            f"factor rows have shape {rows.shape}", expected=f"(rows, {row_stride(rank)}) for rank {rank}"
        )


def _thirds(block: RatingsBlock, third: FactorRows, rank: int) -> Int32 | UInt16:
    check_rows(third, rank)
    if block.thirds is None or len(block.thirds) != len(block.indices):
        found = "none" if block.thirds is None else str(len(block.thirds))
        raise DataError(
            f"{len(block.indices)} ratings of a block have {found} rows of a third side",
            expected="one for each rating",
        )
    return block.thirds


def _check_start(block: RatingsBlock, rank: int, prior: Float32 | None, current: FactorRows | None) -> None:
    if prior is not None and prior.shape != (block.n_rows, rank + 1):
        raise DataError(
            f"the prior has shape {prior.shape}", expected=f"{(block.n_rows, rank + 1)}, one mean per row"
        )
    if current is not None and current.shape != (block.n_rows, row_stride(rank)):
        raise DataError(
            f"current rows have shape {current.shape}", expected=f"{(block.n_rows, row_stride(rank))}"
        )


def _check_ratings(block: RatingsBlock) -> None:
    ends = (int(block.indptr[0]), int(block.indptr[-1])) if len(block.indptr) else (0, 0)
    fits = len(block.indices) == len(block.values) == ends[1] and ends[0] == 0
    if not fits or bool(np.any(np.diff(block.indptr) < 0)):
        raise DataError(
            f"a block's rows span {ends[0]} to {ends[1]} of {len(block.indices)} indices and"
            f" {len(block.values)} ratings",
            expected="ascending row limits from 0 to the number of ratings",
        )
