"""Lists of a night's champion against what people chose after that night."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from daskals.evaluation.figures import user_figures
from daskals.kernels.scoring.topk import NOTHING, SeenItems
from daskals.model.fitted import Model
from daskals.model.ordered import ListOrder
from daskals.ratings.liking import relevant_from
from daskals.types import Float64, Int32, Int64

LENGTH = 10


class Followed(NamedTuple):
    """NDCG@10 of lists on what followed, float64, shape (users,), of the same users.

    Attributes
    ----------
    served
        Of the lists as the model orders them.
    by_rating
        Of its lists by predicted rating.
    """

    served: Float64
    by_rating: Float64


def followed(model: Model, following: pd.DataFrame) -> Followed:
    """Judge lists for the people that a model knows and who liked something of it afterwards.

    Parameters
    ----------
    model
        The model.
    following
        Later ratings: `userId`, `movieId`, `rating`.
    """
    users = model.rows_of("user", pa.array(following["userId"]))
    items = model.rows_of("item", pa.array(following["movieId"]))
    least = relevant_from(model.report["config"]["model"], model.limits)
    liked = following["rating"].to_numpy(np.float64) >= least
    known = (users >= 0) & (items >= 0) & liked
    known[known] = ~np.isin(_pairs(model, users[known], items[known]), _seen(model))
    people, counts = np.unique(users[known], return_counts=True)
    chosen = items[known][np.argsort(users[known], kind="stable")]
    relevant = SeenItems(np.append(0, np.cumsum(counts)), chosen.astype(np.int32))
    ids = [model.user_ids[int(row)].as_py() for row in people]
    settled = model.list_order()
    served = user_figures(_lists(model, ids, settled), relevant).ndcg
    by_rating = served if settled == "rating" else user_figures(_lists(model, ids, "rating"), relevant).ndcg
    return Followed(served, by_rating)


def _seen(model: Model) -> Int64:
    """Return all pairs that the model knows of, which lists leave out."""
    rows = np.arange(len(model.user_ids), dtype=np.int64)
    seen = model.history("simulate with models that carry their ratings").seen(rows)
    return _pairs(model, np.repeat(rows, np.diff(seen.indptr)), seen.indices.astype(np.int64))


def _pairs(model: Model, users: Int64, items: Int64) -> Int64:
    pairs: Int64 = users * len(model.item_ids) + items
    return pairs


def _lists(model: Model, ids: list[object], order: ListOrder) -> Int32:
    """Return the rows of the items on everybody's list, int32, shape (users, LENGTH)."""
    lists = np.full((len(ids), LENGTH), NOTHING, np.int32)
    if not ids:
        return lists
    table = model.recommend(users=ids, n=min(LENGTH, len(model.item_ids)), order=order, output="arrow")
    assert isinstance(table, pa.Table)
    ranks = table["rank"].to_numpy()
    owners = np.cumsum(ranks == 1) - 1
    lists[owners, ranks - 1] = model.rows_of("item", table["item"])
    return lists
