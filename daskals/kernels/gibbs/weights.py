"""Draws of the weights W of many features, given the rows: exact, by a decomposition or by gradients.

In a basis in which the entries of a row are independent, rows are x = fw + e, e ~ N(0, 1), with w ~ N(0, I/s)
a priori, s the shift of the entry: w given x is N((FᵀF + sI)⁻¹Fᵀx, (FᵀF + sI)⁻¹). The matrix FᵀF is the same
in all sweeps and for all entries of a row; only the shifts move.

- Few features: FᵀF is decomposed once (`toolkit.tridiagonal`).
- Few rows: FFᵀ is. With w₀ from the prior and e₀ ~ N(0, I), w₀ + Fᵀ(FFᵀ + sI)⁻¹(x − Fw₀ − e₀) is a draw
  of w (Matheron's rule).
- Many of both: the same with (FᵀF + sI)⁻¹Fᵀ in place of Fᵀ(FFᵀ + sI)⁻¹, by conjugate gradients that start
  from w₀, where everything is right already that the rows say nothing of.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from daskals.kernels.gibbs.feature_products import Sharing, aligned, alone, multiply, transposed, width_of
from daskals.kernels.prior.features import FeatureRows, squared_transposed_times, times, transposed_times
from daskals.kernels.prior.whole_features import row_gram
from daskals.kernels.toolkit.jit import exact_jit
from daskals.kernels.toolkit.tridiagonal import Tridiagonal, solve_shifted, tridiagonalise
from daskals.types import Float64

TOLERANCE = 1e-4
"""Size of the residual, in the preconditioner's norm and relative to the right side's, that is enough."""

MOST_STEPS = 200


class ByFeatures(NamedTuple):
    """A side with few features: FᵀF over the rows with ratings."""

    gram: Tridiagonal


class ByRows(NamedTuple):
    """A side with few rows: F, empty for rows without ratings, and FFᵀ."""

    features: FeatureRows
    gram: Tridiagonal


class ByGradients(NamedTuple):
    """A side with many rows and features: F, empty for rows without ratings, Fᵀ, and FᵀF's diagonal."""

    features: FeatureRows
    by_feature: FeatureRows
    diagonal: Float64


class PriorNoise(NamedTuple):
    """Standard normals: of W, shape (features, columns), and of the rows, shape (rows, columns)."""

    weights: Float64
    rows: Float64


def draw_by_features(system: ByFeatures, right: Float64, shifts: Float64, normals: Float64) -> Float64:
    """Draw W from Fᵀx, `right`, shape (features, columns), as are `normals`; `shifts`: shape (columns,)."""
    return solve_shifted(system.gram, shifts, right, normals)


def draw_by_rows(
    system: ByRows | ByGradients, rows: Float64, shifts: Float64, noise: PriorNoise, share: Sharing = alone
) -> Float64:
    """Draw W from the rows x, shape (rows, columns), of which those without ratings are not looked at.

    Parameters
    ----------
    system
        The features.
    rows, shifts
        Float64, shape (rows, columns) and (columns,).
    noise
        Random numbers.
    share
        Who shares in the products of many rows and features.

    Returns
    -------
    W, shape (features, columns).
    """
    features = system.features
    weights = noise.weights / np.sqrt(shifts)
    if isinstance(system, ByGradients):
        size, width = len(shifts), width_of(len(shifts))
        product = multiply(features, aligned(weights, width), share)[:, :size]
    else:
        product = times(features, weights)
    rest = rows - product - noise.rows
    rest[np.diff(features.indptr) == 0] = 0.0
    if isinstance(system, ByRows):
        return weights + transposed_times(features, solve_shifted(system.gram, shifts, rest))
    right = multiply(system.by_feature, aligned(rest, width), share)[:, :size]
    return weights + solve_by_gradients(system, right, shifts, share)


def solve_by_gradients(
    system: ByGradients, right: Float64, shifts: Float64, share: Sharing = alone
) -> Float64:
    """Solve (FᵀF + sI)·w = column for each column of `right`, shape (features, columns), all at once.

    Every column steps by lengths of its own until its own residual is small enough; `shifts` are the s, shape
    (columns,), and `share` is as for `draw_by_rows`.
    """
    size, width = len(shifts), width_of(len(shifts))
    shifts = np.append(shifts, np.ones(width - size))
    residual = aligned(right, width)
    inverse = aligned(1.0 / (system.diagonal[:, None] + shifts), width)
    found, direction = np.zeros_like(residual), aligned(inverse * residual, width)
    energy = _sums(residual, direction)
    enough = TOLERANCE**2 * energy
    for _ in range(MOST_STEPS):
        if not np.any(energy > enough):
            break
        product = multiply(system.by_feature, multiply(system.features, direction, share), share)
        along = np.zeros(width)
        _add_shifted(direction, shifts, product, along)
        length = np.where(energy > enough, energy / np.maximum(along, 1e-300), 0.0)
        next_energy = np.zeros(width)
        _step(length, found, direction, residual, product, inverse, next_energy)
        turn = np.where(energy > enough, next_energy / np.maximum(energy, 1e-300), 0.0)
        _turn(turn, direction, residual, inverse)
        energy = next_energy
    return np.ascontiguousarray(found[:, :size])


@exact_jit
def _add_shifted(direction: Float64, shifts: Float64, product: Float64, along: Float64) -> None:
    """Add the shifted direction to its product with FᵀF; add up `along`, Σ direction·product of each column.

    Both have the shape (features, columns), `shifts` and `along` (columns,).
    """
    for row in range(len(direction)):
        for column in range(len(along)):
            value = product[row, column] + shifts[column] * direction[row, column]
            product[row, column] = value
            along[column] += direction[row, column] * value


@exact_jit
def _step(
    length: Float64,
    found: Float64,
    direction: Float64,
    residual: Float64,
    product: Float64,
    inverse: Float64,
    energy: Float64,
) -> None:
    """Step along the direction, and add up the residual's size of each column, rows in order.

    Parameters
    ----------
    length
        How far, shape (columns,).
    found, direction, residual, product, inverse
        Shape (features, columns): what was found so far, where to, what is left, the direction's product, and
        the preconditioner.
    energy
        Shape (columns,): receives the sums.
    """
    for row in range(len(found)):
        for column in range(len(length)):
            found[row, column] += length[column] * direction[row, column]
            left = residual[row, column] - length[column] * product[row, column]
            residual[row, column] = left
            energy[column] += left * (inverse[row, column] * left)


@exact_jit
def _turn(turn: Float64, direction: Float64, residual: Float64, inverse: Float64) -> None:
    """Turn the direction, shape (features, columns), to the residual; `turn` has the shape (columns,)."""
    for row in range(len(direction)):
        for column in range(len(turn)):
            own = inverse[row, column] * residual[row, column]
            direction[row, column] = own + turn[column] * direction[row, column]


def _sums(a: Float64, b: Float64) -> Float64:
    """Return Σ a·b of each column, rows added in order."""
    out = np.zeros(a.shape[1])
    _add_products(a, b, out)
    return out


@exact_jit
def _add_products(a: Float64, b: Float64, out: Float64) -> None:
    for row in range(len(a)):
        for column in range(len(out)):
            out[column] += a[row, column] * b[row, column]


def decomposed_rows(features: FeatureRows) -> ByRows:
    """Decompose FFᵀ of features that are empty for rows without ratings."""
    return ByRows(features, tridiagonalise(row_gram(features)))


def for_gradients(features: FeatureRows) -> ByGradients:
    """Sum the diagonal of FᵀF of features that are empty for rows without ratings."""
    ones = np.ones((features.n_rows, 1))
    return ByGradients(features, transposed(features), squared_transposed_times(features, ones)[:, 0])
