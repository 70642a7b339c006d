"""What the people of a model rated: carried by the model, or read from the store it was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from daskals.errors import ModelError, StoreError
from daskals.kernels.data.csr import count_part
from daskals.kernels.scoring.topk import SeenItems
from daskals.ratings.split import SplitSpec
from daskals.store.checked import checked
from daskals.store.layout import Sha256
from daskals.store.reader import RatingsStore, open_recorded
from daskals.store.remote import is_url
from daskals.store.splits import Split, ensure_split
from daskals.store.timing import Unit, bin_numbers
from daskals.store.weighing import Weighing, weighing_of
from daskals.types import FOLD_IN, TRAIN, Float32, Int32, Int64, RatingsBlock, UInt8


class OwnRatings(NamedTuple):
    """What one person rated.

    Attributes
    ----------
    rated, ratings
        Item rows (int64, ascending) and ratings (float32) that train, or fold the person in.
    seen
        Item rows of all parts.
    weights
        What each rating counted in training, float32, shape (ratings,); None where each counted once.
    dates
        The day, week or month since 1970 of each, int32, shape (ratings,), where the model knows dates.
    """

    rated: Int64
    ratings: Float32
    seen: Int64
    weights: Float32 | None = None
    dates: Int32 | None = None


class TrainingRatings(NamedTuple):
    """What several people rated in training, in compressed-row form.

    Attributes
    ----------
    indptr
        Where each person's ratings begin, int64, shape (people + 1,).
    items, ratings
        Item rows (int32) and ratings (float32), shape (ratings,).
    weights
        What each counted in training, float32, shape (ratings,); None where each counted once.
    """

    indptr: Int64
    items: Int32
    ratings: Float32
    weights: Float32 | None = None

    @classmethod
    def joined(cls, people: Sequence[TrainingRatings]) -> TrainingRatings:
        """Return what several people rated, one after the other; there is at least one."""
        weights = None
        if any(one.weights is not None for one in people):
            weights = np.concatenate([one.weights_or_ones for one in people])
        return cls(
            starts_of(np.concatenate([np.diff(one.indptr) for one in people])),
            np.concatenate([one.items for one in people]),
            np.concatenate([one.ratings for one in people]),
            weights,
        )

    @property
    def weights_or_ones(self) -> Float32:
        """What each counted, float32, shape (ratings,)."""
        return np.ones(len(self.items), np.float32) if self.weights is None else self.weights

    def of_people(self, first: int, last: int) -> TrainingRatings:
        """Return the ratings of people first, …, last − 1."""
        start, stop = self.indptr[first], self.indptr[last]
        indptr = self.indptr[first : last + 1] - start
        weights = None if self.weights is None else self.weights[start:stop]
        return TrainingRatings(indptr, self.items[start:stop], self.ratings[start:stop], weights)


class History(Protocol):
    """What the people of a model rated, by row."""

    def own(self, row: int) -> OwnRatings:
        """Return what the user at one row rated."""
        ...

    def counts(self) -> Int64:
        """Return how many items each user has seen, int64, shape (users,)."""
        ...

    def seen(self, rows: Int64) -> SeenItems:
        """Return what users have seen; `rows` int64, shape (users,), ascending."""
        ...

    def train(self, rows: Int64) -> TrainingRatings:
        """Return what users rated in training; `rows` int64, shape (users,), ascending."""
        ...


@dataclass(frozen=True, eq=False)
class KeptRatings:
    """Ratings that a model carries: 5 bytes a training rating, 9 with its date, 4 one held out, 16 a user.

    Attributes
    ----------
    indptr, items
        Training items by user in compressed-row form: int64, shape (users + 1,), and int32, shape (ratings,),
        ascending in a row.
    values, scale
        Their ratings, shape (ratings,): uint8 codes into `scale` (float32), or float32 where that is empty.
    held_indptr, held_items
        The same of the items of the other parts, whose ratings are not kept.
    weights
        What each training rating counts, float32, shape (ratings,); None where each counts once.
    dates
        The day, week or month since 1970 that each training rating was made in, int32, shape (ratings,), as
        the model has them; None of a model that knows no dates.
    """

    indptr: Int64
    items: Int32
    values: UInt8 | Float32
    scale: Float32
    held_indptr: Int64
    held_items: Int32
    weights: Float32 | None = None
    dates: Int32 | None = None

    @classmethod
    def of(
        cls, store: RatingsStore, split: Split, weighing: Weighing | None = None, unit: Unit | None = None
    ) -> Self:
        """Read the ratings of a store, by the part a split gives each.

        Parameters
        ----------
        store, split
            The ratings, and which of them train.
        weighing, unit
            What they count in training; which dates of theirs to keep. None where it is nothing.
        """
        block = store.read("user", 0, store.n_users).block
        parts = split.parts("user", 0, store.n_ratings)
        train = _is_known(parts)
        indptr = starts_of(count_part(block.indptr, parts, TRAIN) + count_part(block.indptr, parts, FOLD_IN))
        return cls(
            indptr=indptr,
            items=block.indices[train],
            values=block.values[train],
            scale=block.scale,
            held_indptr=block.indptr - indptr,
            held_items=block.indices[~train],
            weights=None if weighing is None else _weights(store, weighing, parts, 0)[train],
            dates=None if unit is None else _dates(store, unit, 0, len(parts))[train],
        )

    @classmethod
    def from_stored(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Take them from a model's arrays; see `arrays`."""
        indptr = arrays["ratings/indptr"]
        return cls(
            indptr=indptr,
            items=arrays["ratings/items"],
            values=arrays["ratings/values"],
            scale=arrays.get("ratings/scale", np.empty(0, np.float32)),
            held_indptr=arrays.get("held_out/indptr", np.zeros(len(indptr), np.int64)),
            held_items=arrays.get("held_out/items", np.empty(0, np.int32)),
            weights=arrays.get("ratings/weights"),
            dates=arrays.get("ratings/dates"),
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what a model's folder holds of them: arrays by name, none of them empty."""
        arrays: dict[str, NDArray[Any]] = {
            "ratings/indptr": self.indptr,
            "ratings/items": self.items,
            "ratings/values": self.values,
        }
        if len(self.scale):
            arrays["ratings/scale"] = self.scale
        if self.weights is not None:
            arrays["ratings/weights"] = self.weights
        if self.dates is not None:
            arrays["ratings/dates"] = self.dates
        if len(self.held_items):
            arrays |= {"held_out/indptr": self.held_indptr, "held_out/items": self.held_items}
        return arrays

    @property
    def block(self) -> RatingsBlock:
        """The ratings that train, and those that fold held-out users in, of all users."""
        return RatingsBlock(0, self.indptr, self.items, self.values, self.scale)

    @property
    def n_bytes(self) -> int:
        """Bytes of the arrays, uncompressed."""
        return sum(values.nbytes for values in self.arrays().values())

    def own(self, row: int) -> OwnRatings:
        """Return what the user at one row rated."""
        mine = slice(self.indptr[row], self.indptr[row + 1])
        held = self.held_items[self.held_indptr[row] : self.held_indptr[row + 1]]
        rated = self.items[mine].astype(np.int64)
        seen = np.sort(np.concatenate([rated, held.astype(np.int64)]))
        weights = None if self.weights is None else self.weights[mine]
        dates = None if self.dates is None else self.dates[mine]
        return OwnRatings(rated, self._ratings(mine), seen, weights, dates)

    def _ratings(self, places: slice | Int64) -> Float32:
        values = self.values[places]
        return (self.scale[values] if len(self.scale) else values).astype(np.float32)

    def counts(self) -> Int64:
        """Return how many items each user has seen, int64, shape (users,)."""
        return np.diff(self.indptr) + np.diff(self.held_indptr)

    def seen(self, rows: Int64) -> SeenItems:
        """Return what users have seen, their training items first; `rows` int64, shape (users,)."""
        train, held = np.diff(self.indptr)[rows], np.diff(self.held_indptr)[rows]
        indptr = starts_of(train + held)
        indices = np.empty(indptr[-1], np.int32)
        indices[runs(indptr[:-1], train)] = self.items[runs(self.indptr[rows], train)]
        indices[runs(indptr[:-1] + train, held)] = self.held_items[runs(self.held_indptr[rows], held)]
        return SeenItems(indptr, indices)

    def train(self, rows: Int64) -> TrainingRatings:
        """Return what users rated in training; `rows` int64, shape (users,)."""
        counts = np.diff(self.indptr)[rows]
        places = runs(self.indptr[rows], counts)
        weights = None if self.weights is None else self.weights[places]
        return TrainingRatings(starts_of(counts), self.items[places], self._ratings(places), weights)


@dataclass(frozen=True)
class StoredRatings:
    """Ratings of the store that a model was trained on, under the protocol of its report."""

    store: RatingsStore
    split: dict[str, Any]
    half_life: float | None = None
    unit: Unit | None = None

    def own(self, row: int) -> OwnRatings:
        """Read what the user at one row rated."""
        block = self.store.read("user", row, row + 1).block
        ratings = block.ratings
        first = self.store.indptr_at("user", row)
        split = ensure_split(self.store, SplitSpec(**self.split))
        parts = split.parts("user", first, first + len(ratings))
        train = _is_known(parts)
        seen = block.indices.astype(np.int64)
        weights = self._weights(split, parts, first)
        dates = None
        if self.unit is not None:
            dates = _dates(self.store, self.unit, first, first + len(ratings))[train]
        own_weights = None if weights is None else weights[train]
        return OwnRatings(seen[train], ratings[train], seen, own_weights, dates)

    def _weights(self, split: Split, parts: UInt8, first: int) -> Float32 | None:
        """Return what users' ratings from place `first` on count, shape (ratings,); None for once each."""
        weighing = weighing_of(self.store, split, self.half_life)
        return None if weighing is None else _weights(self.store, weighing, parts, first)

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
        known = _is_known(parts)
        before = starts_of(known.astype(np.int64))[block.indptr]
        counts = np.diff(before)[rows - first]
        places = np.flatnonzero(known)[runs(before[rows - first], counts)]
        weights = self._weights(split, parts, start)
        return TrainingRatings(
            starts_of(counts),
            block.indices[places],
            block.ratings[places],
            None if weights is None else weights[places],
        )


def _is_known(parts: UInt8) -> NDArray[np.bool_]:
    """Tell which ratings, by their parts, train, or fold users in who are held out of training."""
    known: NDArray[np.bool_] = (parts == TRAIN) | (parts == FOLD_IN)
    return known


def _weights(store: RatingsStore, weighing: Weighing, parts: UInt8, first: int) -> Float32:
    """Return what users' ratings from place `first` on count; what only folds people in counts once."""
    weights = weighing.read(store, "user", first, first + len(parts))
    weights[parts != TRAIN] = 1.0
    return weights


def _dates(store: RatingsStore, unit: Unit, first: int, last: int) -> Int32:
    """Return the day, week or month of users' ratings from place `first` to `last`, int32, (ratings,)."""
    # ten thousand years of days are fewer than int32 has numbers
    return bin_numbers(store.read_column("user", "timestamps", first, last), unit).astype(np.int32)


def starts_of(counts: Int64) -> Int64:
    """Return where runs of these lengths begin when they follow one another, int64, shape (runs + 1,)."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def runs(starts: Int64, counts: Int64) -> Int64:
    """Return the places of runs that begin at `starts`, `counts` long each, int64, shape (Σ counts,)."""
    ends = starts_of(counts)
    return np.repeat(starts - ends[:-1], counts) + np.arange(ends[-1])


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
