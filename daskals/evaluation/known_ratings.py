"""Ratings of one or more parts of a split, by user."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from daskals.model.training_ratings import runs, starts_of
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split, load_block
from daskals.types import FOLD_IN, TRAIN, Float32, Int32, Int64, RatingsBlock


class Ratings(NamedTuple):
    """Ratings by user.

    Attributes
    ----------
    indptr
        int64, shape (users + 1,).
    items
        int32, shape (ratings,): rows of items.
    ratings
        float32, shape (ratings,).
    n_items
        Number of items.
    """

    indptr: Int64
    items: Int32
    ratings: Float32
    n_items: int

    @property
    def n_users(self) -> int:
        """Number of users, rated or not."""
        return len(self.indptr) - 1

    @property
    def users(self) -> Int64:
        """Row of each rating's user, int64, shape (ratings,)."""
        return self.block().owners

    def block(self) -> RatingsBlock:
        """Return the ratings of all users as a block."""
        return RatingsBlock(0, self.indptr, self.items, self.ratings, np.empty(0, np.float32))

    def of_users(self, rows: Int64) -> Ratings:
        """Return the ratings of some users, by place: `rows` is int64, shape (users,)."""
        counts = self.indptr[rows + 1] - self.indptr[rows]
        places = runs(self.indptr[rows], counts)
        return Ratings(starts_of(counts), self.items[places], self.ratings[places], self.n_items)


def read_part(store: RatingsStore, split: Split, part: int) -> Ratings:
    """Read the ratings of one part."""
    block = load_block(str(store.path), "user", 0, store.n_users, split.key, part)
    return Ratings(block.indptr, block.indices, block.ratings, store.n_items)


def read_known(store: RatingsStore, split: Split) -> Ratings:
    """Read what is known of each user: the training ratings, and those that fold a held-out user in."""
    train = read_part(store, split, TRAIN)
    if not split.n_fold_in:
        return train
    folded = read_part(store, split, FOLD_IN)
    # held-out users have no training rating, so that a stable sort by user keeps items ascending
    order = np.argsort(np.concatenate([train.users, folded.users]), kind="stable")
    return Ratings(
        train.indptr + folded.indptr,
        np.concatenate([train.items, folded.items])[order],
        np.concatenate([train.ratings, folded.ratings])[order],
        store.n_items,
    )
