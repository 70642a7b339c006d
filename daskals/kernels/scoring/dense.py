"""Best items of each user of a batch whose scores were found elsewhere, as a matrix."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from daskals.kernels.scoring.best import select
from daskals.kernels.scoring.topk import NOTHING, SeenItems, TopItems
from daskals.kernels.toolkit.jit import exact_jit
from daskals.types import Float32, Int32, Int64


@exact_jit
def _select_dense(
    scores: Float32,
    indptr: Int64,
    seen: Int32,
    allowed: NDArray[np.bool_],
    best_scores: Float32,
    best: Int32,
) -> None:
    left = allowed.copy()
    for user in range(len(scores)):
        own = seen[indptr[user] : indptr[user + 1]]
        for item in own:
            left[item] = False
        select(scores[user], left, best_scores[user], best[user])
        for item in own:
            left[item] = allowed[item]


def top_of_scores(
    scores: Float32, n: int, seen: SeenItems | None = None, allowed: NDArray[np.bool_] | None = None
) -> TopItems:
    """Select each user's n best items; equal scores are ordered by the item's row.

    Parameters
    ----------
    scores
        float32, shape (users, items); an item with −∞ or NaN is not listed.
    n
        Length of a list.
    seen
        Items that a user must not be given; none if absent.
    allowed
        Items that may be listed at all, bool, shape (items,); all if absent.
    """
    n_users = len(scores)
    none = SeenItems(np.zeros(n_users + 1, np.int64), np.empty(0, np.int32))
    indptr, indices = none if seen is None else seen
    best_scores = np.full((n_users, n), -np.inf, np.float32)
    best = np.full((n_users, n), NOTHING, np.int32)
    if allowed is None:
        allowed = np.ones(scores.shape[1], np.bool_)
    _select_dense(np.ascontiguousarray(scores, np.float32), indptr, indices, allowed, best_scores, best)
    return TopItems(best, best_scores)
