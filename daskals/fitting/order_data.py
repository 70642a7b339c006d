"""What an order of lists is learnt from: training ratings as interactions, and what each counts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse

from daskals.config import TrainConfig
from daskals.fitting.recency import row_weights
from daskals.model.fitted import Model
from daskals.model.order.learnt import interactions
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split, load_block
from daskals.store.weighing import load_weighed, weighing_of
from daskals.types import TRAIN, Float64, Int64, RatingsBlock


class OrderData(NamedTuple):
    """What an order is learnt from.

    Attributes
    ----------
    x
        Interactions, sparse float64, shape (users, items).
    genres
        Which genres an item is of, float64, shape (items, genres).
    counts
        Training ratings of each item, int64, shape (items,).
    popularity
        How popular each item is, float64, shape (items,); the mean interaction over all users if None.
    weights
        What each interaction counts, in the order of `x.data`, float64, shape (ratings,); None where each
        counts once.
    """

    x: scipy.sparse.csr_array
    genres: Float64
    counts: Int64
    popularity: Float64 | None = None
    weights: Float64 | None = None

    @property
    def weighed(self) -> scipy.sparse.csr_array:
        """Interactions as items are regressed on one another by them, sparse, shape (users, items)."""
        if self.weights is None:
            return self.x
        values = self.x.data * np.sqrt(self.weights)
        return scipy.sparse.csr_array((values, self.x.indices, self.x.indptr), shape=self.x.shape)

    def counting(self, unliked: float) -> OrderData:
        """Return the same where what is not liked counts `unliked`, more than 0 and less than 1."""
        values = np.where(self.x.data == 1.0, 1.0, unliked)
        return self._replace(x=scipy.sparse.csr_array((values, self.x.indices, self.x.indptr), self.x.shape))

    @property
    def people(self) -> Float64:
        """How many users each row of `x` counts as, float64, shape (users,)."""
        people = np.ones(self.x.shape[0])
        if self.weights is not None:
            people[np.diff(self.x.indptr) > 0] = row_weights(self.x, self.weights)
        return people


def gather_interactions(
    block: RatingsBlock, n_items: int, genres: Float64, limits: tuple[float, float], unliked: float
) -> OrderData:
    """Turn the training ratings of all users into what an order is learnt from.

    Parameters
    ----------
    block
        All users' training ratings, with their weights where they do not count once each.
    n_items
        All items.
    genres
        Shape (items, genres).
    limits
        Of the rating scale.
    unliked
        See `OrderSettings`.
    """
    values = interactions(block.ratings, limits, unliked).astype(np.float64)
    x = scipy.sparse.csr_array((values, block.indices, block.indptr), shape=(block.n_rows, n_items))
    weights = None if block.weights is None else block.weights.astype(np.float64)
    counts = np.bincount(block.indices, minlength=n_items).astype(np.int64)
    return OrderData(x, genres, counts, weights=weights)


def read_training_block(model: Model, store: RatingsStore, split: Split, config: TrainConfig) -> RatingsBlock:
    """Return all users' training ratings, with their weights where they do not count once each.

    Parameters
    ----------
    model
        A model that may carry them.
    store, split, config
        All ratings, which of them train, and how old ones weigh.
    """
    everybody = (0, store.n_users)
    weighing = weighing_of(store, split, config.half_life)
    if weighing is not None:
        return load_weighed(store, "user", everybody, split, weighing)
    if model.kept is None or split.n_fold_in:  # what only folds people in must teach nothing
        return load_block(str(store.path), "user", *everybody, split.key, TRAIN)
    return model.kept.block
