"""The prior of a third side's rows: times spread no more than is believed, and less where they say so.

There are about as many times as there are people who rate at once, most with few ratings, and each of their
factors is multiplied with those of a user and of an item. Where the rows alone ruled their precision they
spread until they fitted the noise (ml-latest-small: deviations of 0.35 about users' 0.27, a training RMSE of
0.58 and falling). So a belief that is worth as much as all rows say holds each column's precision λ up:
below λ₀, what is believed, the prior of λ falls as the likelihood of n rows of precision λ₀. Above it is
weak, so that times that tell nothing spread over nothing. λ₀ was chosen on validation ratings of
ml-latest-small.

Columns are independent: μ ~ N(0, 1/(β₀λ)) and λ ~ Gamma(ν/2, ν/2λ₀)·min(1, belief), ν = 1 + ν₀.
"""

from __future__ import annotations

import math

import numpy as np

from daskals.kernels.gibbs.moments import Moments
from daskals.kernels.gibbs.noise import Draws
from daskals.model.samples import column_units
from daskals.training.gibbs.posterior import Hyperprior, SidePrior, draw_eta, draw_weights
from daskals.types import Float64

FACTOR_PRECISION, BIAS_PRECISION = 70.0, 16.0
"""λ₀ at rank 20, the ratings' variance being 1."""

REFERENCE_RANK = 20


def believed_of_times(rank: int, deviation: float) -> Float64:
    """Return λ₀ of each column, shape (rank + 1,).

    `deviation` is the standard deviation of the ratings as the chain has them. The precision of factors grows
    with the root of the rank, so that what they add to a rating does not.
    """
    factors = np.full(rank, FACTOR_PRECISION * np.sqrt(rank / REFERENCE_RANK))
    return np.asarray(column_units(rank, deviation) ** -2 * np.append(factors, BIAS_PRECISION))


def first_time_prior(rank: int, deviation: float, n_features: int = 0) -> SidePrior:
    """Start times as they are believed to be, W = 0."""
    precision = np.diag(believed_of_times(rank, deviation))
    return SidePrior(np.zeros(rank + 1), precision, np.zeros((n_features, rank + 1)), 1.0)


def log_belief(ratio: float, n_rows: int) -> float:
    """Return the logarithm of what a λ of `ratio` times λ₀ is believed, 0 from λ₀ on."""
    return 0.0 if ratio >= 1.0 else 0.5 * n_rows * (math.log(ratio) - ratio + 1.0)


def draw_time_prior(
    draws: Draws,
    moments: Moments,
    prior: SidePrior,
    hyperprior: Hyperprior,
    believed: Float64,
    feature_gram: Float64 | None = None,
) -> SidePrior:
    """Draw μ and Λ, which is diagonal, of times given their rows, then W and η, if they have features.

    Parameters
    ----------
    draws, moments
        Random numbers, and what the rows tell.
    prior, hyperprior
        The one before, and the fixed numbers at the top.
    believed
        λ₀ of each column, shape (rank + 1,).
    feature_gram
        FᵀF over the rows, shape (features, features), if they have features.
    """
    strength = hyperprior.strength + moments.n
    center = moments.first / strength
    scatter = np.maximum(np.diag(moments.second) - strength * center**2, 0.0)
    # W counts as further rows, of precision ηΛ
    scatter = scatter + prior.eta * np.sum(prior.weights**2, axis=0)
    prior_degrees = 1.0 + hyperprior.degrees
    degrees = prior_degrees + len(prior.weights)
    ratios = np.array(
        [
            _draw_ratio(draws, now, moments.n, degrees, prior_degrees + own)
            for now, own in zip(np.diag(prior.precision) / believed, believed * scatter, strict=True)
        ]
    )
    found = believed * ratios
    mean = center + draws.normals(len(found)) / np.sqrt(strength * found)
    precision = np.diag(found)
    if feature_gram is None:
        return SidePrior(mean, precision, prior.weights, prior.eta)
    weights = draw_weights(draws, moments, feature_gram, (mean, precision), prior.eta)
    return SidePrior(mean, precision, weights, draw_eta(draws, weights, precision, hyperprior))


def _draw_ratio(draws: Draws, now: float, n_rows: int, degrees: float, scatter: float) -> float:
    """Draw λ/λ₀ given n rows of that scatter, by a slice of its logarithm (Neal 2003).

    Whose density is concave. `now` is the one before; `degrees` and `scatter` count what the weak prior says.
    """

    def log_density(y: float) -> float:
        ratio = math.exp(y)
        return 0.5 * ((degrees + n_rows) * y - scatter * ratio) + log_belief(ratio, n_rows)

    start, width = math.log(now), 2.0 * math.sqrt(2.0 / (degrees + n_rows))
    level = log_density(start) - draws.gamma(1.0)
    low = start - width * _uniform(draws)
    high = low + width
    while log_density(low) > level:
        low -= width
    while log_density(high) > level:
        high += width
    while True:
        y = low + (high - low) * _uniform(draws)
        if log_density(y) >= level:
            return math.exp(y)
        low, high = (y, high) if y < start else (low, y)


def _uniform(draws: Draws) -> float:
    return math.exp(-draws.gamma(1.0))
