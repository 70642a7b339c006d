"""One taste or two behind an account: Bayesian regression, and a mixture of two by variational EM.

A person's ratings, less what everybody gives, are y = x·(θ + δ) + ε with a taste θ ~ N(0, σ²/κ·I), a mood of
each sitting δ ~ N(0, ρσ²/κ·I) and σ² ~ IG(a, b): all that follows is conjugate (Bishop 2006, sections 3.5 and
10.2). With two profiles every sitting has one of two θ; responsibilities and profiles take turns, and the
evidence's lower bound rises at every turn. A sitting enters by its sums Σxxᵀ, Σxy and Σy², moods integrated
out.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from daskals.kernels.jit import jit
from daskals.types import Float64, Int32, Int64

STARTS = 3
_ITERATIONS = 20
_POWER_STEPS = 12
_TOLERANCE = 0.01
"""Natural-log units of the bound: less is no evidence of anything."""
_ALONE = 0.5
"""Sittings of a profile below which it is empty."""
_SHARE = 1.0
"""Parameter of the Beta prior of the profiles' shares."""


class PersonPrior(NamedTuple):
    """κ, a, b and ρ of the regression."""

    precision: float
    shape: float
    scale: float
    mood: float


class Work(NamedTuple):
    """Room for both profiles: sums, Cholesky factors, inverses, right-hand sides and tastes."""

    gram: Float64
    factor: Float64
    inverse: Float64
    right: Float64
    theta: Float64


@jit
def _factorise(matrix: Float64) -> float:
    """Replace a lower triangle by its Cholesky factor; return the matrix's log determinant."""
    size = len(matrix)
    total = 0.0
    for i in range(size):
        for j in range(i + 1):
            value = matrix[i, j]
            for k in range(j):
                value -= matrix[i, k] * matrix[j, k]
            if i == j:
                matrix[i, i] = math.sqrt(value)
                total += 2.0 * math.log(matrix[i, i])
            else:
                matrix[i, j] = value / matrix[j, j]
    return total


@jit
def _below(factor: Float64, vector: Float64) -> None:
    """Solve L·x = v in place."""
    for i in range(len(vector)):
        value = vector[i]
        for k in range(i):
            value -= factor[i, k] * vector[k]
        vector[i] = value / factor[i, i]


@jit
def _above(factor: Float64, vector: Float64) -> None:
    """Solve Lᵀ·x = v in place."""
    for i in range(len(vector) - 1, -1, -1):
        value = vector[i]
        for k in range(i + 1, len(vector)):
            value -= factor[k, i] * vector[k]
        vector[i] = value / factor[i, i]


@jit
def _take_moods(gram: Float64, right: Float64, stiffness: float) -> float:
    """Turn A and c into A − AMA and c − AMc, M = (A + stiffness·I)⁻¹; return cᵀMc."""
    size = len(right)
    factor, below, column = gram.copy(), np.empty((size, size)), np.empty(size)
    for i in range(size):
        factor[i, i] += stiffness
    _factorise(factor)
    # with L the factor and B = L⁻¹A: AMA = BᵀB, AMc = Bᵀ(L⁻¹c)
    for k in range(size):
        column[:] = gram[:, k]
        _below(factor, column)
        below[:, k] = column
    column[:] = right
    _below(factor, column)
    square = 0.0
    for k in range(size):
        square += column[k] * column[k]
        for i in range(size):
            right[i] -= below[k, i] * column[k]
            for j in range(size):
                gram[i, j] -= below[k, i] * below[k, j]
    return square


@jit
def _sum_sitting(x: Float64, y: Float64, prior: PersonPrior, gram: Float64, right: Float64) -> float:
    """Set gram = A − AMA and right = c − AMc, A = Σxxᵀ, c = Σxy, M = (A + κ/ρ·I)⁻¹; return Σy² − cᵀMc."""
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
        square -= _take_moods(gram, right, prior.precision / prior.mood)
    return square


@jit
def _fit(
    gram: Float64, right: Float64, precision: float, factor: Float64, theta: Float64
) -> tuple[float, float]:
    """Set theta = (G + κI)⁻¹·right and its Cholesky factor; return log |G + κI| and rightᵀtheta."""
    size = len(theta)
    for i in range(size):
        for j in range(i + 1):
            factor[i, j] = gram[i, j]
        factor[i, i] += precision
    determinant = _factorise(factor)
    theta[:] = right
    _below(factor, theta)
    explained = 0.0
    for i in range(size):
        explained += theta[i] * theta[i]
    _above(factor, theta)
    return determinant, explained


@jit
def _inverse(factor: Float64, out: Float64) -> None:
    """Set out = (LLᵀ)⁻¹."""
    size = len(factor)
    column = np.empty(size)
    for k in range(size):
        column[:] = 0.0
        column[k] = 1.0
        _below(factor, column)
        _above(factor, column)
        out[:, k] = column


@jit
def _misfit(gram: Float64, right: Float64, theta: Float64, inverse: Float64, certainty: float) -> float:
    """Return E[Σ(y − xθ)²]/σ² of a sitting less what θ does not change."""
    size = len(theta)
    error = spread = 0.0
    for i in range(size):
        value = spread_row = 0.0
        for j in range(size):
            value += gram[i, j] * theta[j]
            spread_row += gram[i, j] * inverse[i, j]
        error += theta[i] * (value - 2.0 * right[i])
        spread += spread_row
    return certainty * error + spread


@jit
def _power_step(spread: Float64, vector: Float64, image: Float64) -> float:
    """Set vector to the unit vector along S·vector; return the length of the latter."""
    length = 0.0
    for i in range(len(vector)):
        image[i] = 0.0
        for j in range(len(vector)):
            image[i] += spread[i, j] * vector[j]
        length += image[i] * image[i]
    length = math.sqrt(length)
    if length > 0.0:
        vector[:] = image / length
    return length


@jit
def _directions(scores: Float64, out: Float64) -> None:
    """Set out to the leading eigenvectors of Σ ggᵀ over the rows g of `scores`, by power steps."""
    size = scores.shape[1]
    spread = np.zeros((size, size))
    for b in range(len(scores)):
        for i in range(size):
            for j in range(size):
                spread[i, j] += scores[b, i] * scores[b, j]
    image = np.empty(size)
    for n in range(len(out)):
        for i in range(size):
            out[n, i] = 1.0 / (1.0 + (i + n) % size)
        value = 0.0
        for _ in range(_POWER_STEPS):
            value = _power_step(spread, out[n], image)
        for i in range(size):
            for j in range(size):
                spread[i, j] -= value * out[n, i] * out[n, j]


@jit
def _weigh(grams: Float64, rights: Float64, share: Float64, gram: Float64, right: Float64) -> float:
    """Sum the sittings of both profiles by responsibility; return the responsibilities' entropy."""
    size = rights.shape[1]
    entropy = 0.0
    gram[:] = 0.0
    right[:] = 0.0
    for b in range(len(share)):
        rest = 1.0 - share[b]
        if 0.0 < share[b] < 1.0:
            entropy -= share[b] * math.log(share[b]) + rest * math.log(rest)
        for i in range(size):
            right[0, i] += share[b] * rights[b, i]
            right[1, i] += rest * rights[b, i]
            for j in range(i + 1):
                gram[0, i, j] += share[b] * grams[b, i, j]
                gram[1, i, j] += rest * grams[b, i, j]
    return entropy


@jit
def _log_shares(first: float, sittings: int) -> float:
    """Return log B(α + n₁, α + n₂) − log B(α, α)."""
    return float(
        math.lgamma(_SHARE + first)
        + math.lgamma(_SHARE + sittings - first)
        - math.lgamma(2.0 * _SHARE + sittings)
        + math.lgamma(2.0 * _SHARE)
        - 2.0 * math.lgamma(_SHARE)
    )


@jit
def _climb(
    grams: Float64, rights: Float64, square: float, n: int, prior: PersonPrior, share: Float64, work: Work
) -> float:
    """Raise the bound of two profiles from the responsibilities `share` of the first; return it.

    Where one profile ends up with everything, that is the bound of where it started from, and so `share`.
    Constants that the evidence of one profile has too are left out: Γ(a + n/2), bᵃ/Γ(a), (2π)^(−n/2) and what
    the moods bring.
    """
    sittings, size = rights.shape
    shape = prior.shape + 0.5 * n
    gram, factor, inverse, right, theta = work
    bound = start = -np.inf
    begun = share.copy()
    for turn in range(_ITERATIONS):
        first = share.sum()
        entropy = _weigh(grams, rights, share, gram, right)
        determinants = explained = 0.0
        for z in range(2):
            determinant, part = _fit(gram[z], right[z], prior.precision, factor[z], theta[z])
            determinants += determinant
            explained += part
        scale = prior.scale + 0.5 * max(square - explained, 0.0)
        risen = (
            size * math.log(prior.precision)
            - 0.5 * determinants
            - shape * math.log(scale)
            + entropy
            + _log_shares(first, sittings)
        )
        if turn == 0:
            start = risen
        if min(first, sittings - first) < _ALONE:
            share[:] = begun
            return float(start)
        if risen - bound < _TOLERANCE:
            return float(max(bound, risen))
        bound = risen
        certainty = shape / scale
        one, two = _SHARE + first, _SHARE + sittings - first
        odds = math.log(one) - 0.5 / one - math.log(two) + 0.5 / two  # ψ of one less ψ of two
        _inverse(factor[0], inverse[0])
        _inverse(factor[1], inverse[1])
        for b in range(sittings):
            gap = _misfit(grams[b], rights[b], theta[0], inverse[0], certainty)
            gap -= _misfit(grams[b], rights[b], theta[1], inverse[1], certainty)
            share[b] = 1.0 / (1.0 + math.exp(min(max(0.5 * gap - odds, -500.0), 500.0)))
    return float(bound)


@jit
def _gain(
    grams: Float64, rights: Float64, square: float, n: int, prior: PersonPrior, best: Float64, work: Work
) -> float:
    """Return how much two profiles raise the log evidence over one; `best` gets the responsibilities."""
    sittings, size = rights.shape
    gram, factor, theta, right = work.gram[0], work.factor[0], work.theta[0], work.right[0]
    gram[:] = 0.0
    right[:] = 0.0
    for b in range(sittings):
        gram += grams[b]
        right += rights[b]
    determinant, explained = _fit(gram, right, prior.precision, factor, theta)
    scale = prior.scale + 0.5 * max(square - explained, 0.0)
    evidence = 0.5 * size * math.log(prior.precision) - 0.5 * determinant
    evidence -= (prior.shape + 0.5 * n) * math.log(scale)
    scores = np.empty((sittings, size))
    for b in range(sittings):
        for i in range(size):
            scores[b, i] = rights[b, i]
            for j in range(size):
                scores[b, i] -= grams[b, i, j] * theta[j]
        _below(factor, scores[b])
    directions = np.zeros((min(STARTS, size), size))
    _directions(scores, directions)
    highest = -np.inf
    share = np.empty(sittings)
    for start in range(len(directions)):
        middle = 0.0
        for b in range(sittings):
            share[b] = 0.0
            for i in range(size):
                share[b] += scores[b, i] * directions[start, i]
            middle += share[b] / sittings
        for b in range(sittings):
            share[b] = 1.0 if share[b] > middle else 0.0
        bound = _climb(grams, rights, square, n, prior, share, work)
        if bound > highest:
            highest = bound
            best[:] = share
    return float(highest - evidence)


@jit
def _compare(
    rows: Int64,
    sittings: Int64,
    bounds: Int64,
    indices: Int32,
    values: Float64,
    tastes: Float64,
    prior: PersonPrior,
    gains: Float64,
    shares: Float64,
) -> None:
    size = tastes.shape[1]
    work = Work(
        np.empty((2, size, size)),
        np.empty((2, size, size)),
        np.empty((2, size, size)),
        np.empty((2, size)),
        np.empty((2, size)),
    )
    for place in range(len(rows)):
        first, last = sittings[rows[place]], sittings[rows[place] + 1]
        grams, rights = np.empty((last - first, size, size)), np.empty((last - first, size))
        square = 0.0
        for b in range(first, last):
            start, n = bounds[b], bounds[b + 1] - bounds[b]
            x = np.empty((n, size))
            for t in range(n):
                x[t] = tastes[indices[start + t]]
            y = values[start : start + n]
            square += _sum_sitting(x, y, prior, grams[b - first], rights[b - first])
        best = np.zeros(last - first)
        gains[place] = _gain(grams, rights, square, bounds[last] - bounds[first], prior, best, work)
        shares[first:last] = best


def compare_profiles(
    rows: Int64,
    sittings: tuple[Int64, Int64],
    ratings: tuple[Int32, Float64],
    tastes: Float64,
    prior: PersonPrior,
    shares: Float64,
) -> Float64:
    """Compare two profiles with one for some accounts.

    Parameters
    ----------
    rows
        The accounts to look at, each with two sittings at least.
    sittings
        Where the sittings of each account start, shape (accounts + 1,), and where the ratings of each sitting
        start, shape (sittings + 1,).
    ratings
        Item and y of each rating, by account and sitting.
    tastes
        x of each item, float64, shape (items, tastes).
    prior
        Of a person's θ, σ² and moods.
    shares
        float64, shape (sittings,): receives the probability that a sitting is of the first profile.

    Returns
    -------
        How far the log evidence rises at least by a second profile, float64, shape (rows,).
    """
    gains = np.empty(len(rows))
    _compare(rows, *sittings, *ratings, tastes, prior, gains, shares)
    return gains


@jit
def _evidences(
    first: int,
    stop: int,
    indptr: Int64,
    indices: Int32,
    values: Float64,
    tastes: Float64,
    prior: PersonPrior,
    out: Float64,
) -> None:
    size = tastes.shape[1]
    gram, factor = np.empty((size, size)), np.empty((size, size))
    right, theta = np.empty(size), np.empty(size)
    moodless = PersonPrior(prior.precision, prior.shape, prior.scale, 0.0)
    for row in range(first, stop):
        start, n = indptr[row], indptr[row + 1] - indptr[row]
        x = np.empty((n, size))
        for t in range(n):
            x[t] = tastes[indices[start + t]]
        square = _sum_sitting(x, values[start : start + n], moodless, gram, right)
        determinant, explained = _fit(gram, right, prior.precision, factor, theta)
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


def evidences(
    rows: tuple[int, int],
    ratings: tuple[Int64, Int32, Float64],
    tastes: Float64,
    prior: PersonPrior,
    out: Float64,
) -> None:
    """Write the log evidence of one profile for rows [first, stop): log p(y), θ and σ² integrated out.

    Parameters
    ----------
    rows
        First row, and the row after the last.
    ratings
        Where rows start, items, and y of each rating.
    tastes, prior
        As in `compare_profiles`; moods do not count.
    out
        float64, shape (all rows,).
    """
    _evidences(rows[0], rows[1], *ratings, tastes, prior, out)
