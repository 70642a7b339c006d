"""Baselines of a ranking: orders that know no taste, item neighbourhoods, and EASE."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import psutil
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from daskals.evaluation.ease import MOST_ITEMS, ease_bytes, ease_weights, items_that_fit
from daskals.evaluation.item_neighbours import neighbour_weights
from daskals.evaluation.known_ratings import Ratings
from daskals.evaluation.scorers import BatchScorer, Ranker, Scorer
from daskals.types import Float32, Float64, Int64

Tell = Callable[[str], None]

_PASSES = 20
"""Turns of users and items in which the biases settle."""


class Baseline(NamedTuple):
    """What baselines learn from, and whom they rank for.

    Attributes
    ----------
    train
        The training ratings.
    known
        What is known of each user: the training ratings, and what was folded in.
    relevant_from
        Lowest rating that counts as liked.
    ridge
        γ/λ of the model of biases.
    """

    train: Ratings
    known: Ratings
    relevant_from: float
    ridge: float


def baseline_scorers(data: Baseline) -> list[Scorer]:
    """Return the scorers that know no taste: popularity, liked-count, and a model of biases alone."""
    train = data.train
    liked = train.ratings >= np.float32(data.relevant_from)
    return [
        _constant("popularity", train, np.bincount(train.items, minlength=train.n_items)),
        _constant("liked-count", train, np.bincount(train.items[liked], minlength=train.n_items)),
        _constant("bias-only", train, _item_biases(train, data.ridge)),
    ]


def neighbour_scorers(
    data: Baseline, tell: Tell = lambda _: None, memory_bytes: int | None = None
) -> list[Ranker]:
    """Return item-kNN and, where the items fit, EASE; both count every rating as 1.

    Parameters
    ----------
    data
        The ratings.
    tell
        Called with the memory EASE takes before it starts, or with why it is left out.
    memory_bytes
        Memory that may be used; what this machine has free if absent.
    """
    train = data.train
    rated = np.unique(train.items).astype(np.int64)
    matrix, known = _of_ones(train)[:, rated], _of_ones(data.known)[:, rated]
    found: list[Ranker] = [_linear("item-kNN", known, neighbour_weights(matrix).T, rated, train.n_items)]
    free = psutil.virtual_memory().available if memory_bytes is None else memory_bytes
    fit = items_that_fit(free)
    if len(rated) > fit:
        tell(
            f"EASE is left out: {len(rated):,} items have training ratings, and {fit:,} fit "
            + (f"({free / 2**30:.1f} GiB are free)" if fit < MOST_ITEMS else "(the most it is computed for)")
        )
        return found
    tell(f"EASE of {len(rated):,} items takes {ease_bytes(len(rated)) / 2**30:.2f} GiB of memory")
    return [*found, _linear("EASE", known, ease_weights(matrix), rated, train.n_items)]


def _of_ones(ratings: Ratings) -> csr_matrix:
    ones = np.ones(len(ratings.items), np.float64)
    return csr_matrix((ones, ratings.items, ratings.indptr), shape=(ratings.n_users, ratings.n_items))


def _linear(name: str, known: csr_matrix, weights: Any, rated: Int64, n_items: int) -> BatchScorer:
    """Score by X·weights; items without a training rating score 0."""

    def scores(users: Int64) -> Float32:
        product = known[users] @ weights
        dense = product.toarray() if hasattr(product, "toarray") else product
        found = np.zeros((len(users), n_items), np.float32)
        found[:, rated] = dense
        return found

    return BatchScorer(name, scores, n_items)


def _item_biases(train: Ratings, ridge: float) -> Float64:
    """Fit r ≈ μ + b_u + b_i by alternating ridge means (paper 1, Eq. 4-5)."""
    users, items = train.users, train.items
    residuals = train.ratings.astype(np.float64)
    residuals -= residuals.mean()
    n_user, n_item = (
        np.bincount(x, minlength=n) for x, n in ((users, train.n_users), (items, train.n_items))
    )
    b_item = np.zeros(train.n_items)
    for _ in range(_PASSES):
        # a row without ratings divides 0 by a ridge that may be 0
        b_user = np.bincount(users, residuals - b_item[items], train.n_users) / np.maximum(
            n_user + ridge, np.finfo(float).tiny
        )
        b_item = np.bincount(items, residuals - b_user[users], train.n_items) / np.maximum(
            n_item + ridge, np.finfo(float).tiny
        )
    return b_item


def _constant(name: str, train: Ratings, offsets: NDArray[Any]) -> Scorer:
    nobody, nothing = np.zeros((train.n_users, 1), np.float32), np.zeros((train.n_items, 1), np.float32)
    return Scorer(name, nobody, nothing, offsets.astype(np.float32))
