"""The conditionals of the Gibbs sampler beside the rows': priors of both sides, W and the noise.

Rows are x = μ + fW + e, e ~ N(0, Λ⁻¹), with (μ, Λ) ~ Normal-Wishart (Salakhutdinov and Mnih 2008, section
3.1), W ~ MN(0, (ηI)⁻¹, Λ⁻¹) and η ~ Gamma (Simm et al. 2017, "Macau", section 2.2); the bias is the last
entry of x. Ratings have noise of precision α ~ Gamma. Everything here is a pure function of its arguments
and of random numbers that depend on seed, sweep and side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from daskals.errors import NumericalError
from daskals.kernels.gibbs.moments import Moments
from daskals.kernels.gibbs.noise import Draws
from daskals.kernels.toolkit.dense import backward, cholesky, forward, product, solve_positive
from daskals.kernels.toolkit.random import STREAM_GIBBS_PRIOR, STREAM_GIBBS_TIME_PRIOR
from daskals.types import Float64

FACTOR_VARIANCE, BIAS_VARIANCE = 0.1, 0.15
"""Spread of a side's rows before the first sweep, the variance of the ratings being 1."""

_STEPS = ("user", "item", "noise", "user-features", "item-features", "user-eta", "item-eta")
_TIME_STEPS = ("time",)
"""Of the third side, which has a stream of its own: without it no other number changes."""


@dataclass(frozen=True)
class Hyperprior:
    """The fixed numbers at the top: weak, so that the data decide.

    Attributes
    ----------
    strength, degrees
        β₀: rows' worth of belief that a side's mean μ is 0; ν₀ of the Wishart prior beyond the size of a row.
    scatter
        Its inverse scale matrix is this times the identity: as a row whose squares add up to it.
    eta_shape, eta_rate
        Gamma prior of W's precision η relative to Λ.
    noise_shape, noise_rate
        Gamma prior of the noise precision α.
    """

    strength: float = 2.0
    degrees: float = 0.0
    scatter: float = 1.0
    eta_shape: float = 1.0
    eta_rate: float = 1.0
    noise_shape: float = 1.0
    noise_rate: float = 1.0


class SidePrior(NamedTuple):
    """What a side's rows are drawn to in one sweep.

    `mean`: μ, shape (size,), size = rank + 1, the bias last; `precision`: Λ, shape (size, size); `weights`:
    W, shape (features, size); `eta`: precision of W relative to Λ; `own`: W's own precision by column, shape
    (size,), where its prior is not tied to Λ (`weights`), else empty.
    """

    mean: Float64
    precision: Float64
    weights: Float64
    eta: float
    own: Float64 = np.empty(0)


class Belief(NamedTuple):
    """Rows' worth of belief in Λ beside the hyperprior: how many rows, and their scatter, (size, size)."""

    rows: float
    scatter: Float64


def prior_draws(seed: int, sweep: int, step: str) -> Draws:
    """Return the random numbers of one step of a sweep, such as `user`, `item-eta` or `noise`."""
    if step in _TIME_STEPS:
        return Draws(seed, STREAM_GIBBS_TIME_PRIOR, sweep * len(_TIME_STEPS) + _TIME_STEPS.index(step))
    return Draws(seed, STREAM_GIBBS_PRIOR, sweep * len(_STEPS) + _STEPS.index(step))


def draw_wishart(draws: Draws, degrees: float, inverse_scale: Float64) -> Float64:
    """Draw from the Wishart distribution with scale matrix V, given V⁻¹ (Bartlett's decomposition).

    With V⁻¹ = CCᵀ and Bartlett's factor A, the draw is (C⁻ᵀA)(C⁻ᵀA)ᵀ; all of shape (size, size).
    """
    size = len(inverse_scale)
    factor = np.tril(draws.normals(size, size), -1)
    for k in range(size):
        factor[k, k] = np.sqrt(2.0 * draws.gamma((degrees - k) / 2.0))
    root = backward(cholesky(inverse_scale, "the scale of a side's precision"), factor)
    return product(root, np.ascontiguousarray(root.T))


def draw_mean_and_precision(
    draws: Draws,
    moments: Moments,
    prior: SidePrior,
    hyperprior: Hyperprior,
    belief: Belief | None = None,
) -> tuple[Float64, Float64]:
    """Draw (μ, Λ) given the rows and W: Normal-Wishart.

    Parameters
    ----------
    draws, moments
        Random numbers, and what the rows tell.
    prior, hyperprior
        The one before, and the fixed numbers at the top.
    belief
        Further rows that speak of Λ. W then does not: else it counts as further rows of precision ηΛ.
    """
    size, n_features = len(moments.first), len(prior.weights)
    strength = hyperprior.strength + moments.n
    degrees = size + hyperprior.degrees
    center = moments.first / strength
    scale = hyperprior.scatter * np.eye(size) + moments.second - strength * np.outer(center, center)
    if belief is not None:
        scale += belief.scatter
        degrees, n_features = degrees + belief.rows, 0
    if n_features:
        scale += prior.eta * product(np.ascontiguousarray(prior.weights.T), prior.weights)
    precision = draw_wishart(draws, degrees + moments.n + n_features, scale)
    mean = center + spread(draws.normals(size)[None], precision)[0] / np.sqrt(strength)
    return mean, precision


def draw_weights(
    draws: Draws, moments: Moments, feature_gram: Float64, drawn: tuple[Float64, Float64], eta: float
) -> Float64:
    """Draw W given the rows: MN((FᵀF + ηI)⁻¹Fᵀ(X − 1μᵀ), (FᵀF + ηI)⁻¹, Λ⁻¹), shape (features, size).

    Parameters
    ----------
    draws, moments
        Random numbers, and what the rows tell.
    feature_gram, drawn
        FᵀF over rows with ratings, shape (features, features); μ, shape (size,), and Λ, shape (size, size).
    eta
        η, precision of W relative to Λ.
    """
    mean, precision = drawn
    factor = cholesky(feature_gram + eta * np.eye(len(feature_gram)), "the features' Gram matrix")
    right = moments.projected - np.outer(moments.counted, mean)
    center = backward(factor, forward(factor, right))
    return center + backward(factor, spread(draws.normals(*right.shape), precision))


def draw_eta(draws: Draws, weights: Float64, precision: Float64, hyperprior: Hyperprior) -> float:
    """Draw W's precision η given W, shape (features, size), and Λ, shape (size, size): Gamma."""
    rate = hyperprior.eta_rate + 0.5 * float(np.sum(product(weights, precision) * weights))
    return draws.gamma(hyperprior.eta_shape + 0.5 * weights.size) / rate


def draw_alpha(draws: Draws, sse: float, n: float, hyperprior: Hyperprior) -> float:
    """Draw the noise precision given n squared errors that sum to `sse`: Gamma."""
    return draws.gamma(hyperprior.noise_shape + 0.5 * n) / (hyperprior.noise_rate + 0.5 * sse)


def draw_side_prior(
    draws: Draws,
    moments: Moments,
    prior: SidePrior,
    hyperprior: Hyperprior,
    feature_gram: Float64,
) -> SidePrior:
    """Draw μ, Λ, then W, then η of a side given its rows.

    Parameters
    ----------
    draws, moments
        Random numbers, and what the rows tell.
    prior, hyperprior
        The one before, and the fixed numbers at the top.
    feature_gram
        FᵀF over rows with ratings, shape (features, features).
    """
    mean, precision = draw_mean_and_precision(draws, moments, prior, hyperprior)
    if not len(prior.weights):
        return SidePrior(mean, precision, prior.weights, prior.eta)
    weights = draw_weights(draws, moments, feature_gram, (mean, precision), prior.eta)
    return SidePrior(mean, precision, weights, draw_eta(draws, weights, precision, hyperprior))


def start_prior(moments: Moments, weights: Float64, hyperprior: Hyperprior) -> SidePrior:
    """Start a chain from rows that a short ALS left: mean, spread, and its W, shape (features, size)."""
    size = len(moments.first)
    n = max(moments.n, 1)
    center = moments.first / (n + hyperprior.strength)
    scatter = moments.second - n * np.outer(center, center) + np.eye(size)
    precision = solve_positive(scatter / n, np.eye(size), "the spread of a side's rows")
    return SidePrior(center, (precision + precision.T) / 2, weights, 1.0)


def fixed_prior(rank: int, n_features: int) -> SidePrior:
    """Start a chain from rows that spread as taste and biases commonly do, W = 0; ratings standardised."""
    precision = np.diag([1.0 / FACTOR_VARIANCE] * rank + [1.0 / BIAS_VARIANCE])
    return SidePrior(np.zeros(rank + 1), precision, np.zeros((n_features, rank + 1)), 1.0)


def check_alpha(alpha: float, spread: float, sweep: int) -> None:
    """Stop a chain whose noise is none, or drowns the ratings, `spread` being their range.

    Raises NumericalError naming the sweep and the precision.
    """
    low, high = 1e-4 / spread**2, 1e8 / spread**2
    if not low <= alpha <= high:
        what = "collapsed" if alpha < low else "exploded"
        raise NumericalError(
            f"the noise precision {what} to {alpha:.3g}",
            where=f"Gibbs sweep {sweep}",
            expected=f"between {low:.3g} and {high:.3g} for ratings that range over {spread:g}",
            remedy="Use fewer factors, more ratings, or another --seed",
        )


def spread(normals: Float64, precision: Float64) -> Float64:
    """Turn standard normals, shape (rows, size), into rows with the given precision, shape (size, size)."""
    factor = cholesky(precision, "a side's precision")
    return np.ascontiguousarray(backward(factor, np.ascontiguousarray(normals.T)).T)
