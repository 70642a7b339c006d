"""Ratings drawn from a planted model, and the times at which they were given.

Every rating draws from its user's key, so users may be drawn in any order, by any number of threads.
Only integer operations and + - * / sqrt decide: the same ratings on every CPU.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from daskals.kernels.toolkit.jit import exact_jit
from daskals.kernels.toolkit.random import normal_at, random_bits, row_key
from daskals.types import Float32, Float64, Int32, Int64

DAY = 86_400
RATINGS_A_SESSION = 40
SESSION_SECONDS = 5_400
MAX_SESSION_GAP_DAYS = 60


class Planted(NamedTuple):
    """The model that ratings are drawn from: r = μ + b_u + b_i + p_u·q_i + noise.

    Attributes
    ----------
    mean
        μ.
    user_biases, item_biases
        float64, shapes (users,) and (items,).
    user_factors, item_factors
        float64, shapes (users, rank) and (items, rank).
    noise
        Standard deviation of the noise, before rounding.
    """

    mean: float
    user_biases: Float64
    item_biases: Float64
    user_factors: Float64
    item_factors: Float64
    noise: float


@exact_jit
def draw_half_stars(
    key: np.uint64, planted: Planted, indptr: Int64, first: int, stop: int, items: Int32, out: Float32
) -> None:
    """Draw the ratings of users `first` to `stop`, rounded to half-stars and clipped to 0.5 … 5.

    Parameters
    ----------
    key
        Key of a stream; a user draws from the user's row, the n-th rating from column n.
    planted, indptr
        The model; int64, shape (users + 1,): each user's place among the entries.
    first, stop
        The users to draw, those of this call.
    items, out
        int32, shape (entries,); float32, shape (entries,): receives the ratings.
    """
    rank = planted.user_factors.shape[1]
    for user in range(first, stop):
        of_user = row_key(key, user)
        start = indptr[user]
        level = planted.mean + planted.user_biases[user]
        for entry in range(start, indptr[user + 1]):
            item = items[entry]
            rating = level + planted.item_biases[item] + planted.noise * normal_at(of_user, entry - start)
            for k in range(rank):
                rating += planted.user_factors[user, k] * planted.item_factors[item, k]
            out[entry] = min(max(math.floor(2.0 * rating + 0.5), 1.0), 10.0) * 0.5


@exact_jit
def draw_timestamps(
    key: np.uint64, span: tuple[int, int], indptr: Int64, first: int, stop: int, out: Int64
) -> None:
    """Draw when users `first` to `stop` rated: users arrive over the span, and rate in sessions.

    A user has one session and one more for every 40 ratings, spread over the time from arrival on; each
    rating falls into one of them, within 90 minutes of its start.

    Parameters
    ----------
    key
        Key of a stream; a user draws from the user's row.
    span
        First and last second at which a session may start, seconds since 1970.
    indptr
        int64, shape (users + 1,): each user's place among the entries.
    first, stop
        The users to draw, those of this call.
    out
        int64, shape (entries,): receives the seconds since 1970.
    """
    earliest, latest = span
    for user in range(first, stop):
        of_user = row_key(key, user)
        start = indptr[user]
        n_ratings = indptr[user + 1] - start
        n_sessions = 1 + n_ratings // RATINGS_A_SESSION
        arrival = earliest + _below(of_user, 0, latest - earliest)
        gap = (1 + _below(of_user, 1, MAX_SESSION_GAP_DAYS)) * DAY
        gap = min(gap, (latest - arrival) // n_sessions)
        for n in range(n_ratings):
            session = _below(of_user, 2 + 2 * n, n_sessions)
            out[start + n] = arrival + gap * session + _below(of_user, 3 + 2 * n, SESSION_SECONDS)


@exact_jit
def _below(key: np.uint64, column: int, limit: int) -> int:
    # an integer from 0 to limit - 1, even but for one part in 2³¹ at the limits used here
    return int(random_bits(key, column) >> np.uint64(1)) % limit
