"""Drift of levels and tastes: items over all their ratings, users from sitting to sitting."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from daskals.analysis.anomalies.ratings import Rated
from daskals.analysis.anomalies.sittings import Sittings
from daskals.kernels.statistics.permutation import block_moves
from daskals.kernels.toolkit.random import STREAM_MOVES_LEVEL, STREAM_MOVES_TASTE, key_of
from daskals.types import Float64, Int64

LEAST_ITEM_RATINGS = 20
LEAST_SITTINGS = 12
"""Sittings that a user's test takes: of eight, one order in 35 parts them into the same halves."""
ORDERS_A_TEST = 40
"""Random orders for each user tested: enough for one user alone to stand out at a level of 0.05."""
MOST_ORDERS = 100_000
_DISCRETE = 0.5826
"""Siegmund's correction: a sum over n steps stays this many steps' deviations below its continuous limit."""


class Moves(NamedTuple):
    """Whether the level of rows moved over time.

    Attributes
    ----------
    p_values
        float64, shape (rows,); NaN where it cannot be decided.
    counts
        Ratings, or sittings, that the test had.
    before, after
        Mean residual before and after the moment at which the sums turn, in stars; NaN where not tested.
    since
        That moment, seconds since 1970; 0 where not tested.
    """

    p_values: Float64
    counts: Int64
    before: Float64
    after: Float64
    since: Int64


def drifting_items(rated: Rated, n_items: int) -> Moves:
    """Test each item's residuals in order of time with a CUSUM.

    max over k of |S_k − k/n·S_n|/(s√n) against the supremum of a Brownian bridge (Kolmogorov's law), S_k the
    sum of the first k residuals and s their standard deviation.
    """
    assert rated.times is not None
    order = np.lexsort((rated.times, rated.items))
    e = rated.residuals[order].astype(np.float64)
    counts = np.bincount(rated.items, minlength=n_items)
    starts = np.concatenate([[0], np.cumsum(counts)])
    moves = _undecided(counts)
    for item in np.flatnonzero(counts >= LEAST_ITEM_RATINGS):
        own = e[starts[item] : starts[item + 1]]
        n = len(own)
        sums = np.abs(np.cumsum(own - own.mean()))[:-1]
        turn = int(np.argmax(sums)) + 1
        deviation = max(float(own.std()), 1e-12)
        found = sums[turn - 1] / (deviation * np.sqrt(n))
        moves.p_values[item] = stats.kstwobign.sf(found + _DISCRETE / np.sqrt(n)) if found else 1.0
        moves.before[item], moves.after[item] = own[:turn].mean(), own[turn:].mean()
        moves.since[item] = rated.times[order[starts[item] + turn]]
    return moves


def moving_levels(rated: Rated, sittings: Sittings, seed: int) -> Moves:
    """Test whether a user's residuals keep one level over the sittings: a CUSUM, by permuting sittings."""
    e = rated.residuals[sittings.order].astype(np.float64)
    return _moves(rated, sittings, e[:, None], seed, STREAM_MOVES_LEVEL)


def moving_tastes(rated: Rated, sittings: Sittings, x: Float64, seed: int) -> Moves:
    """Test whether a user's taste keeps its place over the sittings.

    The scores Σ x·e of a person's regression are summed over time (Nyblom 1989), the residuals of each
    sitting less their mean: a level that moves is another finding. `x` are
    the item vectors, shape (ratings, rank).
    """
    e = rated.residuals[sittings.order].astype(np.float64)
    sums = np.add.reduceat(e, sittings.bounds[:-1]) if len(e) else e
    e = e - np.repeat(sums / np.maximum(sittings.sizes, 1), sittings.sizes)
    scores = x[rated.items[sittings.order]] * e[:, None]
    return _moves(rated, sittings, scores, seed, STREAM_MOVES_TASTE)


def _moves(rated: Rated, sittings: Sittings, values: Float64, seed: int, stream: int) -> Moves:
    assert rated.times is not None
    per_user = sittings.per_user
    moves = _undecided(per_user)
    rows = np.flatnonzero(per_user >= LEAST_SITTINGS)
    if not len(rows):
        return moves
    sums = np.add.reduceat(values, sittings.bounds[:-1], axis=0)
    own = np.concatenate([np.arange(sittings.starts[row], sittings.starts[row + 1]) for row in rows])
    starts = np.concatenate([[0], np.cumsum(per_user[rows])])
    orders = min(ORDERS_A_TEST * len(rows), MOST_ORDERS)
    key = key_of(seed, stream)
    _, places, moves.p_values[rows] = block_moves(
        key, starts, sums[own], sittings.sizes[own].astype(np.float64), orders
    )
    e = rated.residuals[sittings.order].astype(np.float64)
    times = rated.times[sittings.order]
    for row, place in zip(rows, places, strict=True):
        first = sittings.bounds[sittings.starts[row]]
        turn = sittings.bounds[sittings.starts[row] + max(int(place), 1)]
        last = sittings.bounds[sittings.starts[row + 1]]
        moves.before[row], moves.after[row] = e[first:turn].mean(), e[turn:last].mean()
        moves.since[row] = times[turn]
    return moves


def _undecided(counts: Int64) -> Moves:
    nothing = np.full(len(counts), np.nan)
    return Moves(nothing, counts, nothing.copy(), nothing.copy(), np.zeros(len(counts), np.int64))
