"""What the people of a model rated, as the model carries it; see `stored_ratings` for those that do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from daskals.kernels.data.csr import count_part
from daskals.kernels.scoring.topk import SeenItems
from daskals.model.order.ages import ages_of
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split
from daskals.store.timing import Unit, bin_numbers
from daskals.store.weighing import Weighing
from daskals.types import FOLD_IN, TRAIN, Float32, Int32, Int64, RatingsBlock, UInt8

Values = TypeVar("Values", bound=NDArray[Any])

NO_MOMENTS: Int64 = np.empty(0, np.int64)
"""What tells no ages."""


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
    ages
        How long ago each was made, as `TrainingRatings` has it.
    """

    rated: Int64
    ratings: Float32
    seen: Int64
    weights: Float32 | None = None
    dates: Int32 | None = None
    ages: UInt8 | None = None


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
    ages
        How long ago each was made (`order.ages`), uint8, shape (ratings,); None where it is no matter.
    """

    indptr: Int64
    items: Int32
    ratings: Float32
    weights: Float32 | None = None
    ages: UInt8 | None = None

    @classmethod
    def joined(cls, people: Sequence[TrainingRatings]) -> TrainingRatings:
        """Return what several people rated, one after the other; there is at least one."""
        weights = None
        if any(one.weights is not None for one in people):
            weights = np.concatenate([one.weights_or_ones for one in people])
        ages = None
        if any(one.ages is not None for one in people):
            ages = np.concatenate([one.ages_or_none for one in people])
        return cls(
            starts_of(np.concatenate([np.diff(one.indptr) for one in people])),
            np.concatenate([one.items for one in people]),
            np.concatenate([one.ratings for one in people]),
            weights,
            ages,
        )

    @property
    def weights_or_ones(self) -> Float32:
        """What each counted, float32, shape (ratings,)."""
        return np.ones(len(self.items), np.float32) if self.weights is None else self.weights

    @property
    def ages_or_none(self) -> UInt8:
        """How long ago each was made, uint8, shape (ratings,): 0, of late, where nothing tells."""
        return np.zeros(len(self.items), np.uint8) if self.ages is None else self.ages

    def of_people(self, first: int, last: int) -> TrainingRatings:
        """Return the ratings of people first, …, last − 1."""
        start, stop = self.indptr[first], self.indptr[last]
        indptr = self.indptr[first : last + 1] - start
        mine = slice(start, stop)
        weights, ages = some_of(self.weights, mine), some_of(self.ages, mine)
        return TrainingRatings(indptr, self.items[mine], self.ratings[mine], weights, ages)


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
    """Ratings that a model carries: 5 bytes a training rating, 1 more with its age, 4 with its date.

    One held out takes 4, a user 16.

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
    ages
        How long ago each was made, as `TrainingRatings` has it; None where lists do not count by age.
    """

    indptr: Int64
    items: Int32
    values: UInt8 | Float32
    scale: Float32
    held_indptr: Int64
    held_items: Int32
    weights: Float32 | None = None
    dates: Int32 | None = None
    ages: UInt8 | None = None

    @classmethod
    def of(
        cls,
        store: RatingsStore,
        split: Split,
        weighing: Weighing | None = None,
        unit: Unit | None = None,
        moments: Int64 = NO_MOMENTS,
    ) -> Self:
        """Read the ratings of a store, by the part a split gives each.

        Parameters
        ----------
        store, split
            The ratings, and which of them train.
        weighing, unit
            What they count in training; which dates of theirs to keep. None where it is nothing.
        moments
            By which to keep their ages, as in `Order`, shape (255,), or empty.
        """
        block = store.read("user", 0, store.n_users).block
        parts = split.parts("user", 0, store.n_ratings)
        train = is_known(parts)
        indptr = starts_of(count_part(block.indptr, parts, TRAIN) + count_part(block.indptr, parts, FOLD_IN))
        return cls(
            indptr=indptr,
            items=block.indices[train],
            values=block.values[train],
            scale=block.scale,
            held_indptr=block.indptr - indptr,
            held_items=block.indices[~train],
            weights=None if weighing is None else weights_in(store, weighing, parts, 0)[train],
            dates=None if unit is None else dates_in(store, unit, 0, len(parts))[train],
            ages=None if not len(moments) else ages_in(store, moments, 0, len(parts))[train],
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
            ages=arrays.get("ratings/ages"),
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
        if self.ages is not None:
            arrays["ratings/ages"] = self.ages
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
        return OwnRatings(
            rated,
            self._ratings(mine),
            seen,
            some_of(self.weights, mine),
            some_of(self.dates, mine),
            some_of(self.ages, mine),
        )

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
        weights, ages = some_of(self.weights, places), some_of(self.ages, places)
        return TrainingRatings(starts_of(counts), self.items[places], self._ratings(places), weights, ages)


def is_known(parts: UInt8) -> NDArray[np.bool_]:
    """Tell which ratings, by their parts, (ratings,), train, or fold users in who are held out."""
    known: NDArray[np.bool_] = (parts == TRAIN) | (parts == FOLD_IN)
    return known


def weights_in(store: RatingsStore, weighing: Weighing, parts: UInt8, first: int) -> Float32:
    """Return what ratings from place `first` on count, (ratings,), as `parts`; what folds in counts once."""
    weights = weighing.read(store, "user", first, first + len(parts))
    weights[parts != TRAIN] = 1.0
    return weights


def dates_in(store: RatingsStore, unit: Unit, first: int, last: int) -> Int32:
    """Return the day, week or month of users' ratings from place `first` to `last`, int32, (ratings,)."""
    # ten thousand years of days are fewer than int32 has numbers
    return bin_numbers(store.read_column("user", "timestamps", first, last), unit).astype(np.int32)


def ages_in(store: RatingsStore, moments: Int64, first: int, last: int) -> UInt8:
    """Return how long ago users' ratings from place `first` to `last` were made, uint8, (ratings,)."""
    return ages_of(store.read_column("user", "timestamps", first, last), moments)


def some_of(values: Values | None, places: slice | Int64 | NDArray[np.bool_]) -> Values | None:
    """Return those at some places, shape (places,); None where there are none at all.

    Parameters
    ----------
    values
        An array of any shape, or None.
    places
        Which of them: int64, shape (places,), or bool, shape (values,), or a slice.
    """
    return None if values is None else cast("Values", values[places])


def starts_of(counts: Int64) -> Int64:
    """Return where runs of these lengths begin when they follow one another, int64, shape (runs + 1,)."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def runs(starts: Int64, counts: Int64) -> Int64:
    """Return the places of runs that begin at `starts`, `counts` long each, int64, shape (Σ counts,)."""
    ends = starts_of(counts)
    return np.repeat(starts - ends[:-1], counts) + np.arange(ends[-1])
