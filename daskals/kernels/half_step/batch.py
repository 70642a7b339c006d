"""Batch of rows side by side, as many as a vector has lanes: memory, Gram matrices, ridge weights, errors.

What solves, eliminates and draws rows has this in common. A row's numbers do not depend on the batch it is
in, nor on the rows beside it, so results are the same to the bit however rows are spread over blocks and
threads.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from daskals.kernels.half_step.block import BlockInput, BlockOutput
from daskals.kernels.half_step.fit import Fit
from daskals.kernels.half_step.gram import PANEL_FLOATS, interleave_grams, row_gram
from daskals.kernels.half_step.gram_tiles import plan_tiles
from daskals.kernels.half_step.join_lanes import join_row
from daskals.kernels.half_step.status import BAD_INDEX, BAD_PIVOT, NOT_FINITE, OK
from daskals.kernels.toolkit.jit import exact_jit
from daskals.kernels.toolkit.layout import LINE_FLOATS, row_stride
from daskals.kernels.toolkit.target import current_target
from daskals.types import Float32, Float64, Int32, Int64, UInt16

SEGMENT_RATINGS = 4096
"""Most ratings summed in single precision; the sums of longer rows are added up in double."""

DIRECT_BELOW = 1e-3
"""Share of Σy² below which an SSE taken from the normal equations has lost too many digits."""

LANES = current_target().lanes
"""Rows of a batch."""


class Workspace(NamedTuple):
    """Memory for one batch after the other; number l of each group of `LANES` belongs to the batch's row l.

    Attributes
    ----------
    tiles, panel, totals
        What `gram.row_gram` writes, one row after the other; what it gathers into; sums of partial tiles.
    grams
        Packed lower triangles of Σ zzᵀ, z = [q, 1, y], and one place more for what nobody needs.
    weights, priors
        Ridge weights w·T and prior means, rank + 1 each.
    systems, x
        Packed equations, then their factors; factors and bias.
    positive
        0 where a pivot was not above zero.
    """

    tiles: Float32
    panel: Float32
    totals: Float64
    grams: Float32
    weights: Float32
    priors: Float32
    systems: Float32
    x: Float32
    positive: Int64


@exact_jit
def aligned_floats(count: int) -> Float32:
    """Return scratch memory, shape (count,), that starts on a cache line."""
    raw = np.empty(count + LINE_FLOATS, np.float32)
    skip = (-raw.ctypes.data % (4 * LINE_FLOATS)) // 4
    return raw[skip : skip + count]


@exact_jit
def make_workspace(rank: int, tile_floats: int) -> Workspace:
    """Allocate a workspace for a rank whose Gram matrix takes `tile_floats` numbers in tiles."""
    entries = (rank + 2) * (rank + 3) // 2
    return Workspace(
        aligned_floats(LANES * tile_floats),
        aligned_floats(PANEL_FLOATS),
        np.empty(tile_floats),
        aligned_floats((entries + 1) * LANES),
        aligned_floats((rank + 1) * LANES),
        aligned_floats((rank + 1) * LANES),
        aligned_floats(entries * LANES),
        aligned_floats((rank + 1) * LANES),
        np.empty(LANES, np.int64),
    )


@exact_jit
def make_fit() -> Fit:
    """Make room for a batch's contributions to the objective."""
    return Fit(np.empty(LANES), np.empty(LANES), np.empty(LANES), np.empty(LANES))


@exact_jit
def row_at(block: BlockInput, place: int) -> int:
    """Return the row that has a place, from 0, in the batches."""
    return int(block.order[place]) if len(block.order) > 0 else place


@exact_jit
def indices_in_range(indices: Int32 | UInt16, lower: int, upper: int, n_rows: int) -> bool:
    """Tell whether indices lower, …, upper − 1 of shape (ratings,) name rows; negative ones are huge."""
    highest, own = np.uint32(0), indices[lower:upper]
    for j in range(len(own)):
        highest = max(highest, np.uint32(own[j]))
    return bool(upper == lower or highest < n_rows)


@exact_jit
def add_tiles(totals: Float64, tiles: Float32, offset: int) -> None:
    """Add a row's tiles to sums in double precision.

    `totals` has shape (tile floats,); `tiles`, shape (rows · tile floats,), holds it from `offset` on.
    """
    for k in range(len(totals)):
        totals[k] += tiles[offset + k]


@exact_jit
def set_tiles(totals: Float64, tiles: Float32, offset: int) -> None:
    """Take a row's tiles from sums in double precision.

    `totals` has shape (tile floats,); `tiles`, shape (rows · tile floats,), holds it from `offset` on.
    """
    for k in range(len(totals)):
        tiles[offset + k] = np.float32(totals[k])


@exact_jit
def weight_lanes(block: BlockInput, first: int, count: int, weights: Float32) -> None:
    """Lay the batch's ridge weights side by side: max(n, 1)^ν times τ on factors, γ on the bias.

    Rows without ratings get 1 instead, which makes their systems solvable; they are set to the prior after.
    The batch has `count` rows from place `first` on; `weights`, shape ((rank + 1)·LANES,), receives them.
    """
    exponent, rank = block.ridge_exponent, block.rank
    for lane in range(LANES):
        n = 0
        if lane < count:
            row = row_at(block, first + lane)
            n = block.indptr[row + 1] - block.indptr[row]
        strength = 1.0
        if exponent != 0.0:  # a power takes as long as forty multiplications
            strength = float(n) if exponent == 1.0 else float(n) ** exponent
        weights[lane] = np.float32(strength * block.ridge_factors if n > 0 else 1.0)
        weights[rank * LANES + lane] = np.float32(strength * block.ridge_bias if n > 0 else 1.0)
    for k in range(LANES, rank * LANES):
        weights[k] = weights[k - LANES]


@exact_jit
def prior_lanes(block: BlockInput, first: int, count: int, priors: Float32) -> None:
    """Lay the batch's prior means side by side.

    Parameters
    ----------
    block
        The block.
    first, count
        The batch's first row, and how many rows it has.
    priors
        float32, shape ((rank + 1)·LANES,): receives the means.
    """
    priors[:] = 0.0
    if len(block.priors) > 0:
        for lane in range(count):
            for k in range(block.rank + 1):
                priors[k * LANES + lane] = block.priors[first + lane, k]


@exact_jit
def copy_systems(work: Workspace) -> None:
    """Start the systems as the Gram matrices (a loop compiles in a tenth of a slice assignment's time)."""
    for k in range(len(work.systems)):
        work.systems[k] = work.grams[k]


@exact_jit
def direct_sse_of_lane(block: BlockInput, lower: int, upper: int, x: Float32, lane: int) -> float:
    """Return Σ (y − xᵀz)² rating by rating, for rows that are fitted almost exactly.

    Parameters
    ----------
    block
        The block.
    lower, upper
        First and stop rating of the row.
    x, lane
        Solutions of the batch, shape ((rank + 1)·LANES,); the row's number in the batch.
    """
    rank = block.rank
    coded = len(block.table) > 0
    sse = 0.0
    for j in range(lower, upper):
        row = block.other[block.indices[j]]
        rating = block.table[np.uint8(block.values[j])] if coded else block.values[j] - block.mean
        error = np.float64(rating) - row[rank + 1]
        for k in range(rank + 1):
            error -= np.float64(x[k * LANES + lane]) * row[k]
        sse += error * error
    return sse


@lru_cache
def joined_sse(rank: int) -> Callable[[BlockInput, Float32, int, int, Float32, int], float]:
    """Return the kernel of `direct_sse_of_lane` for ratings of two other sides, with weights or without.

    It takes the block, √w of the ratings or nothing, the row's first and stop rating, the batch's solutions,
    and the row's number in the batch.
    """
    stride, last = row_stride(rank), rank + 1
    vectors = stride // LANES

    @exact_jit
    def sum_errors(block: BlockInput, roots: Float32, lower: int, upper: int, x: Float32, lane: int) -> float:
        coded = len(block.table) > 0
        row = np.empty(stride, np.float32)
        sse = 0.0
        for j in range(lower, upper):
            one, two = block.indices[j] * stride, block.thirds[j] * stride
            join_row(block.other, one, block.third, two, row, 0, rank, vectors)
            rating = block.table[np.uint8(block.values[j])] if coded else block.values[j] - block.mean
            error = np.float64(rating) - row[last]
            for k in range(last):
                error -= np.float64(x[k * LANES + lane]) * row[k]
            root = np.float64(roots[j]) if len(roots) > 0 else 1.0
            sse += root * root * error * error
        return sse

    return sum_errors


@exact_jit
def row_status(trace: float, positive: int, objective: float) -> int:
    """Judge a solved row by its Gram matrix's trace, its pivots (0 if not above zero), and its objective."""
    if not np.isfinite(trace):
        return NOT_FINITE
    if positive == 0:
        return BAD_PIVOT
    return OK if np.isfinite(objective) else NOT_FINITE


@exact_jit
def _add_segments(segments: Int64, segment_tiles: Float32, row: int, totals: Float64) -> bool:
    """Add up the partial sums of a row, in their order, if it has any; tell whether it has."""
    found = False
    for segment in range(len(segments)):
        if segments[segment, 0] == row:
            found = True
            for k in range(len(totals)):
                totals[k] += segment_tiles[segment, k]
    return found


@lru_cache
def gram_batch(rank: int, sides: int = 2) -> Callable[[BlockInput, Workspace, int, int, BlockOutput], None]:
    """Return the kernel that forms the packed Gram matrices of a batch of rows, made for a rank.

    With 3 sides a rating is of a row of each of two. It takes the block, a workspace, the place of the
    batch's first row, how many rows it has, and the output, whose partial sums it reads and whose status it
    sets.
    """
    tile_floats = len(plan_tiles(rank, current_target()).tiles) * LANES

    @exact_jit
    def sum_batch(block: BlockInput, work: Workspace, first: int, count: int, output: BlockOutput) -> None:
        indptr, indices, tiles, panel, totals = (
            block.indptr,
            block.indices,
            work.tiles,
            work.panel,
            work.totals,
        )
        n_others = len(block.other)
        for lane in range(LANES):
            offset = lane * tile_floats
            row = row_at(block, first + lane) if lane < count else 0
            lower = indptr[row] if lane < count else 0
            upper = indptr[row + 1] if lane < count else 0
            if not indices_in_range(indices, lower, upper, n_others) or (
                sides == 3 and not indices_in_range(block.thirds, lower, upper, len(block.third))
            ):
                output.status[row] = BAD_INDEX
                upper = lower
            in_segments = upper - lower > SEGMENT_RATINGS
            if in_segments:
                totals[:] = 0.0
                if _add_segments(block.segments, output.segment_tiles, row, totals):
                    upper = lower
            for start in range(lower, max(upper, lower + 1), SEGMENT_RATINGS):
                row_gram(block, tiles, offset, panel, start, min(start + SEGMENT_RATINGS, upper), rank, sides)
                if in_segments:
                    add_tiles(totals, tiles, offset)
            if in_segments:
                set_tiles(totals, tiles, offset)
        interleave_grams(tiles, block.places, work.grams, rank)

    return sum_batch
