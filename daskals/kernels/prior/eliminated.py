"""Eliminated rows of a block, as `prior.eliminate` leaves them and everything after reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from daskals.kernels.half_step.batch import LANES
from daskals.types import FactorRows, Float32, Float64, Int64


class Eliminated(NamedTuple):
    """The rows of a block, solved for a prior mean of zero, with what any other prior mean needs.

    Attributes
    ----------
    start
        Index of the first row on its side.
    weights
        float64, shape (rows, 2): T of factors and of the bias; zero for rows that do not count, without
        ratings, and for the bias where rows have none.
    order
        int64: the rows that are solved, from 0 in this block, in their order among the inverses.
    inverse
        float32, shape (batches, (rank + 1)(rank + 2)/2, lanes): lower triangle of (S + T)⁻¹ of those rows,
        entry by entry for as many side by side as a vector has lanes.
    x0
        float32, shape (rows, rank + 1): x⁰ = [factors, bias] of those rows, zero for others.
    objective
        float64, shape (rows,): J⁰ of those rows.
    starts
        int64, shape (rows + 1,): where the whitened ratings of each row start; other rows have none.
    whitened
        float32, shape (whitened ratings, row_stride(rank + 1)): [Y, 1, −u] of each, then zeros.
    """

    start: int
    weights: Float64
    order: Int64
    inverse: Float32
    x0: Float32
    objective: Float64
    starts: Int64
    whitened: FactorRows


def put_together(parts: Sequence[Eliminated]) -> Eliminated:
    """Return the rows of neighbouring parts of a block, in order, as if they had been eliminated as one."""
    first = parts[0]
    if len(parts) == 1:
        return first
    starts = np.cumsum([0, *(len(part.x0) for part in parts)])
    whitened = np.cumsum([0, *(len(part.whitened) for part in parts)])
    return Eliminated(
        first.start,
        np.concatenate([part.weights for part in parts]),
        np.concatenate([part.order + start for part, start in zip(parts, starts[:-1], strict=True)]),
        _put_batches_together(parts),
        np.concatenate([part.x0 for part in parts]),
        np.concatenate([part.objective for part in parts]),
        np.concatenate(
            [[0], *(part.starts[1:] + start for part, start in zip(parts, whitened[:-1], strict=True))]
        ),
        np.concatenate([part.whitened for part in parts]),
    )


def _put_batches_together(parts: Sequence[Eliminated]) -> Float32:
    """Lay the inverses of all parts side by side anew: but for the last, no batch may have empty lanes."""
    n_solved = sum(len(part.order) for part in parts)
    found = np.zeros((-(-n_solved // LANES), *parts[0].inverse.shape[1:]), np.float32)
    place = 0
    for part in parts:
        for batch, first in zip(part.inverse, range(0, len(part.order), LANES), strict=True):
            left = min(LANES, len(part.order) - first)
            done = 0
            while done < left:
                lane = place % LANES
                taken = min(LANES - lane, left - done)
                found[place // LANES, :, lane : lane + taken] = batch[:, done : done + taken]
                place, done = place + taken, done + taken
    return found
