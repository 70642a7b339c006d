"""Pooled curvature: Σ zzᵀ over all rows of a side, whose shape the equations of single rows resemble.

A row's equations have Σ w·zzᵀ over its own ratings plus a ridge T. That is nearly a multiple m of what all
rows of the other side have together, C, so that (m·C + cT)⁻¹ turns a row's gradient towards its minimum. With
N² = T and N⁻¹CN⁻¹ = QUQᵀ, U tridiagonal, it is N⁻¹Q(m·U + c)⁻¹QᵀN⁻¹ for any m and c: two products that all
rows have in common, and a few numbers a row.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from daskals.kernels.half_step.side_by_side_lanes import PANEL_COLUMNS
from daskals.kernels.half_step.side_gram import side_gram
from daskals.kernels.toolkit.tridiagonal import orthogonal, tridiagonalise
from daskals.types import FactorRows, Float32, Float64, Ridge

LEAST_RIDGE = 1e-3
"""Lowest T beside the mean curvature of a row's rating, for the scale alone: a ridge of 0 has none."""


class Curvature(NamedTuple):
    """The pooled curvature C of a side as NQUQᵀN.

    Attributes
    ----------
    rotation
        Q, float32, shape (unknowns, unknowns).
    into, back
        Q and Qᵀ in panels, float32, shape (numbers,): see `side_by_side_lanes.batch_product`.
    diagonal, beside
        U: its diagonal, and the entries beside it, the last 0; float32, shape (unknowns,).
    scales
        N, float32, shape (unknowns,).
    n_rows
        Rows that are not zero, of which C is the sum.
    """

    rotation: Float32
    into: Float32
    back: Float32
    diagonal: Float32
    beside: Float32
    scales: Float32
    n_rows: int


def side_curvature(rows: FactorRows, rank: int, ridge: Ridge, *, biased: bool = True) -> Curvature:
    """Return the pooled curvature of a side's rows.

    Parameters
    ----------
    rows
        Factor rows, shape (rows, stride).
    rank, ridge
        Number of factors; the regularisation of the other side.
    biased
        Whether the other side's rows have a bias.
    """
    rest = rows[rows[:, 0] == 0.0, :rank] if rank else rows[:, :0]  # few: of the others one factor tells
    n_rows = len(rows) - len(rest) + int(np.count_nonzero(np.any(rest != 0.0, axis=1)))
    return decompose(side_gram(rows, rank, biased=biased), n_rows, ridge, biased=biased)


def decompose(gram: Float64, n_rows: int, ridge: Ridge, *, biased: bool) -> Curvature:
    """Decompose Σ zzᵀ.

    Parameters
    ----------
    gram
        Float64, shape (unknowns, unknowns).
    n_rows, ridge
        Rows of which it is the sum; the regularisation of those that it serves.
    biased
        Whether the last unknown is a bias.
    """
    size = len(gram)
    ridges = np.full(size, ridge.factors)
    if biased:
        ridges[-1] = ridge.bias
    mean = float(np.trace(gram)) / size / max(n_rows, 1)
    scales = np.sqrt(np.maximum(ridges, LEAST_RIDGE * mean if mean > 0.0 else 1.0))
    found = tridiagonalise(gram / np.outer(scales, scales))
    rotation = orthogonal(found).astype(np.float32)
    return Curvature(
        rotation,
        _panels(rotation),
        _panels(rotation.T),
        found.diagonal.astype(np.float32),
        found.beside.astype(np.float32),
        scales.astype(np.float32),
        n_rows,
    )


def _panels(matrix: Float32) -> Float32:
    """Lay a square matrix out for `side_by_side_lanes.batch_product`, float32, shape (numbers,)."""
    size = len(matrix)
    columns = -(-size // PANEL_COLUMNS) * PANEL_COLUMNS
    wide = np.zeros((size, columns), np.float32)
    wide[:, :size] = matrix
    return wide.reshape(size, -1, PANEL_COLUMNS).transpose(1, 0, 2).reshape(-1)
