"""What the people of a model rated, read from the store that it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from daskals.errors import ModelError, StoreError
from daskals.kernels.scoring.topk import SeenItems
from daskals.model.training_ratings import (
    NO_MOMENTS,
    OwnRatings,
    TrainingRatings,
    ages_in,
    dates_in,
    is_known,
    runs,
    some_of,
    starts_of,
    weights_in,
)
from daskals.ratings.split import SplitSpec
from daskals.store.checked import checked
from daskals.store.layout import Sha256
from daskals.store.reader import RatingsStore, open_recorded
from daskals.store.remote import is_url
from daskals.store.splits import Split, ensure_split
from daskals.store.timing import Unit
from daskals.store.weighing import weighing_of
from daskals.types import Float32, Int64, UInt8


@dataclass(frozen=True, eq=False)
class StoredRatings:
    """Ratings of the store that a model was trained on, under the protocol of its report."""

    store: RatingsStore
    split: dict[str, Any]
    half_life: float | None = None
    unit: Unit | None = None
    moments: Int64 = field(default_factory=lambda: NO_MOMENTS)

    def own(self, row: int) -> OwnRatings:
        """Read what the user at one row rated."""
        block = self.store.read("user", row, row + 1).block
        ratings = block.ratings
        first = self.store.indptr_at("user", row)
        split = ensure_split(self.store, SplitSpec(**self.split))
        parts = split.parts("user", first, first + len(ratings))
        train = is_known(parts)
        seen = block.indices.astype(np.int64)
        weights = self._weights(split, parts, first)
        dates = None
        if self.unit is not None:
            dates = dates_in(self.store, self.unit, first, first + len(ratings))[train]
        ages = self._ages(first, first + len(ratings))
        return OwnRatings(
            seen[train], ratings[train], seen, some_of(weights, train), dates, some_of(ages, train)
        )

    def _ages(self, first: int, last: int) -> UInt8 | None:
        """Return how long ago users' ratings from place `first` to `last` were made; None if that is none."""
        return ages_in(self.store, self.moments, first, last) if len(self.moments) else None

    def _weights(self, split: Split, parts: UInt8, first: int) -> Float32 | None:
        """Return what users' ratings from place `first` on count, shape (ratings,); None for once each."""
        weighing = weighing_of(self.store, split, self.half_life)
        return None if weighing is None else weights_in(self.store, weighing, parts, first)

    def counts(self) -> Int64:
        """Return how many items each user has seen, int64, shape (users,)."""
        return np.diff(self.store.indptr("user"))

    def seen(self, rows: Int64) -> SeenItems:
        """Read what users have seen; `rows` int64, shape (users,), ascending."""
        first = int(rows[0])
        block = self.store.read("user", first, int(rows[-1]) + 1).block
        counts = np.diff(block.indptr)[rows - first]
        indptr = starts_of(counts)
        if len(rows) == block.n_rows:
            return SeenItems(indptr, block.indices)
        return SeenItems(indptr, block.indices[runs(block.indptr[rows - first], counts)])

    def train(self, rows: Int64) -> TrainingRatings:
        """Read what users rated in training; `rows` int64, shape (users,), ascending."""
        first, stop = int(rows[0]), int(rows[-1]) + 1
        block = self.store.read("user", first, stop).block
        split = ensure_split(self.store, SplitSpec(**self.split))
        start = self.store.indptr_at("user", first)
        parts = split.parts("user", start, start + len(block.indices))
        known = is_known(parts)
        before = starts_of(known.astype(np.int64))[block.indptr]
        counts = np.diff(before)[rows - first]
        places = np.flatnonzero(known)[runs(before[rows - first], counts)]
        weights = some_of(self._weights(split, parts, start), places)
        ages = some_of(self._ages(start, start + len(parts)), places)
        return TrainingRatings(starts_of(counts), block.indices[places], block.ratings[places], weights, ages)


@dataclass(frozen=True)
class _Section:
    """What a report's section of data must hold for its ratings to be found."""

    store: str
    content_hash: Sha256
    split: SplitSpec


def training_data(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report's section of data, whose store, hash and split are what they must be.

    Raises ModelError where they are not, or there are none.
    """
    data = report.get("data")
    checked(
        _Section,
        data,
        "the model's report, data",
        ModelError,
        expected="store, content_hash and split of the ratings it was trained on",
        remedy="Train it anew",
    )
    return dict(data or {})


def open_history(data: dict[str, Any], remedy: str) -> RatingsStore:
    """Open the store that the `data` section of a report names; nothing is written beside it.

    Raises
    ------
    StoreError
        If it is gone, damaged, holds other ratings by now, or is at an address that nobody named.
    """
    try:
        store = open_recorded(data["store"])
    except StoreError as error:
        raise StoreError(
            f"the ratings the model was trained on cannot be opened: {error.found}",
            where=error.where,
            expected=error.expected,
            remedy=f"{remedy}. {error.remedy}" if is_url(data["store"]) else remedy,
        ) from None
    if store.content_hash != data["content_hash"]:
        raise StoreError(
            "the store holds other ratings than the model was trained on",
            where=store.path,
            expected=f"content {data['content_hash'][:12]}, found {store.content_hash[:12]}",
            remedy=remedy,
        )
    return store
