"""Why an item stands where it does in a list by affinity: its score, shared out."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True, eq=False)
class OrderReasons:
    """Where a score comes from: score = popularity + rating + Σ contribution of the table.

    Attributes
    ----------
    score
        What `Model.recommend` orders by.
    popularity, rating
        Parts of the item's popularity and of the predicted rating.
    ratings
        One row an own rating, the greatest contribution first: `item`, `title` (with a catalogue), `rating`
        (of clicks `count`), `as_item` (what it says of this very item), `by_genre` (by its genres),
        `contribution` (both).
    """

    score: float
    popularity: float
    rating: float
    ratings: pa.Table
