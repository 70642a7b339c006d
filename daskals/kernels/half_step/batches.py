"""A block's rows in batches of as many as a vector has lanes: Gram matrices, systems, solutions, errors.

This is `half_step.plain.solve_block` at speed. A row's numbers do not depend on the batch it is in, nor
on the rows beside it, so results are the same to the bit however rows are spread over blocks and threads.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import prange

from daskals.kernels.half_step.gram import PANEL_FLOATS, interleave_grams, row_gram
from daskals.kernels.half_step.gram_tiles import plan_tiles
from daskals.kernels.half_step.solve import Fit, fit_interleaved, solve_interleaved
from daskals.kernels.half_step.task import BAD_INDEX, BAD_PIVOT, NOT_FINITE, OK, Outcome, Task
from daskals.kernels.toolkit.jit import exact_jit, parallel_jit
from daskals.kernels.toolkit.simd import unowned
from daskals.kernels.toolkit.target import current_target
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
def _aligned_floats(count: int) -> Float32:
    """Return scratch memory that starts on a cache line."""
    raw = np.empty(count + FLOATS_PER_LINE, np.float32)
    skip = (-raw.ctypes.data % (4 * FLOATS_PER_LINE)) // 4
    return raw[skip : skip + count]


@exact_jit
def make_workspace(rank: int, tile_floats: int) -> Workspace:
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
        np.empty(LANES, np.int64),
    )


@exact_jit
def row_at(task: Task, place: int) -> int:
    """Return the row that has a place in the batches."""
    return int(task.order[place]) if len(task.order) > 0 else place


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
            for k in range(task.rank + 1):
                priors[k * LANES + lane] = task.priors[first + lane, k]


@exact_jit
def weight_lanes(task: Task, first: int, count: int, weights: Float32) -> None:
    """Lay the batch's ridge weights side by side: max(n, 1)^ν times τ on factors, γ on the bias.

    Rows without ratings get 1 instead, which makes their systems solvable; they are set to the prior after.
    """
    for lane in range(LANES):
        n = 0
        if lane < count:
            row = row_at(task, first + lane)
            n = task.indptr[row + 1] - task.indptr[row]
        strength = float(n) ** task.ridge_exponent
        for k in range(task.rank + 1):
            ridge = task.ridge_factors if k < task.rank else task.ridge_bias
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
    rank = task.rank
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
        bias = np.float32(error / total if total > 0.0 else np.nan)
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
def direct_sse_of_lane(task: Task, lower: int, upper: int, x: Float32, lane: int) -> float:
    """Return Σ (y − xᵀz)² rating by rating, for rows that are fitted almost exactly."""
    rank = task.rank
    coded = len(task.table) > 0
    sse = 0.0
    for j in range(lower, upper):
        row = task.other[task.indices[j]]
        rating = task.table[np.uint8(task.values[j])] if coded else task.values[j] - task.mean
        error = np.float64(rating) - row[rank + 1]
        for k in range(rank + 1):
            error -= np.float64(x[k * LANES + lane]) * row[k]
        sse += error * error
    return sse


@exact_jit
def _row_status(trace: float, positive: int, bias: float, objective: float) -> int:
    """Judge a solved row by its Gram matrix's trace, its pivots, and what it adds to the objective."""
    if not np.isfinite(trace):
        return NOT_FINITE
    if positive == 0 or np.isnan(bias):  # the bias of coordinate updates has a pivot of its own
        return BAD_PIVOT
    return OK if np.isfinite(objective) else NOT_FINITE


@exact_jit
def _finish(task: Task, work: Workspace, fit: Fit, first: int, count: int, outcome: Outcome) -> None:
    """Take the batch's solutions apart into factor rows, and write each row's statistics and status.

    Rows without ratings get their prior. Arrays are taken out of their tuples once, before the loops.
    """
    rank = task.rank
    indptr, rows, stats, status = task.indptr, outcome.rows, outcome.stats, outcome.status
    x, priors, squares, errors, penalties = work.x, work.priors, fit.squares, fit.sse, fit.penalty
    traces, positive = fit.trace, work.positive
    for lane in range(count):
        row = first + lane
        source = x if indptr[row + 1] > indptr[row] else priors
        for k in range(rank):
            rows[row, k] = source[k * LANES + lane]
        rows[row, rank + 1] = source[rank * LANES + lane]
        if status[row] != OK or indptr[row + 1] == indptr[row]:
            continue
        sse = errors[lane]
        if sse < DIRECT_BELOW * squares[lane]:
            sse = direct_sse_of_lane(task, indptr[row], indptr[row + 1], x, lane)
        stats[row, 0] = sse
        stats[row, 1] = penalties[lane]
        status[row] = _row_status(traces[lane], positive[lane], x[rank * LANES + lane], sse + penalties[lane])


@exact_jit
def _add_parts(parts: Int64, part_tiles: Float32, row: int, totals: Float64) -> bool:
    """Add up the partial sums of a row, in their order, if it has any; tell whether it has."""
    found = False
    for part in range(len(parts)):
        if parts[part, 0] == row:
            found = True
            for k in range(len(totals)):
                totals[k] += part_tiles[part, k]
    return found


@lru_cache
def gram_batch(rank: int) -> Callable[[Task, Workspace, int, int, Outcome], None]:
    """Return the kernel that forms the packed Gram matrices of a batch of rows, made for a rank.

    Its arguments are the task, a workspace, the place of the batch's first row, how many rows it has, and the
    outcome, whose partial sums it takes and whose status it sets.
    """
    tile_floats = len(plan_tiles(rank, current_target()).tiles) * LANES

    @exact_jit
    def sum_batch(task: Task, work: Workspace, first: int, count: int, outcome: Outcome) -> None:
        indptr, indices, tiles, panel, totals = task.indptr, task.indices, work.tiles, work.panel, work.totals
        n_others = len(task.other)
        for lane in range(LANES):
            offset = lane * tile_floats
            row = row_at(task, first + lane) if lane < count else 0
            lower = indptr[row] if lane < count else 0
            upper = indptr[row + 1] if lane < count else 0
            if not _in_range(indices, lower, upper, n_others):
                outcome.status[row] = BAD_INDEX
                upper = lower
            in_parts = upper - lower > PARTIAL_RATINGS
            if in_parts:
                totals[:] = 0.0
                if _add_parts(task.parts, outcome.part_tiles, row, totals):
                    upper = lower
            for start in range(lower, max(upper, lower + 1), PARTIAL_RATINGS):
                row_gram(task, tiles, offset, panel, start, min(start + PARTIAL_RATINGS, upper), rank)
                if in_parts:
                    _add_tiles(totals, tiles, offset)
            if in_parts:
                _set_tiles(totals, tiles, offset)
        interleave_grams(tiles, task.places, work.grams, rank)

    return sum_batch


@lru_cache
def strips_solver(rank: int, *, coordinate: bool, parallel: bool) -> Callable[[Task, Outcome, Int64], None]:
    """Return the kernel that solves the strips of rows cuts[s], …, cuts[s + 1] − 1 of a block.

    The serial and the parallel form are compiled from this one source. Its threads share out the parts of
    heavy rows first, then the strips.
    """
    unknowns = rank + 1
    size = rank if coordinate else unknowns
    sum_batch = gram_batch(rank)

    @exact_jit
    def solve_batch(task: Task, work: Workspace, fit: Fit, first: int, count: int, outcome: Outcome) -> None:
        sum_batch(task, work, first, count, outcome)
        _prior_lanes(task, first, count, work.priors)
        weight_lanes(task, first, count, work.weights)
        if coordinate:
            _coordinate_systems(task, first, count, work)
        else:
            _joint_systems(rank, work)
        solve_interleaved(work.systems, work.x, work.positive, size)
        fit_interleaved(work.grams, work.x, work.weights, work.priors, fit, unknowns)
        _finish(task, work, fit, first, count, outcome)

    @exact_jit
    def solve_strip(task: Task, outcome: Outcome, first: int, stop: int) -> None:
        memory = make_workspace(rank, len(task.places))
        memory_of_fit = Fit(np.empty(LANES), np.empty(LANES), np.empty(LANES), np.empty(LANES))
        work, fit = unowned(memory), unowned(memory_of_fit)
        for batch in range(first, stop, LANES):
            solve_batch(unowned(task), work, fit, batch, min(LANES, stop - batch), unowned(outcome))
        memory.positive[0] = 0  # memory is alive until here
        memory_of_fit.sse[0] = 0.0

    @exact_jit
    def sum_part(task: Task, outcome: Outcome, part: int) -> None:
        _, lower, upper = task.parts[part]
        if _in_range(task.indices, lower, upper, len(task.other)):
            panel = _aligned_floats(PANEL_FLOATS)
            row_gram(task, outcome.part_tiles[part], 0, panel, lower, upper, rank)

    def solve_strips(task: Task, outcome: Outcome, cuts: Int64) -> None:
        for part in prange(len(task.parts)):
            sum_part(task, outcome, part)
        for strip in prange(len(cuts) - 1):
            solve_strip(task, outcome, cuts[strip], cuts[strip + 1])

    return parallel_jit(solve_strips) if parallel else exact_jit(solve_strips)
