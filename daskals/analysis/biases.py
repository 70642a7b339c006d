"""Biases of a store's ratings, r ≈ μ + b_u + b_i, from its columns a range at a time, without a training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from daskals.analysis.counting import RATINGS_AT_ONCE, ratings_of
from daskals.fitting.baseline import RIDGE
from daskals.store.reader import RatingsStore
from daskals.types import SIDES, Float64, Int64, Side

MOST_PASSES, SETTLED = 60, 1e-3
"""Passes over both sides; share of the ratings' deviation by which items' biases may move at the end."""


class Slice(NamedTuple):
    """Ratings [first, last) of a side's order.

    `own`, `other`: the row of each, and that of the other side, int64; `ratings`: float64. All have shape
    (ratings,).
    """

    first: int
    last: int
    own: Int64
    other: Int64
    ratings: Float64


class Biases(NamedTuple):
    """μ, b_u, shape (users,), and b_i, shape (items,), float64."""

    mean: float
    user: Float64
    item: Float64

    def left(self, piece: Slice) -> Float64:
        """Return what is left of ratings of the users' order, float64, shape (ratings,)."""
        return piece.ratings - self.mean - self.user[piece.own] - self.item[piece.other]


def fit_biases(store: RatingsStore) -> Biases:
    """Fit biases by ridge means in turn (paper 1, Eq. 4-5). Raises StoreError if the store is damaged."""
    total = squares = 0.0
    for piece in slices(store, "user"):
        total += float(piece.ratings.sum())
        squares += float(np.sum(piece.ratings**2))
    mean, n = total / store.n_ratings, store.n_ratings
    settled = SETTLED**2 * max(squares / n - mean**2, 0.0)
    counts: dict[Side, Int64] = {side: np.diff(store.indptr(side)) for side in SIDES}
    found: dict[Side, Float64] = {side: np.zeros(len(counts[side])) for side in SIDES}
    for _ in range(MOST_PASSES):
        before = found["item"]
        for side in SIDES:
            theirs = found["item" if side == "user" else "user"]
            sums = np.zeros(len(counts[side]))
            for piece in slices(store, side):
                sums += np.bincount(piece.own, piece.ratings - mean - theirs[piece.other], len(sums))
            found[side] = sums / (counts[side] + RIDGE)
        if counts["item"] @ (found["item"] - before) ** 2 <= settled * n:
            break
    return Biases(mean, found["user"], found["item"])


def slices(store: RatingsStore, side: Side) -> Iterator[Slice]:
    """Go through a side's ratings, some millions at a time."""
    indptr, rows = store.indptr(side), np.arange(store.n_rows(side))
    for first in range(0, store.n_ratings, RATINGS_AT_ONCE):
        last = min(first + RATINGS_AT_ONCE, store.n_ratings)
        yield Slice(
            first,
            last,
            np.repeat(rows, np.diff(indptr.clip(first, last))),
            store.read_column(side, "indices", first, last).astype(np.int64),
            ratings_of(store.read_column(side, "values", first, last), store.scale),
        )
