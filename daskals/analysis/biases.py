"""Biases of a store's ratings, r ≈ μ + b_u + b_i, from its columns a range at a time, without a training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from daskals.analysis.counting import RATINGS_AT_ONCE, ratings_of
from daskals.fitting.baseline import RIDGE
from daskals.store.reader import RatingsStore
from daskals.types import SIDES, Float64, Int64, Side

PASSES = 6
"""Over both sides: by then biases move by less than a figure shows."""


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
    mean = sum(float(piece.ratings.sum()) for piece in slices(store, "user")) / store.n_ratings
    found: dict[Side, Float64] = {"user": np.zeros(store.n_users), "item": np.zeros(store.n_items)}
    for _ in range(PASSES):
        for side in SIDES:
            sums, counts = np.zeros(store.n_rows(side)), np.diff(store.indptr(side))
            theirs = found["item" if side == "user" else "user"]
            for piece in slices(store, side):
                sums += np.bincount(piece.own, piece.ratings - mean - theirs[piece.other], len(sums))
            found[side] = sums / (counts + RIDGE)
    return Biases(mean, found["user"], found["item"])


def slices(store: RatingsStore, side: Side) -> Iterator[Slice]:
    """Go through a side's ratings, some millions at a time."""
    indptr = store.indptr(side)
    for first in range(0, store.n_ratings, RATINGS_AT_ONCE):
        last = min(first + RATINGS_AT_ONCE, store.n_ratings)
        yield Slice(
            first,
            last,
            np.searchsorted(indptr, np.arange(first, last), side="right") - 1,
            store.read_column(side, "indices", first, last).astype(np.int64),
            ratings_of(store.read_column(side, "values", first, last), store.scale),
        )
