"""Scorers: what orders a user's candidates, by factors or by any scores of a batch of users."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from daskals.kernels.scoring.dense import top_of_scores
from daskals.kernels.scoring.topk import SeenItems, pack_items, top_items
from daskals.types import Float32, Int32, Int64

BATCH_BYTES = 1 << 26
"""Size of a batch's scores."""


class Ranker(Protocol):
    """Something that lists the best items of users."""

    @property
    def name(self) -> str:
        """What reports call it."""

    def best(self, users: Int64, seen: SeenItems, k: int) -> Int32:
        """List the k best items of each user that are not seen, equal scores by row, −1 behind the end.

        Parameters
        ----------
        users
            int64, shape (users,): rows.
        seen
            Their items that must not be listed.
        k
            Length of a list.

        Returns
        -------
        int32, shape (users, k): rows of items.
        """


class Scorer(NamedTuple):
    """Orders by user·item + offset; what a user adds to all items does not matter.

    Attributes
    ----------
    name
        What reports call it.
    users, items
        float32, shape (rows, factors).
    offsets
        float32, shape (items,).
    """

    name: str
    users: Float32
    items: Float32
    offsets: Float32

    def best(self, users: Int64, seen: SeenItems, k: int) -> Int32:
        """List the best items of some users (int64 rows), int32, shape (users, k); see `Ranker`."""
        return top_items(pack_items(self.items, self.offsets), self.users[users], k, seen).items


class BatchScorer(NamedTuple):
    """Orders by scores that a function finds for a batch of users.

    Attributes
    ----------
    name
        What reports call it.
    scores
        Takes int64 rows of users, returns float32, shape (users, items).
    n_items
        Number of items.
    """

    name: str
    scores: Callable[[Int64], Float32]
    n_items: int

    def best(self, users: Int64, seen: SeenItems, k: int) -> Int32:
        """List the best items of some users (int64 rows), int32, shape (users, k); see `Ranker`."""
        lists = np.empty((len(users), k), np.int32)
        size = max(1, BATCH_BYTES // (4 * self.n_items))
        for start in range(0, len(users), size):
            stop = min(start + size, len(users))
            own = seen.of_users(start, stop)
            lists[start:stop] = top_of_scores(self.scores(users[start:stop]), k, own).items
        return lists
