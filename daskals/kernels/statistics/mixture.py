"""Mixture of two regressions by variational EM: one taste or two behind an account.

With two profiles every sitting has one of two tastes θ of `statistics.regression`; responsibilities and
profiles take turns, and the evidence's lower bound rises at every turn (Bishop 2006, section 10.2).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from daskals.kernels.half_step.plain import substitute_forward
from daskals.kernels.statistics.regression import PersonPrior, fit, inverse_of, sum_sitting
from daskals.kernels.toolkit.jit import jit
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


class SittingRatings(NamedTuple):
    """Ratings by account and sitting.

    `sittings`: int64, shape (accounts + 1,): where the sittings of each account start; `bounds`: int64,
    shape (sittings + 1,): where the ratings of each sitting start; `indices`, `values`: int32 and float64,
    shape (ratings,): item and y of each rating.
    """

    sittings: Int64
    bounds: Int64
    indices: Int32
    values: Float64


class Work(NamedTuple):
    """Room for both profiles: sums, Cholesky factors, inverses, right-hand sides and tastes."""

    gram: Float64
    factor: Float64
    inverse: Float64
    right: Float64
    theta: Float64


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
            determinant, part = fit(gram[z], right[z], prior.precision, factor[z], theta[z])
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
        inverse_of(factor[0], inverse[0])
        inverse_of(factor[1], inverse[1])
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
    determinant, explained = fit(gram, right, prior.precision, factor, theta)
    scale = prior.scale + 0.5 * max(square - explained, 0.0)
    evidence = 0.5 * size * math.log(prior.precision) - 0.5 * determinant
    evidence -= (prior.shape + 0.5 * n) * math.log(scale)
    scores = np.empty((sittings, size))
    for b in range(sittings):
        for i in range(size):
            scores[b, i] = rights[b, i]
            for j in range(size):
                scores[b, i] -= grams[b, i, j] * theta[j]
        substitute_forward(factor, scores[b])
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
    rows: Int64, rated: SittingRatings, tastes: Float64, prior: PersonPrior, gains: Float64, shares: Float64
) -> None:
    sittings, bounds, indices, values = rated
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
            square += sum_sitting(x, y, prior, grams[b - first], rights[b - first])
        best = np.zeros(last - first)
        gains[place] = _gain(grams, rights, square, bounds[last] - bounds[first], prior, best, work)
        shares[first:last] = best


def compare_profiles(
    rows: Int64, rated: SittingRatings, tastes: Float64, prior: PersonPrior, shares: Float64
) -> Float64:
    """Compare two profiles with one for some accounts.

    Parameters
    ----------
    rows, rated
        The accounts to look at, each with two sittings at least; ratings of all accounts.
    tastes, prior
        x of each item, float64, shape (items, tastes); of a person's θ, σ² and moods.
    shares
        float64, shape (sittings,): receives the probability that a sitting is of the first profile.

    Returns
    -------
        How far the log evidence rises at least by a second profile, float64, shape (rows,).
    """
    gains = np.empty(len(rows))
    _compare(rows, rated, tastes, prior, gains, shares)
    return gains
