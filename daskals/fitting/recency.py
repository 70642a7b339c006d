"""How popular items are, and of late: what is chosen today is seldom what was chosen over all the years."""

from __future__ import annotations

import numpy as np
import scipy.sparse

from daskals.types import Float64, Int64

POPULARITY_WEIGHT, STALE_WEIGHT = 1.0, 2.0
"""Weight of popularity by itself in an order whose popularity is that of late; see notebooks/README.md.

The latter where a person's own ratings count by age: for somebody of whose ratings nothing is left.
"""

UNLIKED, GENRE_WEIGHT = 0.2, 1.6
"""What a rating that is not liked counts, and the weight of genres, where popularity is that of late.

Of clicks, which are all liked and made when they are chosen, the usual weights hold, and visits do not count.
"""

VISIT_EXPONENT = 0.3
"""A rating counts n^-0.3 in popularity of late, made in a visit with n: chosen as the above, see there.

Who comes to tell many things at once tells of years; who comes back for a few tells what is chosen now.
"""

VISIT_PAUSE = 86_400
"""Seconds without a rating that end a visit."""


def popularity_of(x: scipy.sparse.csr_array, weights: Float64 | None = None) -> Float64:
    """Return how popular items are, float64, shape (items,): the mean interaction over all users.

        P_i = Σ_u w_ui·x_ui / Σ_u max_j w_uj

    A user all of whose ratings weigh 2 is two users; one without ratings is one.

    Parameters
    ----------
    x
        Interactions, sparse float64, shape (users, items).
    weights
        w: what each counts, in the order of `x.data`, float64, shape (ratings,); None where each counts once.
    """
    weights = np.ones(x.nnz) if weights is None else weights
    absent = int(np.count_nonzero(np.diff(x.indptr) == 0))
    return _popularity(x, weights, absent)


def recent_popularity(
    x: scipy.sparse.csr_array,
    seconds: Int64,
    half_life: float,
    weights: Float64 | None = None,
    *,
    by_visits: bool = True,
) -> Float64:
    """Return how popular items are of late, float64, shape (items,).

        P_i = s·Σ_u v_ui·w_ui·x_ui / Σ_u max_j w_uj,  w = 2^(−a/h),  v = n^(−0.3)

    a is the share of all ratings that were made later: on no set need anybody know whether tastes move by
    days or by years. n is how many ratings of the person's were made in the same visit; s = Σwx/Σvwx leaves
    Σ P_i as it is without v. The denominator counts people as far as they are still there.

    Parameters
    ----------
    x
        Interactions, sparse float64, shape (users, items).
    seconds
        When each was, in the order of `x.data`, int64, shape (ratings,).
    half_life
        h: the share of all ratings after which one counts half.
    weights
        What w is multiplied with, as in `popularity_of`, shape (ratings,).
    by_visits
        Whether v is as said, or 1: who clicks much in a visit chooses all of it now.
    """
    by_time = np.argsort(seconds)
    # float32 hides in what two CPUs' powers differ
    decays = np.exp2(-later_ones(seconds, by_time) / (half_life * max(len(seconds), 1))).astype(np.float32)
    recent = decays.astype(np.float64)
    recent = recent if weights is None else recent * weights
    popularity = _popularity(x, recent, 0)
    if not by_visits:
        return popularity
    sizes = visit_sizes(x.indptr.astype(np.int64), seconds, by_time)
    of_visits = (sizes**-VISIT_EXPONENT).astype(np.float32).astype(np.float64)
    by_visit = _chosen(x, recent * of_visits)
    total = float(by_visit.sum())
    return by_visit * (float(popularity.sum()) / total) if total > 0 else popularity


def visit_sizes(indptr: Int64, seconds: Int64, by_time: Int64) -> Int64:
    """Return how many ratings their user made in the same visit, int64, shape (ratings,).

    A visit ends with `VISIT_PAUSE` without a rating.

    Parameters
    ----------
    indptr
        Where each user's ratings begin, int64, shape (users + 1,).
    seconds
        When each rating was, int64, shape (ratings,).
    by_time
        Their places in an order in which these ascend, int64, shape (ratings,).
    """
    owners = np.repeat(np.arange(len(indptr) - 1, dtype=np.int32), np.diff(indptr))
    # user by user: a sort by counting, which a change of compressed form is
    ascending = scipy.sparse.csr_array(
        (by_time, owners[by_time], np.arange(len(seconds) + 1)), shape=(len(seconds), len(indptr) - 1)
    )
    places = ascending.tocsc().data
    begins = np.ones(len(seconds), np.bool_)
    begins[1:] = np.diff(seconds[places]) > VISIT_PAUSE
    begins[indptr[:-1][np.diff(indptr) > 0]] = True
    sizes = np.empty(len(seconds), np.int64)
    n = np.diff(np.flatnonzero(begins), append=len(seconds))
    sizes[places] = np.repeat(n, n)
    return sizes


def later_ones(seconds: Int64, by_time: Int64) -> Int64:
    """Return how many of some times are later than each of them, int64, shape (times,) as both arguments.

    `by_time` are their places in an order in which they ascend: a search for each takes much longer.
    """
    ordered = seconds[by_time]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)[: len(ordered)]) + 1
    later = np.empty(len(seconds), np.int64)
    later[by_time] = np.repeat(len(seconds) - ends, np.diff(ends, prepend=0))
    return later


def row_weights(x: scipy.sparse.csr_array, weights: Float64) -> Float64:
    """Return what each user with ratings counts as, the most that a rating of theirs does, (such users,)."""
    rated = np.flatnonzero(np.diff(x.indptr))
    most: Float64 = np.maximum.reduceat(weights, x.indptr[rated]) if len(rated) else np.empty(0)
    return most


def _popularity(x: scipy.sparse.csr_array, weights: Float64, absent: int) -> Float64:
    """Return P, of so many people beside those with ratings."""
    people = float(np.sum(row_weights(x, weights))) + absent
    popularity: Float64 = _chosen(x, weights) / max(people, np.finfo(np.float64).tiny)
    return popularity


def _chosen(x: scipy.sparse.csr_array, weights: Float64) -> Float64:
    """Return what all users' interactions with each item come to, Σ_u w_ui·x_ui, shape (items,)."""
    return np.bincount(x.indices, weights * x.data, minlength=x.shape[1]).astype(np.float64)
