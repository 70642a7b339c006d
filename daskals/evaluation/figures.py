"""Figures of ranked lists: of each user, and over all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from daskals.kernels.scoring.topk import SeenItems
from daskals.types import Float32, Float64, Int32, Int64


class UserFigures(NamedTuple):
    """Figures of each user at K, float64, shape (users,).

    Attributes
    ----------
    precision
        Relevant among K (paper 2, Eq. 8).
    recall
        Share of the relevant items that are listed (Eq. 9); this and the following but the last are NaN
        without a relevant item.
    recall_capped
        The same as a share of min(K, relevant items), as papers on variational autoencoders have it.
    ndcg
        Gain discounted by log₂(1 + place) over the best possible.
    map
        Average precision over the best possible number of hits.
    mrr
        One over the place of the first hit; 0 without.
    hit_rate
        1 with a hit, else 0.
    distance
        Mean of 1 − cosine over the pairs of a list; NaN with fewer than two items, or without traits.
    """

    precision: Float64
    recall: Float64
    recall_capped: Float64
    ndcg: Float64
    map: Float64
    mrr: Float64
    hit_rate: Float64
    distance: Float64


@dataclass(frozen=True)
class RankingFigures:
    """Means over users, at K.

    Attributes
    ----------
    precision, recall, recall_capped, ndcg, map, mrr, hit_rate
        As `UserFigures`; recall and all after it over users with a relevant item.
    distance
        Mean distance in a list; None where no list has one.
    coverage
        Share of all items that are on anybody's list.
    gini
        Gini coefficient of how often each item is listed: 0 is all alike, near 1 a few for everybody.
    novelty
        Mean −log₂ of the share of users who rated a listed item in training.
    """

    precision: float
    recall: float
    recall_capped: float
    ndcg: float
    map: float
    mrr: float
    hit_rate: float
    distance: float | None
    coverage: float
    gini: float
    novelty: float


def user_figures(lists: Int32, relevant: SeenItems, traits: Float32 | None = None) -> UserFigures:
    """Compare lists with what each user likes.

    Parameters
    ----------
    lists
        int32, shape (users, k), the best first, −1 behind the end of one that is short.
    relevant
        Relevant items of the same users.
    traits
        float32, shape (items, traits), rows of length 1 or 0: what distance in a list is measured by.
    """
    k = lists.shape[1]
    hits = _mark_hits(lists, relevant)
    n_relevant = np.diff(relevant.indptr)
    best = np.minimum(n_relevant, k)
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])[best]
    running = np.cumsum(hits, axis=1) / np.arange(1, k + 1)
    first = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        return UserFigures(
            precision=hits.sum(axis=1) / k,
            recall=hits.sum(axis=1) / n_relevant,
            recall_capped=hits.sum(axis=1) / best,
            ndcg=(hits * discounts).sum(axis=1) / ideal,
            map=(hits * running).sum(axis=1) / best,
            mrr=np.where(n_relevant > 0, 1.0 / first, np.nan),
            hit_rate=np.where(n_relevant > 0, hits.any(axis=1), np.nan),
            distance=_distances(lists, traits),
        )


def list_figures(users: UserFigures, lists: Int32, popularity: Int64, n_users: int) -> RankingFigures:
    """Average the users' figures, and find what the lists say together.

    Parameters
    ----------
    users
        Figures of each user.
    lists
        int32, shape (users, k).
    popularity
        int64, shape (items,): training ratings of each item.
    n_users
        Users with training ratings.
    """
    listed = lists[lists >= 0]
    known = np.maximum(popularity[listed], 1) / n_users
    own = users._asdict()
    distance = own.pop("distance")
    return RankingFigures(
        **{name: float(np.nanmean(values)) for name, values in own.items()},
        distance=None if np.isnan(distance).all() else float(np.nanmean(distance)),
        coverage=len(np.unique(listed)) / len(popularity),
        gini=gini(np.bincount(listed, minlength=len(popularity))),
        novelty=float(np.mean(-np.log2(known))),
    )


def gini(counts: Int64) -> float:
    """Return the Gini coefficient of counts, int64, shape (items,); 0 where all are 0."""
    ascending = np.sort(counts).astype(np.float64)
    n, total = len(counts), ascending.sum()
    if total == 0:
        return 0.0
    return float(np.sum((2 * np.arange(1, n + 1) - n - 1) * ascending) / (n * total))


def _mark_hits(lists: Int32, relevant: SeenItems) -> NDArray[np.bool_]:
    n_items = int(max(lists.max(initial=0), relevant.indices.max(initial=0))) + 1
    rows = np.repeat(np.arange(len(lists), dtype=np.int64), np.diff(relevant.indptr))
    wanted = rows * n_items + relevant.indices
    listed = np.arange(len(lists), dtype=np.int64)[:, None] * n_items + lists
    return np.isin(listed, wanted) & (lists >= 0)


def _distances(lists: Int32, traits: Float32 | None) -> Float64:
    """Return each list's mean of 1 − cosine over pairs; an item without traits is at distance 1 of all."""
    found = np.full(len(lists), np.nan)
    if traits is None:
        return found
    for user, row in enumerate(lists):
        listed = traits[row[row >= 0]].astype(np.float64)
        n = len(listed)
        if n > 1:
            # Σ over pairs of cosines: the square of the sum less the sum of the squares
            total = listed.sum(axis=0)
            found[user] = 1.0 - (total @ total - np.sum(listed * listed)) / (n * (n - 1))
    return found
