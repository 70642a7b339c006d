"""Predictions of a posterior over three sides, kept as samples: mean and spread, rating by rating."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from daskals.kernels.toolkit.jit import exact_jit
from daskals.types import Float32, Float64, Int64


class ThreeSides(NamedTuple):
    """Samples of a posterior over users, items and times, each side's prior means zero.

    Attributes
    ----------
    users, items, times
        float32, shape (rows, samples, rank + 1): [factors, bias] of each sample.
    means
        float64, shape (samples,): global mean of each sample.
    user_spread, item_spread, time_spread
        float64, shape (samples, rank + 1, rank + 1): prior covariance of each side.
    n_dates
        From which row on times are unknown, each row being the prior mean of some.
    """

    users: Float32
    items: Float32
    times: Float32
    means: Float64
    user_spread: Float64
    item_spread: Float64
    time_spread: Float64
    n_dates: int


class Pair(NamedTuple):
    """Rows of a user, an item and a time; −1 for an unknown one."""

    user: int
    item: int
    time: int


class Spread(NamedTuple):
    """Prior covariances of one sample, float64, shape (rank + 1, rank + 1)."""

    user: Float64
    item: Float64
    time: Float64


@exact_jit
def _pull_variance(first: Float32, second: Float32, spread: Float64) -> float:
    """Return zᵀMz, z = [sum of two rows' factors, 1]: what an unknown row adds between two known ones."""
    size = len(first)
    total: float = 0.0
    for a in range(size):
        za = float(first[a]) + float(second[a]) if a < size - 1 else 1.0
        for b in range(size):
            zb = float(first[b]) + float(second[b]) if b < size - 1 else 1.0
            total += za * zb * spread[a, b]
    return total


@exact_jit
def _cross_variance(first: Float64, second: Float64) -> float:
    """Return the variance of the product of two unknown rows' factors, of mean zero."""
    total: float = 0.0
    for a in range(len(first) - 1):
        for b in range(len(first) - 1):
            total += first[a, b] * second[a, b]
    return total


@exact_jit
def _within(pair: Pair, p: Float32, q: Float32, d: Float32, spread: Spread) -> float:
    """Return what the rows that are unknown add to the variance of one sample's prediction."""
    u, i, t = pair
    of_user, of_item, of_time = spread
    total: float = 0.0
    if u < 0:
        total += _pull_variance(q, d, of_user)
    if i < 0:
        total += _pull_variance(p, d, of_item)
    if t < 0:
        total += _pull_variance(p, q, of_time)
    if u < 0 and i < 0:
        total += _cross_variance(of_user, of_item)
    if u < 0 and t < 0:
        total += _cross_variance(of_user, of_time)
    if i < 0 and t < 0:
        total += _cross_variance(of_item, of_time)
    return total


@exact_jit
def _moments(
    users: Int64, items: Int64, times: Int64, samples: ThreeSides, means: Float64, variances: Float64
) -> None:
    user_rows, item_rows, time_rows, global_means, of_users, of_items, of_times, n_dates = samples
    n_samples, size = len(global_means), user_rows.shape[2]
    zero = np.zeros(size, np.float32)
    for pair in range(len(users)):
        u, i, t = users[pair], items[pair], times[pair]
        known = t if t < n_dates else -1
        total = squares = within = 0.0
        for s in range(n_samples):
            p = user_rows[u, s] if u >= 0 else zero
            q = item_rows[i, s] if i >= 0 else zero
            d = time_rows[t, s] if t >= 0 else zero
            value = global_means[s] + float(p[size - 1]) + float(q[size - 1]) + float(d[size - 1])
            for k in range(size - 1):
                a, b, c = float(p[k]), float(q[k]), float(d[k])
                value += a * b + (a + b) * c
            total += value
            squares += value * value
            if u < 0 or i < 0 or known < 0:
                within += _within(Pair(u, i, known), p, q, d, Spread(of_users[s], of_items[s], of_times[s]))
        mean = total / n_samples
        between = max(squares / n_samples - mean * mean, 0.0)
        if n_samples > 1:
            between *= n_samples / (n_samples - 1)
        means[pair] = mean
        variances[pair] = between + within / n_samples


class PredictedMoments(NamedTuple):
    """Posterior mean and variance of predictions, the ratings' noise apart, float64, shape (pairs,)."""

    mean: Float64
    variance: Float64


def three_side_moments(users: Int64, items: Int64, times: Int64, samples: ThreeSides) -> PredictedMoments:
    """Predict ratings of users, items and times.

    Parameters
    ----------
    users, items, times
        Rows, shape (pairs,), −1 for an unknown one, which adds the variance of its prior. They are not
        checked here.
    samples
        The posterior.
    """
    found = PredictedMoments(np.empty(len(users)), np.empty(len(users)))
    _moments(users, items, times, samples, *found)
    return found
