"""Whitening of a block's rows with few ratings at speed, in batches of rows with as many ratings each.

The formulas are those of `prior.whiten`. A row's numbers do not depend on the rows beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from daskals.kernels.half_step.batch import LANES, row_status
from daskals.kernels.half_step.block import BlockInput
from daskals.kernels.half_step.join_lanes import join_row
from daskals.kernels.half_step.status import BAD_INDEX, OK
from daskals.kernels.prior.eliminated import Eliminated
from daskals.kernels.prior.whiten import FEW
from daskals.kernels.prior.whiten_lanes import whiten_interleaved
from daskals.kernels.toolkit.jit import exact_jit
from daskals.kernels.toolkit.layout import row_stride
from daskals.kernels.toolkit.simd import copy_vectors, prefetch_row, unowned
from daskals.types import FactorRows, Float32, Int64


def _vectors(rank: int) -> int:
    """Return the vectors that [z, −y] takes."""
    return -(-(rank + 2) // LANES)


@lru_cache
def _gathering(rank: int, sides: int) -> Callable[[BlockInput, Int64, int, Float32, Int64], None]:
    """Return the kernel that lays [z, −y] of rows' ratings into a panel, and sets the rows' status."""
    vectors, stride, last = _vectors(rank), row_stride(rank), rank + 1
    width = vectors * LANES

    @exact_jit
    def gather(block: BlockInput, rows: Int64, count: int, panel: Float32, status: Int64) -> None:
        other, indices, values, table = block.other, block.indices, block.values, block.table
        thirds, third = block.thirds, block.third
        coded = len(table) > 0
        for lane in range(len(rows)):
            row = rows[lane]
            first = block.indptr[row]
            status[row] = OK
            for j in range(count):
                index = indices[first + j]
                also = thirds[first + j] if sides == 3 else 0
                if index < 0 or index >= len(other) or (sides == 3 and (also < 0 or also >= len(third))):
                    status[row] = BAD_INDEX
                    break
                target = (j * LANES + lane) * width
                if sides == 3:
                    join_row(other, index * stride, third, also * stride, panel, target, rank, vectors)
                else:
                    copy_vectors(other, index * stride, panel, target, vectors)
                value = values[first + j]
                panel[target + last] -= table[np.uint8(value)] if coded else np.float32(value) - block.mean

    return gather


@lru_cache
def _keeping(rank: int) -> Callable[[Float32, int, FactorRows], float]:
    """Return the kernel that takes a row's whitened ratings out of its lane, and returns Σu²."""
    vectors, stride, size = _vectors(rank), row_stride(rank + 1), rank + 1
    width = vectors * LANES

    @exact_jit
    def keep(panel: Float32, lane: int, ratings: FactorRows) -> float:
        squares = 0.0
        for j in range(len(ratings)):
            source = (j * LANES + lane) * width
            copy_vectors(panel, source, ratings, j * stride, vectors)
            constant = panel[source + size]
            ratings[j, size] = np.float32(1.0)
            ratings[j, size + 1] = constant
            squares += np.float64(constant) * constant
        return squares

    return keep


@lru_cache
def _weighing(rank: int) -> Callable[[BlockInput, int, Float32], tuple[float, float]]:
    """Return the kernel that returns T of rows with n ratings, and writes T⁻¹ for all lanes."""
    width = _vectors(rank) * LANES

    @exact_jit
    def weigh(block: BlockInput, n: int, scales: Float32) -> tuple[float, float]:
        strength = float(n) ** block.ridge_exponent
        tau, gamma = strength * block.ridge_factors, strength * block.ridge_bias
        of_factors, of_bias = np.float32(1.0 / tau), np.float32(1.0 / gamma)
        for k in range(rank + 1):
            # a turned rating has number k where row k % lanes of the squares was
            place = k % LANES * width + k // LANES * LANES
            for lane in range(LANES):
                scales[place + lane] = of_factors if k < rank else of_bias
        return tau, gamma

    return weigh


@lru_cache
def _asking(rank: int, sides: int) -> Callable[[BlockInput, Int64], None]:
    """Return the kernel that asks for what the ratings of rows will need."""
    floats = rank + 2

    @exact_jit
    def ask_for(block: BlockInput, rows: Int64) -> None:
        indptr, indices, other = block.indptr, block.indices, block.other
        for row in rows:
            for j in range(indptr[row], indptr[row + 1]):
                prefetch_row(other, indices[j], floats)
                if sides == 3:
                    prefetch_row(block.third, block.thirds[j], floats)

    return ask_for


@exact_jit
def _count_of(starts: Int64, row: int) -> int:
    return int(starts[row + 1] - starts[row])


@exact_jit
def _stop_of_batch(order: Int64, starts: Int64, first: int) -> int:
    """Return where the batch ends whose rows have as many ratings each as its first."""
    count = _count_of(starts, order[first])
    stop = first + 1
    while stop < min(first + LANES, len(order)) and _count_of(starts, order[stop]) == count:
        stop += 1
    return stop


@lru_cache
def whitening_kernel(rank: int, sides: int = 2) -> Callable[[BlockInput, Int64, Eliminated, Int64], None]:
    """Return the kernel that whitens rows' ratings, made for a rank and 2 sides or 3.

    It takes the block, the rows by ascending number of ratings, room for what is kept of them, where each
    row's whitened ratings start already being known, and room for the status of all rows.
    """
    vectors = _vectors(rank)
    width = vectors * LANES
    ask_for, gather = _asking(rank, sides), _gathering(rank, sides)
    keep, weigh = _keeping(rank), _weighing(rank)

    @exact_jit
    def whiten_block(block: BlockInput, order: Int64, result: Eliminated, status: Int64) -> None:
        starts, whitened, weights = result.starts, result.whitened, result.weights
        panel, scales = np.zeros(FEW * LANES * width, np.float32), np.zeros(width * LANES, np.float32)
        traces, positive = np.empty(LANES, np.float32), np.empty(LANES, np.int64)
        stop, before = 0, 0
        tau, gamma = 0.0, 0.0
        while stop < len(order):
            first, stop = stop, _stop_of_batch(order, starts, stop)
            rows = order[first:stop]
            count = _count_of(starts, rows[0])
            if count != before:
                tau, gamma = weigh(unowned(block), count, scales)
                before = count
            ask_for(unowned(block), order[stop : stop + LANES])
            gather(unowned(block), rows, count, panel, status)
            whiten_interleaved(panel, scales, count, traces, positive, vectors)
            for lane in range(len(rows)):
                row = rows[lane]
                weights[row, 0], weights[row, 1] = tau, gamma
                squares = keep(panel, lane, whitened[starts[row] : starts[row + 1]])
                if status[row] == OK:
                    status[row] = row_status(traces[lane], positive[lane], squares)

    return whiten_block
