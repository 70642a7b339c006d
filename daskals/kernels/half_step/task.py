"""What a half-step kernel is given and what it writes, for the plain and the fast form alike."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from daskals.types import FactorRows, Float32, Float64, Int32, Int64, UInt8

OK, BAD_INDEX, BAD_PIVOT, NOT_FINITE = 0, 1, 2, 3
"""What can be said of a row."""


class Task(NamedTuple):
    """A block's ratings, the other side, and what to solve.

    Attributes
    ----------
    indptr, indices
        Where rows start, and rows of the other side, as in `daskals.types.RatingsBlock`.
    values
        uint8 codes into `table`, or float32 ratings from which `mean` is to be taken if `table` is empty.
    table
        For each of 256 codes the rating less μ.
    mean
        The mean rating μ.
    places
        `half_step.gram.tile_places` of the rank.
    other
        Factor rows of the other side.
    priors
        Prior means [factors, bias] of the rows, shape (rows, rank + 1); no rows stand for zero.
    current
        Present factor rows for coordinate updates; no rows where they are not needed.
    order
        Rows in the order in which they are put into batches, without those that are left out; empty for all
        of them one after the other.
    parts
        Partial Gram sums that are formed on their own, before the rows: row, first and stop rating of each,
        shape (parts, 3), in order. Rows without parts are summed when their turn comes.
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
    parts: Int64
    rank: int
    ridge_factors: float
    ridge_bias: float
    ridge_exponent: float


class Outcome(NamedTuple):
    """What a kernel writes.

    Attributes
    ----------
    rows
        Factor rows.
    stats
        Each row's SSE and penalty, shape (rows, 2).
    status
        What can be said of each row, 0 if nothing is wrong.
    part_tiles
        Partial Gram sums, shape (parts, floats of a row's tiles).
    """

    rows: FactorRows
    stats: Float64
    status: Int64
    part_tiles: Float32
