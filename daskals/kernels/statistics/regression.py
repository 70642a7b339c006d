"""Bayesian linear regression with a mood of each sitting: sums, tastes and evidence.

A person's ratings, less what everybody gives, are y = x·(θ + δ) + ε with a taste θ ~ N(0, σ²/κ·I), a mood of
each sitting δ ~ N(0, ρσ²/κ·I) and σ² ~ IG(a, b), which is conjugate (Bishop 2006, section 3.5). A sitting
enters by its sums Σxxᵀ, Σxy and Σy², moods integrated out.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from daskals.kernels.half_step.plain import factorise, substitute_back, substitute_forward
from daskals.kernels.toolkit.dense import backward_in_place, forward_in_place
from daskals.kernels.toolkit.jit import jit
from daskals.types import Float64, Int32, Int64


class PersonPrior(NamedTuple):
    """κ, a, b and ρ of the regression."""

    precision: float
    shape: float
    scale: float
    mood: float


class RowRatings(NamedTuple):
    """Ratings by row: where rows start, int64, the items, int32, and y of each rating, float64."""

    indptr: Int64
    indices: Int32
    values: Float64


@jit
def take_moods(gram: Float64, right: Float64, stiffness: float) -> float:
    """Turn A and c into A − AMA and c − AMc, M = (A + stiffness·I)⁻¹; return cᵀMc.

    `gram` is A, shape (n, n); `right` c, shape (n,); `stiffness` κ/ρ.
    """
    size = len(right)
    factor, below, column = gram.copy(), gram.copy(), right.copy()
    for i in range(size):
        factor[i, i] += stiffness
    factorise(factor)
    # with L the factor and B = L⁻¹A: AMA = BᵀB, AMc = Bᵀ(L⁻¹c)
    forward_in_place(factor, below)
    substitute_forward(factor, column)
    square = 0.0
    for k in range(size):
        square += column[k] * column[k]
        for i in range(size):
            right[i] -= below[k, i] * column[k]
            for j in range(size):
                gram[i, j] -= below[k, i] * below[k, j]
    return square


@jit
def sum_sitting(x: Float64, y: Float64, prior: PersonPrior, gram: Float64, right: Float64) -> float:
    """Set gram = A − AMA and right = c − AMc, A = Σxxᵀ, c = Σxy, M = (A + κ/ρ·I)⁻¹; return Σy² − cᵀMc.

    Parameters
    ----------
    x, y
        Shape (ratings, tastes); shape (ratings,).
    prior, gram
        Of a person; shape (tastes, tastes).
    right
        Shape (tastes,).
    """
    n, size = x.shape
    gram[:] = 0.0
    right[:] = 0.0
    square = 0.0
    for t in range(n):
        square += y[t] * y[t]
        for i in range(size):
            right[i] += x[t, i] * y[t]
            for j in range(size):
                gram[i, j] += x[t, i] * x[t, j]
    if prior.mood > 0.0:
        square -= take_moods(gram, right, prior.precision / prior.mood)
    return square


@jit
def fit(
    gram: Float64, right: Float64, precision: float, factor: Float64, theta: Float64
) -> tuple[float, float]:
    """Set theta = (G + κI)⁻¹·right and its Cholesky factor; return log |G + κI| and rightᵀtheta.

    Parameters
    ----------
    gram, right
        G, shape (n, n); shape (n,).
    precision, factor
        κ; shape (n, n): receives the Cholesky factor.
    theta
        Shape (n,): receives the solution.
    """
    size = len(theta)
    for i in range(size):
        for j in range(i + 1):
            factor[i, j] = gram[i, j]
        factor[i, i] += precision
    factorise(factor)
    theta[:] = right
    substitute_forward(factor, theta)
    determinant = explained = 0.0
    for i in range(size):
        determinant += 2.0 * math.log(factor[i, i])
        explained += theta[i] * theta[i]
    substitute_back(factor, theta)
    return determinant, explained


@jit
def inverse_of(factor: Float64, out: Float64) -> None:
    """Set out = (LLᵀ)⁻¹, both of shape (n, n)."""
    out[:] = 0.0
    for k in range(len(factor)):
        out[k, k] = 1.0
    forward_in_place(factor, out)
    backward_in_place(factor, out)


@jit
def _evidences(
    first: int, stop: int, rated: RowRatings, tastes: Float64, prior: PersonPrior, out: Float64
) -> None:
    indptr, indices, values = rated
    size = tastes.shape[1]
    gram, factor = np.empty((size, size)), np.empty((size, size))
    right, theta = np.empty(size), np.empty(size)
    moodless = PersonPrior(prior.precision, prior.shape, prior.scale, 0.0)
    for row in range(first, stop):
        start, n = indptr[row], indptr[row + 1] - indptr[row]
        x = np.empty((n, size))
        for t in range(n):
            x[t] = tastes[indices[start + t]]
        square = sum_sitting(x, values[start : start + n], moodless, gram, right)
        determinant, explained = fit(gram, right, prior.precision, factor, theta)
        scale = prior.scale + 0.5 * max(square - explained, 0.0)
        out[row] = (
            0.5 * size * math.log(prior.precision)
            - 0.5 * determinant
            - (prior.shape + 0.5 * n) * math.log(scale)
            + math.lgamma(prior.shape + 0.5 * n)
            - math.lgamma(prior.shape)
            + prior.shape * math.log(prior.scale)
            - 0.5 * n * math.log(2.0 * math.pi)
        )


def evidences(rows: range, rated: RowRatings, tastes: Float64, prior: PersonPrior, out: Float64) -> None:
    """Write the log evidence of one profile for some rows: log p(y), θ and σ² integrated out.

    Parameters
    ----------
    rows, rated
        The rows to look at; ratings of all rows.
    tastes
        x of each item, float64, shape (items, tastes).
    prior
        Of a person's θ and σ²; moods do not count.
    out
        float64, shape (all rows,).
    """
    _evidences(rows.start, rows.stop, rated, tastes, prior, out)
