"""Best items of each user of a batch whose scores were found elsewhere, as a matrix."""

from __future__ import annotations

import numpy as np

from daskals.kernels.scoring.best import offer, sort_heap
from daskals.kernels.scoring.topk import NOTHING, SeenItems, TopItems
from daskals.kernels.toolkit.jit import exact_jit
from daskals.types import Float32, Int32, Int64


@exact_jit
def _select_dense(scores: Float32, indptr: Int64, seen: Int32, best_scores: Float32, best: Int32) -> None:
    n_users, n_items = scores.shape
    taken = np.zeros(n_items, np.bool_)
    for user in range(n_users):
        own = seen[indptr[user] : indptr[user + 1]]
        for item in own:
            taken[item] = True
        size = 0
        for item in range(n_items):
            score = scores[user, item]
            if not taken[item] and score > -np.inf:  # false for NaN too: what has no score is not listed
                size = offer(best_scores[user], best[user], size, score, item)
        sort_heap(best_scores[user], best[user], size)
        for item in own:
            taken[item] = False


def top_of_scores(scores: Float32, n: int, seen: SeenItems | None = None) -> TopItems:
    """Select each user's n best items; equal scores are ordered by the item's row.

    Parameters
    ----------
    scores
        float32, shape (users, items); an item with −∞ or NaN is not listed.
    n
        Length of a list.
    seen
        Items that a user must not be given; none if absent.
    """
    n_users = len(scores)
    none = SeenItems(np.zeros(n_users + 1, np.int64), np.empty(0, np.int32))
    indptr, indices = none if seen is None else seen
    best_scores = np.full((n_users, n), -np.inf, np.float32)
    best = np.full((n_users, n), NOTHING, np.int32)
    _select_dense(np.ascontiguousarray(scores, np.float32), indptr, indices, best_scores, best)
    return TopItems(best, best_scores)
