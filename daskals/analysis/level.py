"""A level that wanders, seen through means that scatter about it: the smooth line, and how sure it is.

y_t = b_t + u_t + e_t, where b_t is a random walk of variance q a period, u_t what is of one period alone, of
variance v, and e_t the error of a mean of few ratings, whose variance is known: a local level model (Durbin
and Koopman 2012, "Time Series Analysis by State Space Methods", chapter 2). q and v are those of a grid under
which the means are likeliest, so that a line bends as far as the data ask for.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from daskals.types import Float64, Int64

WALKS = 10.0 ** np.arange(-6.0, 0.51, 0.25)
SCATTERS = np.append(0.0, 10.0 ** np.arange(-2.0, 0.51, 0.25))
"""q and v that are tried, as shares of the means' variance."""

WIDE = 1e4
"""Variance of the first level, as a multiple of that of the means: nothing is known of it."""


class Level(NamedTuple):
    """The line: its `means` and standard `deviations`, float64, shape (periods,); √q and √v."""

    means: Float64
    deviations: Float64
    walk: float
    scatter: float


def smooth_level(numbers: Int64, values: Float64, variances: Float64) -> Level:
    """Find the level behind means.

    Parameters
    ----------
    numbers
        Which period each is of, int64, shape (periods,), ascending; there may be gaps.
    values, variances
        The means and the variances of their errors, above zero, float64, shape (periods,).
    """
    weights = 1.0 / variances
    centre = float(weights @ values / weights.sum())
    total = max(float(np.mean((values - centre) ** 2)), float(variances.min()))
    gaps = np.diff(numbers, prepend=numbers[0]).astype(np.float64)
    walks, scatters = (grid.ravel() * total for grid in np.meshgrid(WALKS, SCATTERS, indexing="ij"))
    likelihoods = np.zeros(len(walks))
    mean, spread = np.full(len(walks), centre), np.full(len(walks), WIDE * total)
    for gap, value, variance in zip(gaps, values, variances, strict=True):
        spread = spread + gap * walks
        seen = spread + scatters + variance
        likelihoods -= 0.5 * (np.log(seen) + (value - mean) ** 2 / seen)
        gain = spread / seen
        mean, spread = mean + gain * (value - mean), spread * (1.0 - gain)
    best = int(np.argmax(likelihoods))
    errors = variances + scatters[best]
    means, spreads = _smoothed(gaps * walks[best], values, errors, (centre, WIDE * total))
    return Level(means, np.sqrt(np.maximum(spreads, 0.0)), *np.sqrt([walks[best], scatters[best]]).tolist())


def _smoothed(
    steps: Float64, values: Float64, variances: Float64, first: tuple[float, float]
) -> tuple[Float64, Float64]:
    """Filter forwards, then go back (Rauch, Tung and Striebel 1965); `steps` are the walk's."""
    n = len(values)
    mean, spread = np.empty(n), np.empty(n)
    before, before_spread = first
    for t in range(n):
        predicted = before_spread + steps[t]
        gain = predicted / (predicted + variances[t])
        mean[t] = before + gain * (values[t] - before)
        spread[t] = predicted * (1.0 - gain)
        before, before_spread = mean[t], spread[t]
    for t in range(n - 2, -1, -1):
        predicted = spread[t] + steps[t + 1]
        share = spread[t] / predicted
        mean[t] += share * (mean[t + 1] - mean[t])
        spread[t] += share**2 * (spread[t + 1] - predicted)
    return mean, spread
