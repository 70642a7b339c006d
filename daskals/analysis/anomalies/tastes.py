"""Item vectors that a person's ratings are compared with, and how people's tastes scatter."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from daskals.analysis.anomalies.ratings import Rated
from daskals.analysis.anomalies.sittings import Sittings
from daskals.analysis.anomalies.testing import Variances
from daskals.kernels.statistics.regression import PersonPrior
from daskals.model.fitted import Model
from daskals.types import Float64, Int64

MOST_TASTES = 12
"""Directions of taste that are looked at, those that move ratings most: the rest counts as noise."""
_FREEDOMS = (4.0, 1000.0)
"""Least and most degrees of freedom of the prior of a person's noise."""


class Tastes(NamedTuple):
    """Ratings as y = r − offset = x·θ + ε, θ ~ N(0, I) over people.

    `x`: items, float64, shape (items, tastes); a taste is a direction of [p, b]; `offset`: what an average
    person gives, float64, shape (items,); `prior`: of a person's θ and noise.
    """

    x: Float64
    offset: Float64
    prior: PersonPrior


def fit_tastes(model: Model, rated: Rated, sittings: Sittings, variances: Variances) -> Tastes:
    """Fit the scatter of people's [p, b] from the model's users, and turn items so that it is a unit one.

    The covariance is that of the users' rows plus the mean of what is not known of each (one step of EM).
    """
    items = np.column_stack([model.item_factors, np.ones(len(model.item_ids))]).astype(np.float64)
    known = np.diff(rated.indptr) > 0
    people = np.column_stack([model.user_factors, model.user_biases]).astype(np.float64)[known]
    mean = people.mean(axis=0)
    centred = people - mean
    covariance = centred.T @ centred / len(people) + rated.noise * rated.spread
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    turned = items @ root
    counts = np.bincount(rated.items, minlength=len(items)).astype(np.float64)
    moment = (turned * counts[:, None]).T @ turned
    leading = np.linalg.eigh(moment)[1][:, ::-1][:, :MOST_TASTES]
    x = np.ascontiguousarray(turned @ leading)
    noise = rated.noise * variances.level
    shape = float(np.clip(variances.freedom, *_FREEDOMS)) / 2.0
    return Tastes(
        x=x,
        offset=model.mean + model.item_biases.astype(np.float64) + items @ mean,
        prior=PersonPrior(noise, shape, shape * noise, mood_variance(rated, sittings, x)),
    )


def mood_variance(rated: Rated, sittings: Sittings, x: Float64) -> float:
    """Return ρ, the variance of tastes from sitting to sitting over that from person to person.

    Products of two residuals of a sitting are regressed on xᵀx′, and so are those of residuals of a user in
    different sittings, which tastes that do not move leave at about zero; ρ is the difference of the slopes.
    `x` are the item vectors of the ratings, shape (ratings, rank).
    """
    if rated.times is None:
        return 0.0
    e = rated.residuals[sittings.order].astype(np.float64)
    users = np.repeat(np.arange(rated.n_users), sittings.per_user)
    own = x[rated.items[sittings.order]]
    pairs = np.array([[i, j] for i in range(x.shape[1]) for j in range(i, x.shape[1])])
    begins = sittings.bounds[:-1]
    products, crossed = np.zeros((2, len(begins))), np.zeros((2, rated.n_users))
    for i in range(x.shape[1]):
        _add_pairs(own[:, i] * e, begins, users, products[0], crossed[0], 1.0)
    for i, j in pairs:
        _add_pairs(own[:, i] * own[:, j], begins, users, products[1], crossed[1], 1.0 if i == j else 2.0)
    same, different = products.sum(axis=1), crossed.sum(axis=1)
    if same[1] <= 0 or different[1] <= 0:
        return 0.0
    return max(float(same[0] / same[1] - different[0] / different[1]), 0.0)


def _add_pairs(
    values: Float64, begins: Int64, users: Int64, same: Float64, crossed: Float64, weight: float
) -> None:
    """Add Σ v·v′ over pairs of ratings of a sitting, and over pairs of different sittings of a user."""
    sums = np.add.reduceat(values, begins)
    squares = np.add.reduceat(values**2, begins)
    same += weight * (sums**2 - squares)
    total = np.bincount(users, sums, len(crossed))
    crossed += weight * (total**2 - np.bincount(users, sums**2, len(crossed)))
