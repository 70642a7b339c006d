"""What times are believed to be like: a third side's rows spread little, but for what many ratings say.

There are about as many times as there are people who rate at once, most with few ratings, and each of their
factors is multiplied with those of a user and of an item. Where the rows alone ruled Λ they spread until they
fitted the noise (ml-latest-small: deviations of 0.35 about users' 0.27, a training RMSE of 0.58 and falling).
So Λ is held by a belief that is worth as much as all rows say, as that of a side with many features is. Its
numbers were chosen on validation ratings of ml-latest-small.
"""

from __future__ import annotations

import numpy as np

from daskals.model.samples import column_units
from daskals.training.gibbs.posterior import Belief, SidePrior
from daskals.types import Float64

FACTOR_PRECISION, BIAS_PRECISION = 70.0, 16.0
"""What Λ is believed to be at rank 20, the ratings' variance being 1."""

REFERENCE_RANK = 20


def believed_of_times(rank: int, deviation: float) -> Float64:
    """Return what Λ's diagonal is believed to be, shape (rank + 1,).

    `deviation` is the standard deviation of the ratings as the chain has them. The precision of factors grows
    with the root of the rank, so that what they add to a rating does not.
    """
    factors = np.full(rank, FACTOR_PRECISION * np.sqrt(rank / REFERENCE_RANK))
    return np.asarray(column_units(rank, deviation) ** -2 * np.append(factors, BIAS_PRECISION))


def belief_in_times(rank: int, deviation: float, n_rows: int) -> Belief:
    """Return the belief in Λ that is worth as much as `n_rows` times with ratings."""
    return Belief(float(n_rows), n_rows * np.diag(1.0 / believed_of_times(rank, deviation)))


def first_time_prior(rank: int, deviation: float) -> SidePrior:
    """Start times as they are believed to be."""
    precision = np.diag(believed_of_times(rank, deviation))
    return SidePrior(np.zeros(rank + 1), precision, np.zeros((0, rank + 1)), 1.0)
