"""How good lists of similar items are: whether neighbours of one thing liked are liked.

Each test user is known by one liked item of training at a time, or of what folds a held-out user in. The list
is of that item's neighbours, without what is known of the user, and is to hold the user's relevant held-out
items.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from daskals.errors import DataError
from daskals.evaluation.figures import user_figures
from daskals.evaluation.known_ratings import read_known
from daskals.evaluation.ranking import make_task
from daskals.kernels.scoring.topk import SeenItems
from daskals.model.fitted import Model
from daskals.model.neighbours import Neighbours
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split
from daskals.types import Float64, Int32

LENGTH = 10
MOST_USERS = 500
MOST_ITEMS = 20
"""Items a user is known by, one after the other, evenly from all that are liked."""


def judge_similar(
    model: Model, store: RatingsStore, split: Split, relevant: float | None = None
) -> dict[str, Any]:
    """Score lists of similar items.

    Parameters
    ----------
    model
        The model.
    store, split
        The ratings it was trained on, and which of them are held out.
    relevant
        Lowest rating that is liked; what `ratings.liking` says of the scale if absent.

    Returns
    -------
    dict
        `users`, `k`, `relevant_from`, and in `scores` the mean `ndcg` and `recall` over users of lists as
        `served`, and `by taste` alone.

    Raises
    ------
    DataError
        If nothing is held out, nothing of it is relevant, or nobody likes an item that has neighbours.
    """
    task = make_task(store, split, k=LENGTH, sample=MOST_USERS, relevant=relevant)
    known = read_known(store, split).of_users(task.users)
    orders = {"served": model.neighbours, "by taste": Neighbours(model.compared_items, None)}
    found: dict[str, list[Float64]] = {name: [] for name in orders}
    dust = model.is_dust("item")
    for place in np.flatnonzero(task.has_relevant):
        own = slice(known.indptr[place], known.indptr[place + 1])
        liked = known.items[own][known.ratings[own] >= np.float32(task.relevant_from)].astype(np.int64)
        asked = liked[~dust[liked]]
        if not len(asked):
            continue
        asked = asked[np.linspace(0, len(asked) - 1, min(MOST_ITEMS, len(asked))).astype(np.int64)]
        allowed = ~dust
        allowed[known.items[own]] = False
        for name, neighbours in orders.items():
            lists = neighbours.nearest(asked, task.k, allowed).items
            found[name].append(_mean_figures(lists, _wanted(task.relevant, int(place), len(asked))))
    if not found["served"]:
        raise DataError(
            "nobody who is tested likes an item whose factors say anything",
            where="neighbours",
            expected="training ratings that are relevant, and factors that they taught a taste",
            remedy=f"Lower --relevant, or {model.taste_remedy}",
        )
    return {
        "users": len(found["served"]),
        "k": task.k,
        "relevant_from": task.relevant_from,
        "scores": {name: _averaged(figures) for name, figures in found.items()},
    }


def _wanted(relevant: SeenItems, place: int, times: int) -> SeenItems:
    """Repeat a user's relevant items for each list."""
    own = relevant.indices[relevant.indptr[place] : relevant.indptr[place + 1]]
    return SeenItems(np.arange(times + 1, dtype=np.int64) * len(own), np.tile(own, times))


def _mean_figures(lists: Int32, relevant: SeenItems) -> Float64:
    figures = user_figures(lists, relevant)
    return np.array([figures.ndcg.mean(), figures.recall.mean()])


def _averaged(figures: list[Float64]) -> dict[str, float]:
    mean = np.mean(figures, axis=0)
    return {"ndcg": float(mean[0]), "recall": float(mean[1])}
