"""Censored ratings, cut off at the ends of their scale: a five means a liking that is there or above.

What is rated is a latent y = μ + b_u + b_i + p_u·q_i + noise; recorded is y between the ends, the lowest
rating for all y below and the highest for all y above (Tobin 1958, "Estimation of relationships for limited
dependent variables"). Given the factors, y of a rating at an end is normal beyond it: the sampler draws it
there before each draw of a row (Chib 1992, "Bayes inference in the Tobit censored regression model"), and all
else goes on as if y had been observed. A predicted rating is what would be recorded of y, on the average.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from daskals.errors import DataError
from daskals.kernels.gibbs.noise import Noise, RowNoise, row_noise
from daskals.kernels.half_step.block import check_rows
from daskals.kernels.toolkit.jit import exact_jit
from daskals.kernels.toolkit.random import normal_at, row_key, software_log, uniform_at
from daskals.types import FactorRows, Float32, Float64, Int32, Int64, RatingsBlock

_TRIES = 64
"""A try fails with a probability below one half."""


class Ends(NamedTuple):
    """The ends of a rating scale.

    `low`, `high`: lowest and highest rating; `below`, `above`: latent values beyond which a rating is
    recorded as those.
    """

    low: float
    high: float
    below: float
    above: float


def ends_of(scale: Float32, limits: tuple[float, float]) -> Ends:
    """Return the ends of a scale; its outermost ratings begin half-way to their neighbours.

    The scale, shape (ratings,), is ascending and distinct, or empty where ratings are continuous. Raises
    DataError if all ratings are the same.
    """
    low, high = limits
    if not low < high:
        raise DataError(
            f"all ratings are {low:g}",
            where="--likelihood=censored",
            expected="ratings between two ends",
            remedy="Leave it out: there is nothing to learn from these ratings but their mean",
        )
    if len(scale) < 2:
        return Ends(low, high, low, high)
    second, last_but_one = float(scale[1]), float(scale[-2])
    return Ends(low, high, (low + second) / 2, (last_but_one + high) / 2)


def recorded(ends: Ends | None, latent: Float64) -> Float64:
    """Return what is recorded of latent values, float64, of their shape; themselves without ends."""
    if ends is None:
        return latent
    return np.where(latent < ends.below, ends.low, np.where(latent > ends.above, ends.high, latent))


def recorded_moments(ends: Ends, mean: Float64, deviation: Float64) -> tuple[Float64, Float64]:
    """Return mean and standard deviation of what is recorded of normal latent values, of their shape."""
    low, high = (ends.below - mean) / deviation, (ends.above - mean) / deviation
    under, over = ndtr(low), ndtr(-high)
    between = 1.0 - under - over
    at_low, at_high = (np.exp(-0.5 * t * t) / math.sqrt(2.0 * math.pi) for t in (low, high))
    first = ends.low * under + ends.high * over + mean * between + deviation * (at_low - at_high)
    second = ends.low**2 * under + ends.high**2 * over + (mean**2 + deviation**2) * between
    second += deviation * ((mean + ends.below) * at_low - (mean + ends.above) * at_high)
    return first, np.sqrt(np.maximum(second - first**2, 0.0))


@exact_jit
def normal_beyond(key: np.uint64, threshold: float) -> float:
    """Draw a standard normal number above a threshold, from the random numbers of one row.

    Normals until one is above, or where that is rare, exponentials from the threshold on (Robert 1995,
    "Simulation of truncated normal variables").
    """
    if threshold <= 0.0:
        for attempt in range(_TRIES):
            z = normal_at(key, attempt)
            if z > threshold:
                return float(z)
        return 0.0
    rate = 0.5 * (threshold + math.sqrt(threshold * threshold + 4.0))
    for attempt in range(_TRIES):
        z = threshold - software_log(uniform_at(key, 2 * attempt)) / rate
        u, excess = uniform_at(key, 2 * attempt + 1), 0.5 * (z - rate) ** 2
        # u ≤ exp(−excess); as that is 1 − excess at least, a logarithm is seldom needed
        if u <= 1.0 - excess or software_log(u) <= -excess:
            return float(z)
    return threshold


class _Latent(NamedTuple):
    """What latent values are drawn from beside the factors: rank, μ, the noise's deviation, and the ends."""

    rank: int
    mean: float
    deviation: float
    ends: Ends


@exact_jit
def _complete(
    indptr: Int64,
    indices: Int32,
    rows: FactorRows,
    other: FactorRows,
    latent: _Latent,
    noise: RowNoise,
    values: Float32,
) -> None:
    rank, mean, deviation = latent.rank, latent.mean, latent.deviation
    low, high, below, above = latent.ends
    for row in range(len(rows)):
        of_row = row_key(row_key(noise.key, noise.start + row), noise.sweep)
        for j in range(indptr[row], indptr[row + 1]):
            is_high = values[j] >= high
            if not (is_high or values[j] <= low):
                continue
            column = indices[j]
            if column < 0 or column >= len(other):
                continue  # whoever draws the rows names it
            expected = mean + float(rows[row, rank + 1]) + float(other[column, rank + 1])
            for k in range(rank):
                expected += float(rows[row, k]) * float(other[column, k])
            # a low end is a high one of ratings with their signs turned
            sign = 1.0 if is_high else -1.0
            threshold = sign * ((above if is_high else below) - expected) / deviation
            values[j] = expected + sign * deviation * normal_beyond(row_key(of_row, column), threshold)


def complete(
    block: RatingsBlock,
    rows: FactorRows,
    other: FactorRows,
    *,
    rank: int,
    mean: float,
    alpha: float,
    ends: Ends,
    noise: Noise,
) -> RatingsBlock:
    """Draw the latent values of a block's ratings at the ends, given the factors.

    Parameters
    ----------
    block
        The ratings.
    rows, other
        Present factor rows of the block, and of the whole other side, shape (rows, stride).
    rank, mean, alpha
        Number of factors; the global mean μ; precision of the noise.
    ends, noise
        Of the scale; random numbers: a rating's depend on its row and column alone.

    Returns
    -------
    RatingsBlock
        The same with float32 latent values; other ratings are their own.

    Raises
    ------
    DataError
        If the factor rows are not of this rank.
    """
    check_rows(rows, rank)
    check_rows(other, rank)
    values = np.array(block.ratings)
    latent = _Latent(rank, float(mean), alpha**-0.5, ends)
    with np.errstate(over="ignore"):
        _complete(block.indptr, block.indices, rows, other, latent, row_noise(noise, block.start), values)
    return block._replace(values=values, scale=np.empty(0, np.float32))
