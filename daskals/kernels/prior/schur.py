"""Schur complement A of each eliminated row, applied without being formed, for W's conjugate gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from daskals.kernels.half_step.batch import LANES
from daskals.kernels.prior.eliminated import Eliminated
from daskals.kernels.prior.fill import multiply_lanes, pull_lanes
from daskals.kernels.prior.whitened_product import product_floats, whitened_product
from daskals.kernels.toolkit.jit import exact_jit
from daskals.types import FactorRows, Float64, Int64


@exact_jit
def _apply_solved(eliminated: Eliminated, rows: Float64, out: Float64) -> None:
    weights, inverse, order = eliminated.weights, eliminated.inverse, eliminated.order
    size = rows.shape[1]
    places = np.arange(len(rows))
    pull = np.empty((size, LANES))
    step = np.empty((size, LANES))
    for first in range(0, len(order), LANES):
        batch = order[first : first + LANES]
        pull_lanes(rows, weights, batch, places, pull)
        multiply_lanes(inverse[first // LANES], pull, step, size)
        for lane in range(len(batch)):
            row = batch[lane]
            for a in range(size):
                out[row, a] = pull[a, lane] - weights[row, 0 if a < size - 1 else 1] * step[a, lane]


@lru_cache
def _applying_whitened(rank: int) -> Callable[[Int64, FactorRows, Float64, float, Float64], None]:
    """Return the kernel that writes Yᵀ(Y·row − constant·u) of rows with whitened ratings."""
    size, floats = rank + 1, product_floats(rank)
    multiply = whitened_product(rank)

    @exact_jit
    def apply_whitened(
        starts: Int64, whitened: FactorRows, rows: Float64, constant: float, out: Float64
    ) -> None:
        factors, sums = np.zeros(floats), np.zeros(floats)
        factors[size + 1] = constant
        for row in range(len(rows)):
            if starts[row + 1] > starts[row]:
                factors[:size] = rows[row]
                multiply(whitened, starts[row], starts[row + 1], factors, sums)
                for a in range(size):
                    out[row, a] = -sums[a]

    return apply_whitened


@exact_jit
def _whitened_diagonals(starts: Int64, whitened: FactorRows, out: Float64) -> None:
    """Add the diagonal of YᵀY of rows with whitened ratings."""
    for row in range(len(out)):
        for j in range(starts[row], starts[row + 1]):
            for a in range(out.shape[1]):
                entry = float(whitened[j, a])
                out[row, a] += entry * entry


def _apply_whitened(eliminated: Eliminated, rows: Float64, constant: float, out: Float64) -> None:
    kernel = _applying_whitened(rows.shape[1] - 1)
    kernel(eliminated.starts, eliminated.whitened, rows, constant, out)


def apply_schur(eliminated: Eliminated, rows: Float64) -> Float64:
    """Return A·u for each row u, shape (rows, rank + 1), A = T − T(S + T)⁻¹T: what W's system does to F·W."""
    out = np.zeros_like(rows)
    _apply_solved(eliminated, rows, out)
    _apply_whitened(eliminated, rows, 0.0, out)
    return out


def right_rows(eliminated: Eliminated) -> Float64:
    """Return Tx⁰ of each row, shape (rows, rank + 1): Fᵀ times it is the right side of W's equations."""
    scaled = eliminated.x0.astype(np.float64)
    scaled[:, :-1] *= eliminated.weights[:, :1]
    scaled[:, -1] *= eliminated.weights[:, 1]
    _apply_whitened(eliminated, np.zeros_like(scaled), -1.0, scaled)
    return scaled


def schur_diagonals(eliminated: Eliminated) -> Float64:
    """Return the diagonal of each row's A, shape (rows, rank + 1)."""
    size = eliminated.x0.shape[1]
    places = np.arange(size) * (np.arange(size) + 3) // 2
    solved = eliminated.order
    weights = np.repeat(eliminated.weights[solved, :1], size, axis=1)
    weights[:, -1] = eliminated.weights[solved, 1]
    inverses = eliminated.inverse[:, places].transpose(0, 2, 1).reshape(-1, size)
    diagonals = np.zeros((len(eliminated.weights), size))
    diagonals[solved] = weights - np.square(weights) * inverses[: len(solved)]
    _whitened_diagonals(eliminated.starts, eliminated.whitened, diagonals)
    return diagonals
