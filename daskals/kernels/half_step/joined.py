"""Rows of two sides joined into one, rating by rating: how a third side enters the kernels of two.

With r̂ = μ + b_u + b_i + b_t + p·q + p·d + q·d a user's ratings are those of r̂ = μ + b_u + c + p·x with
x = q + d and c = b_i + b_t + q·d, and likewise an item's and a day's: a rating has a row of its own, made of
the rows of the two other sides. Whatever is done with a row's ratings is done with these.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from daskals.errors import DataError
from daskals.kernels.half_step.block import check_rows, frozen, narrowed
from daskals.kernels.half_step.join_batches import join_kernel
from daskals.kernels.toolkit.jit import PLAIN, exact_jit
from daskals.kernels.toolkit.layout import aligned_empty, aligned_rows, row_stride
from daskals.types import FactorRows, Int32, Int64, RatingsBlock, UInt16

PIECE_RATINGS = 1 << 17
"""Ratings whose rows are made at a time: 17 MB at rank 20. A row of more is a piece of its own."""


class Joined(NamedTuple):
    """Some rows of a block, and for each of their ratings the row that the two other sides make of it.

    `block`: the rows, `indices` counting their ratings; `other`: float32, shape (ratings, stride).
    """

    block: RatingsBlock
    other: FactorRows


@exact_jit
def _join_plainly(
    indices: Int32, thirds: Int32 | UInt16, first: FactorRows, second: FactorRows, rank: int, out: FactorRows
) -> int:
    """Join rows one number after the other; the plain twin of `join_kernel`'s."""
    for j in range(len(indices)):
        a, b = indices[j], thirds[j]
        if not (0 <= a < len(first) and 0 <= b < len(second)):
            return j
        one, two, row = first[a], second[b], out[j]
        product = np.float32(0.0)
        for k in range(rank):
            product += one[k] * two[k]
        for k in range(len(row)):
            row[k] = one[k] + two[k]
        row[rank] = np.float32(1.0)
        row[rank + 1] = one[rank + 1] + product + two[rank + 1]
    return -1


def join_rows(
    indices: Int32, thirds: Int32 | UInt16, first: FactorRows, second: FactorRows, rank: int
) -> FactorRows:
    """Make the row of each rating out of two, float32, shape (ratings, stride).

    Parameters
    ----------
    indices, thirds
        Shape (ratings,): rows of `first` and of `second`.
    first, second
        Factor rows of two sides, shape (rows, stride).
    rank
        Number of factors.

    Raises
    ------
    DataError
        If the factor rows are not of this rank, or a rating names a row that there is not.
    """
    check_rows(first, rank)
    check_rows(second, rank)
    out = aligned_empty(len(indices), row_stride(rank))
    if PLAIN:
        wrong = _join_plainly(indices, thirds, first, second, rank, out)
    else:
        one, two = (frozen(aligned_rows(rows, rank), np.float32) for rows in (first, second))
        wrong = join_kernel(rank)(frozen(indices, np.int32), narrowed(thirds, len(two)), one, two, out)
    if wrong >= 0:
        raise DataError(
            f"rating {wrong} of a block is of rows {indices[wrong]} and {thirds[wrong]}",
            expected=f"rows below {len(first)} and {len(second)}",
        )
    return out


def join_block(block: RatingsBlock, first: FactorRows, second: FactorRows, rank: int) -> Joined:
    """Make the rows of all ratings of a block; raises as `join_rows` does.

    Parameters
    ----------
    block
        Ratings that name rows of both other sides.
    first, second, rank
        Factor rows of the sides of `indices` and of `thirds`, shape (rows, stride); number of factors.
    """
    assert block.thirds is not None, "there is a third side"
    each = block._replace(indices=np.arange(len(block.indices), dtype=np.int32), thirds=None)
    return Joined(each, join_rows(block.indices, block.thirds, first, second, rank))


def cut_rows(indptr: Int64, piece_ratings: int = PIECE_RATINGS) -> list[int]:
    """Return where `cut_block` cuts, 0 and the number of rows among it, given `indptr`, shape (rows + 1,)."""
    limits, n_rows = [0], len(indptr) - 1
    while limits[-1] < n_rows:
        fitting = int(np.searchsorted(indptr, indptr[limits[-1]] + piece_ratings, side="right")) - 1
        limits.append(min(max(fitting, limits[-1] + 1), n_rows))
    return limits


def cut_block(block: RatingsBlock, piece_ratings: int = PIECE_RATINGS) -> Iterator[RatingsBlock]:
    """Cut a block into pieces of whole rows, of no more ratings but where a single row has more."""
    for start, stop in itertools.pairwise(cut_rows(block.indptr, piece_ratings)):
        here = slice(int(block.indptr[start]), int(block.indptr[stop]))
        yield RatingsBlock(
            block.start + start,
            block.indptr[start : stop + 1] - block.indptr[start],
            block.indices[here],
            block.values[here],
            block.scale,
            None if block.weights is None else block.weights[here],
            None if block.thirds is None else block.thirds[here],
        )


def joined_pieces(
    block: RatingsBlock,
    first: FactorRows,
    second: FactorRows,
    rank: int,
    piece_ratings: int = PIECE_RATINGS,
    wanted: NDArray[np.bool_] | None = None,
) -> Iterator[Joined]:
    """Cut a block into pieces of whole rows, and make the rows of their ratings; raises as `join_rows` does.

    Parameters
    ----------
    block
        Ratings that name rows of both other sides.
    first, second, rank
        Factor rows of the sides of `indices` and of `thirds`, shape (rows, stride); number of factors.
    piece_ratings
        Ratings of a piece at most, but for one of a single row.
    wanted
        Which rows' ratings are looked at, shape (rows,); a piece without any has no `other`, and is the whole
        block where that has none. All if None.
    """
    if wanted is not None and not wanted.any():
        yield Joined(block, aligned_empty(0, row_stride(rank)))
        return
    for piece in cut_block(block, piece_ratings):
        start = piece.start - block.start
        if wanted is not None and not wanted[start : start + piece.n_rows].any():
            yield Joined(piece, aligned_empty(0, row_stride(rank)))
        else:
            yield join_block(piece, first, second, rank)
