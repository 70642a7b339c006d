"""Shared accounts: two profiles explain the sittings better than one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from daskals.analysis.anomalies.ratings import Rated, in_ranges
from daskals.analysis.anomalies.sittings import Sittings
from daskals.analysis.anomalies.tastes import Tastes
from daskals.kernels.statistics.mixture import SittingRatings, compare_profiles
from daskals.types import Float64, Int64

LEAST_RATINGS = 20
LEAST_SITTINGS = 2
NAMED = 4
"""Titles that name a profile."""


class Sharing(NamedTuple):
    """How far two profiles explain accounts better than one.

    `gains`: log Bayes factor of two profiles against one, at least; NaN where it cannot be decided;
    `p_values`: exp(−gain), at most 1: where one profile made the ratings, a Bayes factor of 1/p has a chance
    of at most p (Markov's inequality); `shares`: chance that a sitting is of the first profile, shape
    (sittings,).
    """

    gains: Float64
    p_values: Float64
    shares: Float64


def shared_accounts(rated: Rated, sittings: Sittings, tastes: Tastes) -> Sharing:
    """Compare two profiles with one for every account of enough ratings and sittings."""
    y = (rated.values.astype(np.float64) - tastes.offset[rated.items])[sittings.order]
    items = rated.items[sittings.order]
    decidable = (np.diff(rated.indptr) >= LEAST_RATINGS) & (sittings.per_user >= LEAST_SITTINGS)
    gains = np.full(rated.n_users, np.nan)
    shares = np.zeros(len(sittings.bounds) - 1)

    by_sitting = SittingRatings(sittings.starts, sittings.bounds, items, y)

    def compare(first: int, stop: int) -> None:
        rows = first + np.flatnonzero(decidable[first:stop])
        gains[rows] = compare_profiles(rows, by_sitting, tastes.x, tastes.prior, shares)

    in_ranges(rated.indptr, compare)
    return Sharing(gains, np.exp(-np.maximum(gains, 0.0)), shares)


class Profile(NamedTuple):
    """One of the two profiles of an account.

    `n_ratings`, `n_sittings`: its size; `items`: item rows that name it: rated in its sittings, and liked
    more by it than by the other.
    """

    n_ratings: int
    n_sittings: int
    items: Int64


def describe_profiles(
    rated: Rated, sittings: Sittings, tastes: Tastes, sharing: Sharing, user: int
) -> tuple[Profile, Profile, int]:
    """Return the two profiles of an account, and how often they take turns.

    Parameters
    ----------
    rated, sittings
        The ratings, and how they fall into sittings.
    tastes, sharing
        What tastes are compared by; what the search for shared accounts found.
    user
        Row of the account.
    """
    first, last = sittings.starts[user], sittings.starts[user + 1]
    of_first = sharing.shares[first:last] >= 0.5
    places = sittings.order[sittings.bounds[first] : sittings.bounds[last]]
    mine = np.repeat(of_first, sittings.sizes[first:last])
    items, x = rated.items[places], tastes.x[rated.items[places]]
    y = rated.values[places].astype(np.float64) - tastes.offset[items]
    thetas = [_taste(x[own], y[own], tastes.prior.precision) for own in (mine, ~mine)]
    profiles = []
    for own, sign in ((mine, 1.0), (~mine, -1.0)):
        likes = sign * (x[own] @ (thetas[0] - thetas[1]))
        given = rated.values[places][own]
        liked = given >= (np.median(given) if len(given) else 0.0)
        order = np.argsort(-np.where(liked, likes, -np.inf), kind="stable")[:NAMED]
        sitting_count = int(np.count_nonzero(of_first if sign > 0 else ~of_first))
        profiles.append(Profile(int(own.sum()), sitting_count, items[own][order].astype(np.int64)))
    turns = int(np.count_nonzero(of_first[1:] != of_first[:-1]))
    return profiles[0], profiles[1], turns


def _taste(x: Float64, y: Float64, precision: float) -> Float64:
    gram = x.T @ x + precision * np.eye(x.shape[1])
    return np.asarray(np.linalg.solve(gram, x.T @ y))
