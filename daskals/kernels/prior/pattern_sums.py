"""Sums over rows with equal features, ΣA and ΣTx⁰: what they add to W's equations; see `prior.eliminate`."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from daskals.kernels.half_step.batch import LANES, gram_batch, make_workspace
from daskals.kernels.half_step.block import BlockInput, BlockOutput, make_input, make_output
from daskals.kernels.prior.eliminated import Eliminated
from daskals.kernels.prior.separate_lanes import ask_for_batch, separate_lanes
from daskals.kernels.toolkit.jit import PLAIN, exact_jit
from daskals.kernels.toolkit.simd import unowned
from daskals.types import FactorRows, Float32, Float64, Int32, Int64, RatingsBlock, Ridge


@exact_jit
def _separate(batch: Float32, separate: Float32) -> None:
    """Lay matrices that are side by side one after the other."""
    if not PLAIN and len(batch) >= LANES:
        separate_lanes(batch, separate, len(batch))
        return
    for entry in range(len(batch)):
        for lane in range(LANES):
            separate[lane, entry] = batch[entry, lane]


@exact_jit
def _weigh(rank: int, tau: float, gamma: float, scales: Float64, diagonal: Float64) -> None:
    """Write by what each entry of (S + T)⁻¹ is scaled in T(S + T)⁻¹T, and T, as packed lower triangles."""
    for a in range(rank + 1):
        start, own = a * (a + 1) // 2, tau if a < rank else gamma
        for b in range(a):
            scales[start + b] = tau * own
            diagonal[start + b] = 0.0
        scales[start + a] = own * own
        diagonal[start + a] = own


@exact_jit
def _add_complement(inverse: Float32, scales: Float64, diagonal: Float64, total: Float64) -> None:
    """Add T − T(S + T)⁻¹T of a row."""
    for entry in range(len(total)):
        total[entry] = total[entry] - scales[entry] * inverse[entry] + diagonal[entry]


@exact_jit
def _sum_solved(eliminated: Eliminated, patterns: Int64, matrices: Float64, rights: Float64) -> None:
    """Add A and Tx⁰ of the rows that have inverses to their patterns' sums."""
    x0, inverse, weights, order = eliminated.x0, eliminated.inverse, eliminated.weights, eliminated.order
    rank, entries = x0.shape[1] - 1, inverse.shape[1]
    separate = np.empty((LANES, entries), np.float32)
    scales, diagonal = np.empty(entries), np.empty(entries)
    last_tau = last_gamma = np.nan
    for place in range(len(order)):
        if place % LANES == 0:
            _separate(inverse[place // LANES], separate)
            ask_for_batch(inverse, place // LANES + 1)
        row = order[place]
        tau, gamma = weights[row]
        if tau != last_tau or gamma != last_gamma:
            _weigh(rank, tau, gamma, scales, diagonal)
            last_tau, last_gamma = tau, gamma
        right, from_row = rights[patterns[row]], x0[row]
        _add_complement(separate[place % LANES], scales, diagonal, matrices[patterns[row]])
        for k in range(rank):
            right[k] += tau * from_row[k]
        right[rank] += gamma * from_row[rank]


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
        memory = make_workspace(size, len(block.places))
        work = unowned(memory)
        for first in range(0, len(matrices), LANES):
            count = min(LANES, len(matrices) - first)
            sum_batch(unowned(block), work, first, count, unowned(output))
            for lane in range(count):
                total, right = matrices[first + lane], rights[first + lane]
                for entry in range(entries):
                    total[entry] += work.grams[entry * LANES + lane]
                for k in range(size):
                    right[k] += work.grams[(constants + k) * LANES + lane]
        memory.positive[0] = 0  # memory is alive until here

    return add_patterns


def _sum_whitened(eliminated: Eliminated, patterns: Int64, matrices: Float64, rights: Float64) -> None:
    """Add A and Tx⁰ of the rows that have whitened ratings to their patterns' sums."""
    n_ratings, size = len(eliminated.whitened), rights.shape[1]
    ends, ratings = np.zeros(len(matrices) + 2, np.int64), np.empty(n_ratings, np.int32)
    _by_pattern(eliminated.starts, patterns, ends, ratings)
    if PLAIN:
        _add_whitened_plain(ends, ratings, eliminated.whitened, matrices, rights)
        return
    nothing = np.zeros(n_ratings, np.float32)
    block = RatingsBlock(0, ends[:-1], ratings, nothing, nothing[:0])
    given = make_input(block, eliminated.whitened, size, 0.0, Ridge(0.0, 0.0))
    pattern_kernel(size - 1)(given, make_output(given, solved=False), matrices, rights)


def sum_patterns(eliminated: Eliminated, patterns: Int64) -> tuple[Float64, Float64]:
    """Return ΣA, lower triangles entry by entry, and ΣTx⁰ over the rows of each pattern, shape (rows,).

    Both are float64, shape (patterns, (rank + 1)(rank + 2)/2) and (patterns, rank + 1).
    """
    size, n_patterns = eliminated.x0.shape[1], int(patterns.max(initial=-1)) + 1
    matrices, rights = np.zeros((n_patterns, size * (size + 1) // 2)), np.zeros((n_patterns, size))
    _sum_solved(eliminated, patterns, matrices, rights)
    _sum_whitened(eliminated, patterns, matrices, rights)
    return matrices, rights
