"""A of W's equations applied to rows one by one, for the conjugate gradients that never form them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from daskals.kernels.batches import LANES
from daskals.kernels.eliminate import Eliminated, multiply_lanes, pull_lanes
from daskals.kernels.jit import exact_jit
from daskals.types import Float32, Float64, Int64


class RatedRows(NamedTuple):
    """Rows whose A is the identity, where they have ratings: what W is drawn from, given the rows.

    Attributes
    ----------
    counts
        Ratings of each row.
    right
        float64, shape (rows, rank + 1): what Fᵀ is to be applied to for the right side; zero without ratings.
    """

    counts: Int64
    right: Float64


@exact_jit
def _apply(inverse: Float32, weights: Float64, rows: Float64) -> None:
    size = rows.shape[1]
    pull = np.empty((size, LANES))
    step = np.empty((size, LANES))
    for first in range(0, len(rows), LANES):
        count = min(LANES, len(rows) - first)
        pull_lanes(rows, weights, first, count, pull)
        multiply_lanes(inverse[first // LANES], pull, step, size)
        for lane in range(count):
            row = first + lane
            for a in range(size):
                rows[row, a] = pull[a, lane] - weights[row, 0 if a < size - 1 else 1] * step[a, lane]


def apply_reduced(eliminated: Eliminated | RatedRows, rows: Float64) -> Float64:
    """Return A·u for each row u of `rows`, A = T − T(S + T)⁻¹T: what W's equations do to F·W."""
    out = rows.copy()
    if isinstance(eliminated, RatedRows):
        out[eliminated.counts == 0] = 0.0
        return out
    _apply(eliminated.inverse, eliminated.weights, out)
    return out


def right_rows(eliminated: Eliminated | RatedRows) -> Float64:
    """Return Tx⁰ of each row: Fᵀ times it is the right side of W's equations."""
    if isinstance(eliminated, RatedRows):
        return eliminated.right
    scaled = eliminated.x0.astype(np.float64)
    scaled[:, :-1] *= eliminated.weights[:, :1]
    scaled[:, -1] *= eliminated.weights[:, 1]
    return scaled


def reduced_diagonals(eliminated: Eliminated | RatedRows) -> Float64:
    """Return the diagonal of each row's A."""
    if isinstance(eliminated, RatedRows):
        return apply_reduced(eliminated, np.ones_like(eliminated.right))
    size = eliminated.x0.shape[1]
    places = np.arange(size) * (np.arange(size) + 3) // 2
    weights = np.repeat(eliminated.weights[:, :1], size, axis=1)
    weights[:, -1] = eliminated.weights[:, 1]
    diagonals = eliminated.inverse[:, places].transpose(0, 2, 1).reshape(-1, size)
    return weights - np.square(weights) * diagonals[: len(weights)]
