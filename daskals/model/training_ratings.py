"""Training ratings of one person, read from the store a model was trained on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from daskals.errors import StoreError
from daskals.ratings.split import SplitSpec
from daskals.store.reader import RatingsStore, open_store
from daskals.store.splits import ensure_split
from daskals.types import FOLD_IN, TRAIN, Float32, Int64


class OwnRatings(NamedTuple):
    """What one person rated.

    Attributes
    ----------
    rated, ratings
        Item rows (int64, ascending) and ratings (float32) that train, or fold the person in.
    seen
        Item rows of all parts.
    """

    rated: Int64
    ratings: Float32
    seen: Int64


def open_history(data: dict[str, Any], remedy: str) -> RatingsStore:
    """Open the store that the `data` section of a report names.

    Raises
    ------
    StoreError
        If it is gone, damaged, or holds other ratings by now.
    """
    try:
        store = open_store(data["store"])
    except StoreError as error:
        raise StoreError(
            f"the ratings the model was trained on cannot be opened: {error.found}",
            where=error.where,
            expected=error.expected,
            remedy=remedy,
        ) from None
    if store.content_hash != data["content_hash"]:
        raise StoreError(
            "the store holds other ratings than the model was trained on",
            where=store.path,
            expected=f"content {data['content_hash'][:12]}, found {store.content_hash[:12]}",
            remedy=remedy,
        )
    return store


def own_ratings(store: RatingsStore, split: dict[str, Any], row: int) -> OwnRatings:
    """Read the ratings of the user at one row; `split` is the protocol of the model's report."""
    block = store.read("user", row, row + 1).block
    ratings = block.ratings
    first = store.indptr_at("user", row)
    parts = ensure_split(store, SplitSpec(**split)).parts("user", first, first + len(ratings))
    seen = block.indices.astype(np.int64)
    train = (parts == TRAIN) | (parts == FOLD_IN)
    return OwnRatings(seen[train], ratings[train], seen)
