"""The ratings table: validated ratings that every later room works on."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from daskals.types import Float32, Int32, Int64


@dataclass(frozen=True)
class RatingsTable:
    """Ratings in file order, without dropped rows and without duplicated pairs.

    Rows of both sides are numbered by first appearance among the ratings kept here.

    Attributes
    ----------
    users, items
        Row of each rating's user and item, shape (n_ratings,).
    values
        The ratings as the input has them, finite, shape (n_ratings,).
    timestamps
        Seconds since 1970, shape (n_ratings,), or None where the input has none.
    positions
        Place of each rating in the input, 0-based over all its data rows, ascending; shape (n_ratings,).
    user_ids
        int64 or string, one per user row.
    item_ids
        int64 or string, one per item row: rated items, then unrated items of the catalogue in file order.
    catalogue
        One row per item row, or None where the input lists no items: `title` (string), `year` (int32),
        `genres` (list of string, empty for an item that is not listed), and `imdb_id`, `tmdb_id`
        (int64) where the input links them. What is not known is null.
    tags
        `user_id`, `item_id`, `tag`, `timestamp` as read, ids in the types of `user_ids` and `item_ids`
        where they fit; or None.
    n_input
        Data rows in the input.
    duplicates
        Surplus rows of duplicated (user, item) pairs, removed or merged.
    dropped
        Rows dropped as invalid, by reason.
    n_later
        Usable rows of the input left out because they are later than the reader was to know.
    first_later
        File and row of the first of these; None where there are none.
    sources
        `name`, `bytes` and `sha256` of every file read, and `rows` of those that hold ratings.
    weights
        What each rating counts, above 0, shape (n_ratings,), or None where each counts once.
    predefined_test
        Where the input brings its own split: true for a test rating, shape (n_ratings,).
    adds_up
        Whether values are counts, of clicks or plays, that add up over a pair's rows.
    """

    users: Int32
    items: Int32
    values: Float32
    timestamps: Int64 | None
    positions: Int64
    user_ids: pa.Array
    item_ids: pa.Array
    catalogue: pa.Table | None = None
    tags: pa.Table | None = None
    n_input: int = 0
    duplicates: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    n_later: int = 0
    first_later: str | None = None
    sources: list[dict[str, Any]] = field(default_factory=list)
    predefined_test: NDArray[np.bool_] | None = None
    adds_up: bool = False
    weights: Float32 | None = None

    @property
    def n_users(self) -> int:
        """Number of user rows."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """Number of item rows, unrated items of the catalogue included."""
        return len(self.item_ids)

    @property
    def n_rated_items(self) -> int:
        """Number of items with at least one rating."""
        return int(self.items.max()) + 1 if len(self.items) else 0

    @property
    def n_ratings(self) -> int:
        """Number of ratings."""
        return len(self.values)

    def note_replaced(self, n_pairs: int) -> None:
        """Say that counts take the place of those that so many known pairs had."""
        if self.adds_up and n_pairs:
            logging.getLogger("daskals.ratings").warning(
                "pairs that were known and come again (%d) count what the new rows say, not what they did "
                "before; rows of a pair add up where they are read together, and here with --duplicates=sum",
                n_pairs,
            )
