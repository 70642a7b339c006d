"""Sums over rows with equal features, ΣA and ΣTx⁰: what they add to W's equations; see `prior.eliminate`."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from daskals.kernels.half_step.batch import LANES, gram_batch, make_workspace
from daskals.kernels.half_step.block import BlockInput, BlockOutput, frozen, make_input, make_output
from daskals.kernels.prior.eliminated import Eliminated
from daskals.kernels.prior.separate_lanes import ask_for_batch, separate_lanes
from daskals.kernels.toolkit.jit import PLAIN, exact_jit
from daskals.kernels.toolkit.layout import aligned_zeros
from daskals.kernels.toolkit.simd import unowned
from daskals.types import FactorRows, Float32, Float64, Int32, Int64, RatingsBlock, Ridge

LINE_DOUBLES = 8
"""Doubles of a cache line."""


class PatternSums(NamedTuple):
    """Sums over the rows of each pattern, as they grow.

    `patterns`: int64, shape (rows,), of `FeatureRows`, none where nothing is summed; `matrices`: ΣA, float64,
    shape (patterns, `sum_width(rank)`), lower triangles entry by entry, zeros behind them; `rights`: ΣTx⁰,
    float64, shape (patterns, rank + 1).
    """

    patterns: Int64
    matrices: Float64
    rights: Float64


class _Room(NamedTuple):
    """What adding rows with inverses takes beside them.

    `separate`: a batch's matrices one after the other; `scales`, `diagonal`: by what each entry of (S + T)⁻¹
    is scaled in T(S + T)⁻¹T, and T, as packed lower triangles; `ridge`: the T they are of.
    """

    separate: Float32
    scales: Float64
    diagonal: Float64
    ridge: Float64


def sum_width(rank: int) -> int:
    """Return how many numbers a pattern's matrix takes: those of a triangle, up to whole cache lines."""
    return -(-((rank + 1) * (rank + 2) // 2) // LINE_DOUBLES) * LINE_DOUBLES


def start_sums(patterns: Int64, rank: int) -> PatternSums:
    """Make room for the sums of rows with these patterns, shape (rows,)."""
    n_patterns = int(patterns.max(initial=-1)) + 1
    matrices = aligned_zeros(n_patterns, 2 * sum_width(rank)).view(np.float64)
    return PatternSums(patterns, matrices, np.zeros((n_patterns, rank + 1)))


@exact_jit
def make_room(width: int) -> _Room:
    """Allocate what `add_batch` needs; `width` is `sum_width` of the rank."""
    return _Room(np.zeros((LANES, width), np.float32), np.zeros(width), np.zeros(width), np.full(2, np.nan))


@exact_jit
def _separate(batch: Float32, separate: Float32) -> None:
    """Lay matrices that are side by side one after the other."""
    if not PLAIN and len(batch) >= LANES:
        separate_lanes(batch, separate, len(batch), separate.shape[1])
        return
    for entry in range(len(batch)):
        for lane in range(LANES):
            separate[lane, entry] = batch[entry, lane]


@exact_jit
def _weigh(rank: int, tau: float, gamma: float, room: _Room) -> None:
    scales, diagonal, ridge = room.scales, room.diagonal, room.ridge
    if ridge[0] == tau and ridge[1] == gamma:
        return
    ridge[0], ridge[1] = tau, gamma
    for a in range(rank + 1):
        start, own = a * (a + 1) // 2, tau if a < rank else gamma
        for b in range(a):
            scales[start + b] = tau * own
        scales[start + a] = own * own
        diagonal[start + a] = own


@exact_jit
def _add_complement(inverse: Float32, scales: Float64, diagonal: Float64, total: Float64) -> None:
    """Add T − T(S + T)⁻¹T of a row."""
    for entry in range(len(total)):
        total[entry] = total[entry] - scales[entry] * inverse[entry] + diagonal[entry]


@exact_jit
def add_batch(
    inverse: Float32, rows: Int64, weights: Float64, x0: Float32, room: _Room, sums: PatternSums
) -> None:
    """Add A and Tx⁰ of a batch's rows to their patterns' sums.

    Parameters
    ----------
    inverse, rows
        (S + T)⁻¹ side by side, shape (entries, LANES); the rows, shape (rows of the batch,).
    weights, x0
        T of the block's rows, shape (rows, 2), and their x⁰, shape (rows, rank + 1).
    room, sums
        Of `make_room`, the same for all batches; the sums.
    """
    rank = x0.shape[1] - 1
    separate, scales, diagonal = room.separate, room.scales, room.diagonal
    patterns, matrices, rights = sums.patterns, sums.matrices, sums.rights
    _separate(inverse, separate)
    for lane in range(len(rows)):
        row = rows[lane]
        tau, gamma = weights[row, 0], weights[row, 1]
        _weigh(rank, tau, gamma, room)
        right, from_row = rights[patterns[row]], x0[row]
        _add_complement(separate[lane], scales, diagonal, matrices[patterns[row]])
        for k in range(rank):
            right[k] += tau * from_row[k]
        right[rank] += gamma * from_row[rank]


@exact_jit
def sum_solved(eliminated: Eliminated, sums: PatternSums) -> None:
    """Add A and Tx⁰ of the rows that have inverses to their patterns' sums."""
    inverse, order = eliminated.inverse, eliminated.order
    room = make_room(sums.matrices.shape[1])
    for batch in range(len(inverse)):
        rows = order[batch * LANES : (batch + 1) * LANES]
        ask_for_batch(inverse, batch + 1)
        add_batch(inverse[batch], rows, eliminated.weights, eliminated.x0, room, sums)


@exact_jit
def _by_pattern(starts: Int64, patterns: Int64, ends: Int64, ratings: Int32) -> None:
    """Put whitened ratings in the order of their rows' patterns; pattern p's then end at ends[p + 1]."""
    for row in range(len(patterns)):
        ends[patterns[row] + 2] += starts[row + 1] - starts[row]
    for pattern in range(2, len(ends)):
        ends[pattern] += ends[pattern - 1]
    for row in range(len(patterns)):
        place = patterns[row] + 1
        for j in range(starts[row], starts[row + 1]):
            ratings[ends[place]] = j
            ends[place] += 1


@exact_jit
def _add_whitened_plain(
    ends: Int64, ratings: Int32, whitened: FactorRows, matrices: Float64, rights: Float64
) -> None:
    """Add the patterns' sums of YᵀY and Yᵀu rating by rating; the plain twin of `pattern_kernel`."""
    size = rights.shape[1]
    for pattern in range(len(matrices)):
        for j in range(ends[pattern], ends[pattern + 1]):
            y = whitened[ratings[j]].astype(np.float64)
            entry = 0
            for a in range(size):
                rights[pattern, a] -= y[a] * y[size + 1]
                for b in range(a + 1):
                    matrices[pattern, entry] += y[a] * y[b]
                    entry += 1


@lru_cache
def pattern_kernel(rank: int) -> Callable[[BlockInput, BlockOutput, Float64, Float64], None]:
    """Return the kernel that adds YᵀY and Yᵀu of patterns' whitened ratings, made for a rank.

    To its block the patterns are rows, and whitened ratings the other side's rows, of rank + 1. It takes the
    block, an output, and the matrices and right sides of all patterns.
    """
    size = rank + 1
    entries = size * (size + 1) // 2
    constants = (size + 1) * (size + 2) // 2
    sum_batch = gram_batch(rank + 1)

    @exact_jit
    def add_patterns(block: BlockInput, output: BlockOutput, matrices: Float64, rights: Float64) -> None:
        memory, order = make_workspace(size, len(block.places)), block.order
        work = unowned(memory)
        for first in range(0, len(order), LANES):
            count = min(LANES, len(order) - first)
            sum_batch(unowned(block), work, first, count, unowned(output))
            for lane in range(count):
                total, right = matrices[order[first + lane]], rights[order[first + lane]]
                for entry in range(entries):
                    total[entry] += work.grams[entry * LANES + lane]
                for k in range(size):
                    right[k] += work.grams[(constants + k) * LANES + lane]
        memory.positive[0] = 0  # memory is alive until here

    return add_patterns


def add_whitened(eliminated: Eliminated, sums: PatternSums) -> None:
    """Add A and Tx⁰ of the rows that have whitened ratings to their patterns' sums."""
    patterns, matrices, rights = sums
    n_ratings, size = len(eliminated.whitened), rights.shape[1]
    if n_ratings == 0:
        return
    ends, ratings = np.zeros(len(matrices) + 2, np.int64), np.empty(n_ratings, np.int32)
    _by_pattern(eliminated.starts, patterns, ends, ratings)
    if PLAIN:
        _add_whitened_plain(ends, ratings, eliminated.whitened, matrices, rights)
        return
    nothing = np.zeros(n_ratings, np.float32)
    block = RatingsBlock(0, ends[:-1], ratings, nothing, nothing[:0])
    given = make_input(block, eliminated.whitened, size, 0.0, Ridge(0.0, 0.0))
    with_ratings = np.flatnonzero(ends[1:-1] > ends[:-2])  # most of a block have none
    given = given._replace(order=frozen(with_ratings, np.int64))
    pattern_kernel(size - 1)(given, make_output(given, solved=False), matrices, rights)
