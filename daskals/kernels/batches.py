"""A block's rows in batches of as many as a vector has lanes: Gram matrices, systems, solutions, errors.

This is `daskals.kernels.plain.solve_block` at speed. A row's numbers do not depend on the batch it is in, nor
on the rows beside it, so results are the same to the bit however rows are spread over blocks and threads.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import prange

from daskals.kernels.gram import PANEL_FLOATS, interleave_grams, row_gram
from daskals.kernels.gram_tiles import plan_tiles
from daskals.kernels.jit import exact_jit, parallel_jit
from daskals.kernels.simd import unowned
from daskals.kernels.solve import quadratic_forms, solve_interleaved
from daskals.kernels.target import current_target
from daskals.kernels.task import BAD_INDEX, BAD_PIVOT, NOT_FINITE, OK, Outcome, Task
from daskals.types import Float32, Float64, Int32, Int64

PARTIAL_RATINGS = 4096
"""Most ratings summed in single precision; the sums of longer rows are added up in double."""

DIRECT_BELOW = 1e-3
"""Share of Σy² below which an SSE taken from the normal equations has lost too many digits."""

LANES = current_target().lanes
FLOATS_PER_LINE = 16


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
    systems, solutions
        Packed equations, then their factors; their solutions.
    x
        Factors and bias, float64 though no finer than float32.
    forms
        xᵀSx of each row.
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
    solutions: Float32
    x: Float64
    forms: Float64
    positive: Int64


@exact_jit
def _aligned_floats(count: int) -> Float32:
    """Return scratch memory that starts on a cache line."""
    raw = np.empty(count + FLOATS_PER_LINE, np.float32)
    skip = (-raw.ctypes.data % (4 * FLOATS_PER_LINE)) // 4
    return raw[skip : skip + count]


@exact_jit
def _workspace(rank: int, tile_floats: int) -> Workspace:
    """Allocate a workspace for a rank whose Gram matrix takes `tile_floats` numbers in tiles."""
    entries = (rank + 2) * (rank + 3) // 2
    return Workspace(
        _aligned_floats(LANES * tile_floats),
        _aligned_floats(PANEL_FLOATS),
        np.empty(tile_floats),
        _aligned_floats((entries + 1) * LANES),
        _aligned_floats((rank + 1) * LANES),
        _aligned_floats((rank + 1) * LANES),
        _aligned_floats(entries * LANES),
        _aligned_floats((rank + 1) * LANES),
        np.empty((rank + 1) * LANES),
        np.empty(LANES),
        np.empty(LANES, np.int64),
    )


@exact_jit
def _in_range(indices: Int32, lower: int, upper: int, n_rows: int) -> bool:
    """Tell whether indices lower, …, upper − 1 name rows; a negative index is a huge unsigned one."""
    highest = np.uint32(0)
    for j in range(lower, upper):
        highest = max(highest, np.uint32(indices[j]))
    return bool(upper == lower or highest < n_rows)


@exact_jit
def _add_tiles(totals: Float64, tiles: Float32, offset: int) -> None:
    for k in range(len(totals)):
        totals[k] += tiles[offset + k]


@exact_jit
def _set_tiles(totals: Float64, tiles: Float32, offset: int) -> None:
    for k in range(len(totals)):
        tiles[offset + k] = np.float32(totals[k])


@exact_jit
def _prior_lanes(task: Task, first: int, count: int, priors: Float32) -> None:
    """Lay the batch's prior means side by side."""
    priors[:] = 0.0
    if len(task.priors) > 0:
        for lane in range(count):
            for k in range(task.equations.rank + 1):
                priors[k * LANES + lane] = task.priors[first + lane, k]


@exact_jit
def _weight_lanes(task: Task, first: int, count: int, weights: Float32) -> None:
    """Lay the batch's ridge weights side by side: max(n, 1)^ν times τ on factors, γ on the bias.

    Rows without ratings get 1 instead, which makes their systems solvable; they are set to the prior after.
    """
    equations = task.equations
    for lane in range(LANES):
        n = 0
        if lane < count:
            n = task.indptr[first + lane + 1] - task.indptr[first + lane]
        strength = float(n) ** equations.ridge_exponent
        for k in range(equations.rank + 1):
            ridge = equations.ridge_factors if k < equations.rank else equations.ridge_bias
            weights[k * LANES + lane] = np.float32(strength * ridge if n > 0 else 1.0)


@exact_jit
def _copy_systems(work: Workspace) -> None:
    """Start the systems as the Gram matrices (a loop compiles in a tenth of a slice assignment's time)."""
    for k in range(len(work.systems)):
        work.systems[k] = work.grams[k]


@exact_jit
def _joint_systems(rank: int, work: Workspace) -> None:
    """Form (S + wT) x = v + wTm for factors and bias together."""
    size = rank + 1
    right = size * (size + 1) // 2
    _copy_systems(work)
    for k in range(size):
        diagonal = (k * (k + 1) // 2 + k) * LANES
        for lane in range(LANES):
            weight = work.weights[k * LANES + lane]
            work.systems[diagonal + lane] += weight
            work.systems[(right + k) * LANES + lane] += weight * work.priors[k * LANES + lane]


@exact_jit
def _coordinate_systems(task: Task, first: int, count: int, work: Workspace) -> None:
    """Update the bias from the current factors (paper 1, Eq. 8), then form the factors' equations (Eq. 7)."""
    rank = task.equations.rank
    ones = rank * (rank + 1) // 2
    y = (rank + 1) * (rank + 2) // 2
    _copy_systems(work)
    for lane in range(LANES):
        weight = np.float64(work.weights[rank * LANES + lane])
        error = work.grams[(y + rank) * LANES + lane] + weight * work.priors[rank * LANES + lane]
        if lane < count:
            for k in range(rank):
                error -= np.float64(work.grams[(ones + k) * LANES + lane]) * task.current[first + lane, k]
        total = work.grams[(ones + rank) * LANES + lane] + weight
        bias = np.float32(error / total)
        work.x[rank * LANES + lane] = bias
        for k in range(rank):
            at = k * LANES + lane
            weight = np.float64(work.weights[at])
            work.systems[(k * (k + 1) // 2 + k) * LANES + lane] += np.float32(weight)
            work.systems[(ones + k) * LANES + lane] = np.float32(
                work.grams[(y + k) * LANES + lane]
                - np.float64(bias) * work.grams[(ones + k) * LANES + lane]
                + weight * work.priors[at]
            )


@exact_jit
def _direct_sse(task: Task, lower: int, upper: int, x: Float64, lane: int) -> float:
    """Return Σ (y − xᵀz)² rating by rating, for rows that are fitted almost exactly."""
    rank = task.equations.rank
    coded = len(task.table) > 0
    sse = 0.0
    for j in range(lower, upper):
        row = task.other[task.indices[j]]
        rating = task.table[np.uint8(task.values[j])] if coded else task.values[j] - task.mean
        error = np.float64(rating) - row[rank + 1]
        for k in range(rank + 1):
            error -= x[k * LANES + lane] * row[k]
        sse += error * error
    return sse


@exact_jit
def _finish_row(task: Task, row: int, work: Workspace, lane: int, outcome: Outcome) -> int:
    """Write one row of a solved batch, with its SSE and penalty; return its status."""
    rank = task.equations.rank
    lower, upper = task.indptr[row], task.indptr[row + 1]
    y = (rank + 1) * (rank + 2) // 2
    product = trace = penalty = 0.0
    for k in range(rank + 1):
        at = k * LANES + lane
        x = work.x[at] if upper > lower else np.float64(work.priors[at])
        outcome.rows[row, k if k < rank else rank + 1] = x
        product += x * work.grams[(y + k) * LANES + lane]
        trace += work.grams[(k * (k + 1) // 2 + k) * LANES + lane]
        penalty += work.weights[at] * (x - work.priors[at]) ** 2
    if upper == lower:
        return OK
    squares = np.float64(work.grams[(y + rank + 1) * LANES + lane])
    sse = squares - 2.0 * product + work.forms[lane]
    if sse < DIRECT_BELOW * squares:
        sse = _direct_sse(task, lower, upper, work.x, lane)
    outcome.stats[row, 0] = sse
    outcome.stats[row, 1] = penalty
    if not np.isfinite(trace + squares):
        return NOT_FINITE
    if work.positive[lane] == 0:
        return BAD_PIVOT
    return OK if np.isfinite(sse + penalty) else NOT_FINITE


@lru_cache
def gram_batch(rank: int) -> Callable[[Task, Workspace, int, int, Int64], None]:
    """Return the kernel that forms the packed Gram matrices of a batch of rows, made for a rank.

    Its arguments are the task, a workspace, the batch's first row, how many rows it has, and the status of
    the block's rows, which it sets.
    """
    tile_floats = len(plan_tiles(rank, current_target()).tiles) * LANES

    @exact_jit
    def sum_row(task: Task, work: Workspace, row: int, offset: int) -> int:
        lower, upper = task.indptr[row], task.indptr[row + 1]
        in_range = _in_range(task.indices, lower, upper, len(task.other))
        if not in_range or upper == lower:
            work.tiles[offset : offset + tile_floats] = 0.0
            return OK if in_range else BAD_INDEX
        if upper - lower > PARTIAL_RATINGS:
            work.totals[:] = 0.0
        for start in range(lower, upper, PARTIAL_RATINGS):
            stop = min(start + PARTIAL_RATINGS, upper)
            row_gram(task, work.tiles, offset, work.panel, start, stop, rank)
            if upper - lower > PARTIAL_RATINGS:
                _add_tiles(work.totals, work.tiles, offset)
        if upper - lower > PARTIAL_RATINGS:
            _set_tiles(work.totals, work.tiles, offset)
        return OK

    @exact_jit
    def sum_batch(task: Task, work: Workspace, first: int, count: int, status: Int64) -> None:
        for lane in range(LANES):
            offset = lane * tile_floats
            if lane < count:
                status[first + lane] = sum_row(task, work, first + lane, offset)
            else:
                work.tiles[offset : offset + tile_floats] = 0.0
        interleave_grams(work.tiles, task.places, work.grams, rank)

    return sum_batch


@lru_cache
def strips_solver(rank: int, *, coordinate: bool, parallel: bool) -> Callable[[Task, Outcome, Int64], None]:
    """Return the kernel that solves the strips of rows cuts[s], …, cuts[s + 1] − 1 of a block.

    The serial and the parallel form are compiled from this one source.
    """
    unknowns = rank + 1
    size = rank if coordinate else unknowns
    sum_batch = gram_batch(rank)

    @exact_jit
    def solve_batch(task: Task, work: Workspace, first: int, count: int, outcome: Outcome) -> None:
        sum_batch(task, work, first, count, outcome.status)
        _prior_lanes(task, first, count, work.priors)
        _weight_lanes(task, first, count, work.weights)
        if coordinate:
            _coordinate_systems(task, first, count, work)
        else:
            _joint_systems(rank, work)
        solve_interleaved(work.systems, work.solutions, work.positive, size)
        for k in range(size * LANES):
            work.x[k] = work.solutions[k]
        quadratic_forms(work.grams, work.x, work.forms, unknowns)
        for lane in range(count):
            if outcome.status[first + lane] == OK:
                outcome.status[first + lane] = _finish_row(task, first + lane, work, lane, outcome)

    def solve_strips(task: Task, outcome: Outcome, cuts: Int64) -> None:
        for strip in prange(len(cuts) - 1):
            memory = _workspace(rank, len(task.places))
            work = unowned(memory)
            for first in range(cuts[strip], cuts[strip + 1], LANES):
                count = min(LANES, cuts[strip + 1] - first)
                solve_batch(unowned(task), work, first, count, unowned(outcome))
            memory.positive[0] = 0  # memory is alive until here

    return parallel_jit(solve_strips) if parallel else exact_jit(solve_strips)
